"""Optimiser and learning-rate schedule that all training uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import nn

FUSED = ("cpu", "cuda")
"""Devices on which a step of AdamW is one kernel."""


class ConfiguredSchedule(torch.optim.lr_scheduler.LambdaLR):
    """A schedule that goes on, in a resumed run, with the learning rates and decays of the present configuration.

    Lightning restores the optimizer and then the schedule, which would leave those of the checkpoint in their place.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> None:
        """Starts at step 0.

        Args:
            optimizer: Its rates are the peaks.
            factor: Share of the peak by step.
        """
        self._given = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
        super().__init__(optimizer, factor)

    def state_dict(self) -> dict[str, Any]:
        """Place in the schedule, for checkpoints."""
        return {name: value for name, value in super().state_dict().items() if name != "_given"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        super().load_state_dict(state_dict)
        groups = self.optimizer.param_groups
        for group, (rate, decay) in zip(groups, self._given, strict=True):
            for name, key, value in (("learning rate", "initial_lr", rate), ("weight decay", "weight_decay", decay)):
                if group[key] != value:
                    rank_zero_info(f"From here on the {name} is {value:g} as configured, in place of {group[key]:g}.")
                    group[key] = value
        self.base_lrs = [rate for rate, _ in self._given]
        for group, rate, factor in zip(groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["lr"] = rate * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in groups]


def adamw(groups: Sequence[dict[str, Any]], learning_rate: float = 1e-3) -> torch.optim.AdamW:
    """AdamW, its steps in one kernel a group where the device has it: equal to rounding, and several times as fast.

    Args:
        groups: Of parameters, as torch takes them.
        learning_rate: Of groups that name none.
    """
    trained = [parameter for group in groups for parameter in group["params"]]
    fused = all(parameter.device.type in FUSED and parameter.is_floating_point() for parameter in trained)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, fused=fused or None)
    # Lightning refuses to clip gradients where a fused step would take loss scaling out, which it does even in bf16.
    # Without this the scaler does that itself, before gradients are clipped, as it does for steps that are not fused.
    optimizer._step_supports_amp_scaling = False
    optimizer.register_load_state_dict_post_hook(partial(_as_configured, optimizer.param_groups[0]["fused"]))
    return optimizer


def _as_configured(fused: bool | None, optimizer: torch.optim.Optimizer) -> None:
    """Steps a loaded state as configured; fused ones read memory in its order, so state is laid as weights are.

    Checkpoints of runs without fused steps, or whose weights lay otherwise in memory, bring both with them.
    """
    for group in optimizer.param_groups:
        group["fused"] = fused
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if name == "step":
                    state[name] = value.to(parameter.device) if fused else value
                elif value.shape == parameter.shape and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def adamw_with_cosine(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    warmup_steps: int,
    total_steps: int,
) -> dict[str, Any]:
    """AdamW with linear warm-up, then a cosine to zero.

    Weight decay is applied to matrices and convolutions only, as in CLIP (arXiv 2103.00020, section 2.5).

    Args:
        parameters: What is trained.
        learning_rate: Peak value.
        weight_decay: Decoupled decay.
        warmup_steps: Steps until the peak.
        total_steps: Steps until zero.

    Returns:
        Lightning's optimiser configuration.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = adamw([group for group in groups if group["params"]], learning_rate)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        share = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    scheduler = ConfiguredSchedule(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
