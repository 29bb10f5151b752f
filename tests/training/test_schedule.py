"""The schedule of a resumed run is that of its configuration; what cannot be trained is refused before it starts."""

from __future__ import annotations

import copy
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from hrvlm.training.captioning import CaptionTraining
from hrvlm.training.checks import check_weights, total_steps
from hrvlm.training.schedule import adamw, adamw_with_cosine
from hrvlm.training.settings import OptimizerSettings

USUAL: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup_steps": 2, "total_steps": 10}


def made(**changed: Any) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    torch.manual_seed(0)
    found = adamw_with_cosine(nn.Linear(3, 2).parameters(), **USUAL | changed)
    return found["optimizer"], found["lr_scheduler"]["scheduler"]


def rates(optimizer: Any, schedule: Any, steps: int) -> list[list[tuple[float, float]]]:
    """Learning rate and weight decay of both groups, before each of some steps."""
    found = []
    for _ in range(steps):
        found.append([(group["lr"], group["weight_decay"]) for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def resumed(**changed: Any) -> list[list[tuple[float, float]]]:
    """The last six steps of a run that was interrupted after the fourth."""
    optimizer, schedule = made()
    rates(optimizer, schedule, 4)
    stored = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
    optimizer, schedule = made(**changed)
    optimizer.load_state_dict(stored[0])  # in the order in which Lightning restores them
    schedule.load_state_dict(stored[1])
    return rates(optimizer, schedule, 6)


@pytest.mark.parametrize(
    "changed", [{}, {"learning_rate": 1e-5}, {"weight_decay": 0.3}, {"warmup_steps": 6}, {"total_steps": 20}], ids=str
)
def test_a_resumed_run_follows_its_configuration(changed: dict[str, Any]) -> None:
    """To the last bit: the rest of the run that had these settings from the beginning."""
    assert resumed(**changed) == rates(*made(**changed), 10)[4:]


def test_what_changes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="lightning.pytorch.utilities.rank_zero"):
        resumed()
        assert "From here on" not in caplog.text
        resumed(learning_rate=1e-5)
    assert "learning rate is 1e-05 as configured, in place of 0.001" in caplog.text


def test_checkpoints_hold_the_place_alone() -> None:
    assert "_given" not in made()[1].state_dict()


def after_steps(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()
    return [weight.detach().clone() for weight in weights]


def test_fused_steps_are_those_of_plain_adamw_but_for_rounding() -> None:
    found = []
    for fused in (True, False):
        layer = nn.Linear(30, 20, device="meta").to_empty(device="cpu")
        weights = [nn.init.normal_(part, generator=torch.Generator().manual_seed(0)) for part in layer.parameters()]
        groups = [{"params": [weights[0]], "weight_decay": 0.1}, {"params": [weights[1]], "weight_decay": 0.0}]
        optimizer = adamw(groups, 1e-2) if fused else torch.optim.AdamW(groups, lr=1e-2)
        assert optimizer.param_groups[0]["fused"] is (True if fused else None)
        found.append(after_steps(optimizer, weights))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_state_of_plain_steps_goes_on_in_fused_ones_however_it_lay_in_memory(layout: torch.memory_format) -> None:
    def weight(layout: torch.memory_format) -> nn.Parameter:
        numbers = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
        return nn.Parameter(numbers.contiguous(memory_format=layout))

    stored, resumed = weight(torch.contiguous_format), weight(layout)
    plain, fused = torch.optim.AdamW([stored], lr=0.1), adamw([{"params": [resumed]}], 0.1)
    after_steps(plain, [stored])
    resumed.data.copy_(stored.data)
    fused.load_state_dict(copy.deepcopy(plain.state_dict()))
    assert fused.param_groups[0]["fused"]
    for each, optimizer in ((stored, plain), (resumed, fused)):
        each.grad = torch.empty_like(each).copy_(torch.arange(48.0).view(4, 3, 2, 2).sin())
        optimizer.step()
    torch.testing.assert_close(resumed, stored, rtol=1e-5, atol=1e-6)


class FusedSteps(TorchDispatchMode):
    """Counts steps of AdamW that are one kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket is torch.ops.aten._fused_adamw_
        return func(*args, **kwargs or {})


def test_a_step_on_a_device_is_one_kernel_a_group_however_many_weights() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = [nn.Parameter(torch.empty(4, 4, device="cuda")) for _ in range(50)]
        optimizer = adamw([{"params": weights[:25]}, {"params": weights[25:]}])
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        with FusedSteps() as steps:
            optimizer.step()
    assert steps.count == 2


def test_devices_without_such_a_kernel_are_stepped_plainly() -> None:
    assert adamw([{"params": [nn.Parameter(torch.empty(2, device="meta"))]}]).param_groups[0]["fused"] is None


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup_steps"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_settings_of_the_optimizer_are_checked(name: str, value: float) -> None:
    given = {"learning_rate": 0.0, "weight_decay": 0.0, "warmup_steps": 0}
    assert asdict(OptimizerSettings(**given)) == given
    with pytest.raises(ValueError, match=f"expected {name} >= 0 and finite, got"):
        OptimizerSettings(**given | {name: value})


def test_a_module_checks_the_rate_of_its_tower() -> None:
    with pytest.raises(ValueError, match="expected learning_rate >= 0"):
        CaptionTraining(tower_learning_rate=-0.1)


def test_a_run_without_end_has_no_schedule() -> None:
    endless: Any = SimpleNamespace(accumulate_grad_batches=1, estimated_stepping_batches=float("inf"))
    with pytest.raises(ValueError, match="learning rate is zero at the end"):
        total_steps(endless)
    endless.accumulate_grad_batches = 0
    with pytest.raises(ValueError, match="accumulate_grad_batches >= 1, got 0"):
        total_steps(endless)


class Tiny(LightningModule):
    """A module that checks its weights as the others do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def on_train_start(self) -> None:
        check_weights(self)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.layer(batch.to(self.layer.weight.dtype)).float().mean()

    def configure_optimizers(self) -> Any:
        return adamw([{"params": list(self.parameters())}])


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*isinstance.treespec.*")
@pytest.mark.parametrize(
    ("precision", "half"), [("bf16-true", False), ("32-true", True), ("bf16-mixed", False), ("64-true", False)]
)
def test_weights_of_few_bits_are_not_trained(precision: Any, half: bool, tmp_path: Any) -> None:
    module = Tiny().bfloat16() if half else Tiny()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, gradient_clip_val=1.0,
    )  # fmt: skip
    batches = torch.utils.data.DataLoader(torch.rand(4, 2), batch_size=2)
    if "mixed" in precision or precision == "64-true":
        trainer.fit(module, batches)
        return
    with pytest.raises(ValueError, match=r"32 bits or more to train, got bfloat16 in layer\.weight"):
        trainer.fit(module, batches)
