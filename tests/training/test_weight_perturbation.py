"""Weights that are moved up the loss for one step: how far, what the step then descends, and that they come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from hrvlm.attacks import Ascent, NonFiniteError, ThreatModel
from hrvlm.attacks.randomness import PerImageGenerator
from hrvlm.data.folder import FolderDataModule
from hrvlm.objectives import HierarchicalObjective, TeCoAObjective
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.randomness import start_seeds, step_seed
from hrvlm.training.settings import OptimizerSettings, TrainedParts, WeightPerturbation
from hrvlm.training.weight_perturbation import MovedWeights, steepest

GAMMA = 0.05


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    made[2].requires_grad_(False)
    return made


def loss_of(made: nn.Module) -> torch.Tensor:
    return made(torch.linspace(-1, 1, 20).view(5, 4)).square().sum()


def test_trained_matrices_move_by_a_share_of_their_norm_and_come_back_to_the_last_bit() -> None:
    made, moved = network(), MovedWeights()
    made[0].weight.grad = torch.ones_like(made[0].weight)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    gradients = torch.autograd.grad(loss_of(made), [made[0].weight, made[4].weight])
    moved.move(loss_of(made), made.parameters(), GAMMA, None)
    for name, gradient in zip(("0.weight", "4.weight"), gradients, strict=True):
        length = GAMMA * before[name].square().sum().sqrt() / gradient.square().sum().sqrt()
        torch.testing.assert_close(made.state_dict()[name] - before[name], length * gradient, rtol=1e-4, atol=1e-7)
    assert all(
        torch.equal(made.state_dict()[name], before[name]) for name in before if name[0] == "2" or "bias" in name
    )
    assert torch.equal(made[0].weight.grad, torch.ones_like(made[0].weight))
    assert made[4].weight.grad is None
    moved.restore()
    moved.restore()
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_moving_raises_the_loss_and_gradients_of_any_size_move_as_far() -> None:
    made, moved = network(), MovedWeights()
    before = loss_of(made)
    moved.move(loss_of(made), made.parameters(), GAMMA, None)
    assert loss_of(made) > before
    weight, gradient = torch.randn(3, 4), torch.randn(3, 4)
    expected = steepest(weight, gradient, GAMMA)
    for size in (1e-30, 1e30):
        torch.testing.assert_close(steepest(weight, size * gradient, GAMMA), expected)
    assert torch.equal(steepest(weight, torch.zeros(3, 4), GAMMA), torch.zeros(3, 4))


def test_a_gradient_that_is_no_number_stops_or_where_losses_are_scaled_moves_nothing() -> None:
    made, moved = network(), MovedWeights()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with pytest.raises(NonFiniteError, match="expected a finite weight gradient"):
        moved.move(torch.nan * loss_of(made), made.parameters(), GAMMA, None)
    moved.move(torch.inf * loss_of(made), made.parameters(), GAMMA, 1024.0)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    moved.move(1e-42 * loss_of(made), made.parameters(), GAMMA, 2.0**100)
    assert not torch.equal(made[0].weight, before["0.weight"])


def test_autocast_does_not_go_on_with_the_weights_of_before() -> None:
    made, moved = network(), MovedWeights()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved.move(loss_of(made).float(), made.parameters(), 0.5, None)
        found = loss_of(made)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(found, loss_of(made))


class Observer(Callback):
    """Weights before a batch, and weights and gradients before the optimizer's step."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.fails = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batches.append({"batch": batch, "epoch": trainer.current_epoch, "before": weights(pl_module)})

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        self.batches[-1] |= {"moved": weights(pl_module), "loss": loss.detach().clone()}
        if self.fails:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "stopped.ckpt")
            raise KeyError("stopped between a loss and its gradients")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        found = {name: p.grad.clone() for name, p in pl_module.named_parameters() if p.grad is not None}
        self.batches[-1] |= {"after": weights(pl_module), "gradients": found}


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@pytest.fixture
def fit(tiny_model: Path, tree_file: Path, pictures: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(
        observer: Observer,
        perturbation: WeightPerturbation | None,
        kind: type = HierarchicalObjective,
        parts: dict[str, bool] | None = None,
        **switches,
    ):
        module = RobustFineTuning(
            objective=kind(threat_model=ThreatModel(eps=0.02), ascent=Ascent(steps=1, step_size=0.02)),
            trees=[str(tree_file)],
            model=str(tiny_model),
            trained=TrainedParts(weight_perturbation=perturbation, **(parts or {})),
            optimizer=OptimizerSettings(learning_rate=1e-3, warmup_steps=0),
        )
        files = {"train_folder": str(pictures), "evaluation_folders": {"validation": str(pictures)}}
        data = FolderDataModule(**files, image_size=32, batch_size=8, num_workers=0)
        trainer = Trainer(
            **{"max_epochs": 2, "limit_train_batches": 1, "accelerator": "cpu", "devices": 1} | switches,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            limit_val_batches=0, use_distributed_sampler=False, inference_mode=False, callbacks=[observer],
            default_root_dir=str(tmp_path),
        )  # fmt: skip
        with torch.random.fork_rng():
            trainer.fit(module, datamodule=data)
        return module

    return run


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:The number of training batches.*"),
    pytest.mark.filterwarnings("ignore:Found .* module.s. in eval mode"),  # training starts by changing that
]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("kind", [HierarchicalObjective, TeCoAObjective])
def test_a_step_of_training_descends_the_gradient_at_moved_weights(kind: type, fit: Callable[..., Any]) -> None:
    """From the second epoch on, as asked for; each step by hand, from the batch and the weights before it."""
    observer = Observer()
    module = fit(observer, WeightPerturbation(gamma=GAMMA, start_epoch=1), kind)
    first, second = observer.batches
    assert equal(first["moved"], first["before"])
    assert not equal(second["moved"], second["before"])
    for seen in (first, second):
        assert equal(seen["after"], seen["before"])  # what the optimizer finds
    objective, model = module.objective, module.model
    module.load_state_dict(module.state_dict() | second["before"])
    images, labels = second["batch"]["image"], second["batch"]["label"]
    with torch.random.fork_rng():
        torch.manual_seed(step_seed(0, 1, 0, 0))
        starts = PerImageGenerator(start_seeds(0, 1, second["batch"]["index"].tolist()))
        adversarial = objective.perturb(model, images, labels, starts)
        module.zero_grad()
        objective.loss(model, adversarial, images, labels)[0].backward()
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.grad is not None and parameter.ndim > 1:
                    share = GAMMA * parameter.norm() / parameter.grad.norm()
                    parameter += share * parameter.grad
        module.zero_grad()
        loss = objective.loss(model, adversarial, images, labels)[0]
        loss.backward()
    torch.testing.assert_close(second["loss"], loss.detach(), rtol=1e-4, atol=1e-5)
    assert second["gradients"]
    for name, gradient in second["gradients"].items():
        torch.testing.assert_close(gradient, module.get_parameter(name).grad, rtol=1e-2, atol=1e-4)


def test_without_it_or_with_a_length_of_zero_training_is_the_same_to_the_last_bit(fit: Callable[..., Any]) -> None:
    plain, zero = (fit(Observer(), perturbation) for perturbation in (None, WeightPerturbation(gamma=0.0)))
    assert equal(weights(plain), weights(zero))


def test_a_run_stopped_before_its_gradients_leaves_weights_and_checkpoints_as_they_belong(
    fit: Callable[..., Any], tmp_path: Path
) -> None:
    observer = Observer()
    observer.fails = True
    with pytest.raises(KeyError, match="stopped between"):
        fit(observer, WeightPerturbation(gamma=GAMMA))
    (seen,) = observer.batches
    assert not equal(seen["moved"], seen["before"])
    stored = torch.load(tmp_path / "stopped.ckpt", weights_only=True)["state_dict"]
    assert equal(seen["before"], stored)


def test_a_run_without_trained_matrices_is_refused(fit: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"expected trained matrices .* for trained\.weight_perturbation"):
        fit(Observer(), WeightPerturbation(), parts={"image_tower": False, "text_projection": False})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 1.0}, r"expected gamma in \[0, 1\) of the weight perturbation, got 1.0"),
        ({"gamma": -0.1}, "got -0.1"),
        ({"start_epoch": -1}, "expected start_epoch >= 0 of the weight perturbation, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightPerturbation(**settings)
