"""An exponential moving average of weights, kept in copies of the modules that can be evaluated and exported.

Training never sees the averaged weights and evaluation never has to swap anything in or out. Lightning's own callback
averages a copy made before the objective has its head, and swaps weights for validation only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Copies of modules whose weights follow those of the originals slowly.

    Update t moves the average by 1 − min(decay, (1 + t)/(10 + t)) of the way, so that it leaves its start soon. Frozen
    parameters are shared with the originals. Statistics of batch norms are averaged too, counters are copied.

    Attributes:
        decay: Share of the average that an update keeps.
        updates: Number of updates so far.
        copies: The averaged modules by name, in evaluation mode.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        """Starts from the present weights.

        Args:
            modules: What is averaged; names are those of the modules in the state of the run.
            decay: In (0, 1).
        """
        self.decay, self.updates = check_decay(decay), 0
        self._originals = dict(modules)
        self.copies = {name: _copy(module) for name, module in modules.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the present weights; call it after each optimizer step."""
        self.updates += 1
        weight = 1.0 - min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for _, present, average in self._pairs():
            if average.is_floating_point():
                average.lerp_(present, weight)
            else:
                average.copy_(present)

    def _pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name in the state of the run, present and averaged value of all that is not shared."""
        for name, original in self._originals.items():
            averages = self.copies[name].state_dict()
            for key, present in original.state_dict().items():
                if averages[key].data_ptr() != present.data_ptr():
                    yield f"{name}.{key}", present, averages[key]

    def store(self, checkpoint: dict[str, Any], key: str) -> None:
        """Puts the average in the checkpoint's weights, and what training goes on from under a key of its own."""
        pairs = list(self._pairs())
        weights = {name: present for name, present, _ in pairs}
        checkpoint["state_dict"] = checkpoint["state_dict"] | {name: average for name, _, average in pairs}
        checkpoint[key] = {"updates": self.updates, "weights": weights}

    @torch.no_grad()
    def restore(self, updates: int, weights: Mapping[str, Tensor]) -> None:
        """Takes over what `taken_apart` found in a checkpoint."""
        self.updates = updates
        for name, _, average in self._pairs():
            average.copy_(weights[name])


def taken_apart(checkpoint: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Undoes `AveragedWeights.store`: puts back the weights that training goes on from.

    Returns:
        Arguments of `AveragedWeights.restore`; None if the checkpoint's run had no average.
    """
    stored = checkpoint.pop(key, None)
    if stored is None:
        return None
    state = checkpoint["state_dict"]
    averages = {name: state[name] for name in stored["weights"]}
    checkpoint["state_dict"] = state | stored["weights"]
    return {"updates": stored["updates"], "weights": averages}


def check_decay(decay: float) -> float:
    """The decay, unless it averages nothing or everything.

    Raises:
        ValueError: If decay is not in (0, 1).
    """
    if not 0.0 < decay < 1.0:
        raise ValueError(f"expected average_decay in (0, 1), got {decay}: 0.999 is usual, null averages nothing")
    return decay


def _copy(module: nn.Module) -> nn.Module:
    shared = {id(parameter): parameter for parameter in module.parameters() if not parameter.requires_grad}
    return copy.deepcopy(module, shared).requires_grad_(False).eval()
