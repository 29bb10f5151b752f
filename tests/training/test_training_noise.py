"""Noise of training: by address, unclipped, the same throughout a step, and outside the budget of perturbations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_cases import LABELS, SmallModel, images_of
from short_settings import made
from torch import Tensor

from hrvlm.attacks.randomness import PerImageGenerator
from hrvlm.objectives import (
    CleanObjective,
    Consistency,
    FAREObjective,
    HierarchicalObjective,
    NoisyModel,
    Objective,
    PMGAFTObjective,
    TeCoAObjective,
)
from hrvlm.training.captioning import CaptionTraining
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.noise import drawn
from hrvlm.training.randomness import noise_seeds, start_seeds
from hrvlm.training.settings import TrainingNoise
from hrvlm.trees import ClassTree, Forest, Node, TreeInfo

EPS = 8 / 255
OBJECTIVES: dict[str, type[Objective]] = {
    "clean": CleanObjective, "tecoa": TeCoAObjective, "pmg-aft": PMGAFTObjective, "fare": FAREObjective,
    "hierarchical": HierarchicalObjective,
}  # fmt: skip
PARENTS = {"ant": "animal", "bee": "animal", "cat": "animal", "dog": "animal", "elm": "plant", "fir": "plant"}


def forest() -> Forest:
    nodes = [Node(name, name, parent) for name, parent in {**PARENTS, "animal": None, "plant": None}.items()]
    return Forest([ClassTree.from_nodes(nodes, TreeInfo(name="kinds")).restrict(tuple(PARENTS))])


class Watched(SmallModel):
    """Keeps the pictures that reach the tower; its frozen copy keeps its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def encode_image(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return super().encode_image(images)


def ready(name: str, **settings: Any) -> tuple[Objective, Watched]:
    torch.manual_seed(0)
    attack = {} if name == "clean" else {"eps": EPS, "step_size": EPS / 2, "steps": 2} | settings
    objective, model = made(OBJECTIVES[name], **attack), Watched()
    objective.bind(forest())
    objective.prepare(model, images_of(range(10)))
    model.seen.clear()
    return objective, model


def noise_of(indices: list[int], noise: TrainingNoise, epoch: int = 0) -> tuple[Tensor, Tensor]:
    return drawn(noise, images_of(indices), noise_seeds(3, epoch, indices))


@pytest.mark.parametrize("mode", ["fixed", "uniform"])
def test_noise_belongs_to_pictures_and_epochs_and_to_nothing_else(mode: Any) -> None:
    noise = TrainingNoise(sigma=0.3, mode=mode, share=0.7)
    whole, sigmas = noise_of(list(range(8)), noise)
    torch.manual_seed(99)
    torch.rand(5)
    others = [noise_of(part, noise) for part in ([5, 2], [7, 0, 1])]
    assert torch.equal(others[0][0], whole[:, [5, 2]])
    assert torch.equal(others[1][1], sigmas[[7, 0, 1]])
    more, strengths = noise_of(list(range(8)), replace(noise, copies=3))
    assert torch.equal(more[:1], whole)
    assert torch.equal(strengths, sigmas)
    assert not torch.equal(more[1], more[2])
    again, _ = noise_of(list(range(8)), noise, epoch=1)
    assert not torch.equal(again, whole)
    assert set(noise_seeds(3, 0, range(50))).isdisjoint(start_seeds(3, 0, range(50)))


def test_amount_and_share_are_what_is_asked_for() -> None:
    images, seeds = torch.zeros(400, 3, 8, 8), noise_seeds(0, 0, range(400))
    fixed, sigmas = drawn(TrainingNoise(sigma=0.5), images, seeds)
    assert fixed.shape == (1, 400, 3, 8, 8)
    assert bool((sigmas == 0.5).all())
    assert float(fixed.std()) == pytest.approx(0.5, rel=0.02)
    assert float(fixed.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(fixed.abs().max()) > 1.5  # nothing is clipped
    some, strengths = drawn(TrainingNoise(sigma=0.5, mode="uniform", share=0.6), images, seeds)
    noisy = strengths > 0
    assert 0.52 < noisy.float().mean() < 0.68
    assert bool((some[0, ~noisy] == 0).all())
    assert torch.allclose(some[0, noisy].flatten(1).std(1), strengths[noisy], rtol=0.25)
    quarters = torch.histc(strengths[noisy], 4, 0.0, 0.5) / noisy.sum()
    assert bool(((quarters - 0.25).abs() < 0.08).all())
    assert drawn(TrainingNoise(), images.double(), seeds)[0].dtype == torch.float64


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_pass_of_a_step_sees_one_noise_and_the_budget_is_kept_without_it(name: str, norm: str) -> None:
    objective, model = ready(name, norm=norm)
    indices = list(range(len(LABELS)))
    images, noise = images_of(indices), noise_of(indices, TrainingNoise(sigma=0.5))
    noisy, starts = NoisyModel(model, *noise), PerImageGenerator(indices)
    adversarial = objective.perturb(noisy, images, LABELS, starts)
    threat = objective.threat_model
    threat.check(adversarial.images, images)
    assert bool(((adversarial.images >= 0) & (adversarial.images <= 1)).all())
    if norm == "linf":
        assert bool(((adversarial.images - images).abs() <= threat.eps + 2**-24).all())
    objective.loss(noisy, adversarial, images, LABELS)
    shown = model.seen
    assert len(shown) >= (1 if name == "clean" else 3)
    assert any(torch.equal(seen, adversarial.images + noise[0][0]) for seen in shown)
    for seen in shown:
        assert bool((threat.distance(seen, images + noise[0][0]) <= threat.eps * 1.001 + 1e-5).all())
    assert max(float(seen.max()) for seen in shown) > 1.5  # unclipped


@pytest.mark.parametrize("name", ["pmg-aft", "fare"])
def test_the_reference_sees_pictures_without_noise(name: str) -> None:
    objective, model = ready(name)
    images, noise = images_of(range(10)), noise_of(list(range(10)), TrainingNoise(sigma=0.5))
    noisy = NoisyModel(model, *noise)
    adversarial = objective.perturb(noisy, images, LABELS, PerImageGenerator(range(10)))
    objective.loss(noisy, adversarial, images, LABELS)
    (tower,) = objective._reference  # type: ignore[attr-defined]
    assert tower.seen
    target = adversarial.images if name == "pmg-aft" else images
    assert all(torch.equal(seen, target) for seen in tower.seen)


def test_other_pictures_than_the_noise_is_for_are_refused() -> None:
    noisy = NoisyModel(SmallModel(), *noise_of([0, 1], TrainingNoise()))
    with pytest.raises(ValueError, match=r"expected the images \(2, 3, 8, 8\) .* at most 1 times, got \(3,"):
        noisy.encode_image(images_of([0, 1, 2]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 64.0}, r"expected sigma of the noise in \(0, 2\], .* got 64.0: write 64/255"),
        ({"sigma": 0.0}, "got 0.0$"),
        ({"sigma": float("nan")}, "got nan"),
        ({"mode": "gaussian"}, "expected mode of the noise as one of fixed, uniform, got 'gaussian'"),
        ({"share": 1.5}, r"expected share of the noise in \[0, 1\], got 1.5"),
        ({"copies": 0}, "expected copies of the noise from 1 to 64, got 0$"),
        ({"consistency": Consistency()}, "from 2 to 64, got 1: consistency compares copies of a picture"),
    ],
)
def test_bad_settings_of_noise_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingNoise(**settings)


def test_captions_have_no_copies_to_compare() -> None:
    with pytest.raises(ValueError, match=r"expected training_noise of one copy and without terms .* got copies 2"):
        CaptionTraining(training_noise=TrainingNoise(copies=2))


def test_training_shows_the_model_the_noise_of_each_picture(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own steps, and statistics of batch norms that may adapt to what is shown."""
    steps, plain = [], RobustFineTuning.training_step

    def watched(module: RobustFineTuning, batch: dict[str, Any], batch_idx: int) -> Tensor:
        shown: list[Tensor] = []
        before = module.model.clip.visual.bn1.running_mean.clone()
        hook = module.model.clip.visual.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach()))
        loss = plain(module, batch, batch_idx)
        hook.remove()
        seeds = noise_seeds(7, module.current_epoch, batch["index"].tolist())
        expected = batch["image"] + drawn(module.noise, batch["image"], seeds)[0][0]
        steps.append((shown, module.model.preprocess(expected)))
        assert not torch.equal(module.model.clip.visual.bn1.running_mean, before)
        return loss

    monkeypatch.setattr(RobustFineTuning, "training_step", watched)
    chosen = make_settings(tmp_path)
    chosen["model"]["init_args"] |= {
        "objective": {"class_path": "hrvlm.objectives.CleanObjective"}, "seed": 7,
        "noise": {"sigma": 0.2, "mode": "uniform", "share": 0.5}, "trained": {"freeze_batch_norm": False},
    }  # fmt: skip
    chosen["trainer"] |= {"callbacks": [], "max_epochs": 1, "limit_val_batches": 0, "enable_checkpointing": False}
    run_train(tmp_path, chosen)
    assert len(steps) == 4
    assert all(len(shown) == 1 and torch.equal(shown[0], expected) for shown, expected in steps)
