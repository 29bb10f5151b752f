"""Training of a denoiser: its loss written out here, noise by address, an export that loads, settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hrvlm import load_model
from hrvlm.models.denoisers import load_denoiser
from hrvlm.objectives import MaximizedRadius
from hrvlm.training.denoising import DenoiserTraining
from hrvlm.training.noise import drawn
from hrvlm.training.randomness import noise_seeds
from hrvlm.training.settings import TrainingNoise


def logged(folder: Path, name: str) -> list[float]:
    header, *rows = (line.split(",") for line in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines())
    column = header.index(name)
    return [float(row[column]) for row in rows if row[column]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
) -> tuple[Path, Path]:
    """Folder of the metrics, and that of the denoiser after some epochs."""
    folder = tmp_path_factory.mktemp("denoising")
    chosen = make_settings(folder)
    arguments = {"model": str(tiny_model), "width": 8, "blocks": 1, "folder": str(folder / "denoiser")}
    arguments |= {"optimizer": {"learning_rate": 5e-3, "warmup_steps": 1}}
    chosen["model"] = {"class_path": "hrvlm.training.denoising.DenoiserTraining", "init_args": arguments}
    chosen["trainer"] |= {"callbacks": [], "max_epochs": 16, "enable_checkpointing": False, "log_every_n_steps": 1}
    return run_train(folder, chosen), folder / "denoiser"


@pytest.mark.slow
def test_training_takes_noise_off_and_exports_what_it_trained(trained: tuple[Path, Path]) -> None:
    folder, exported = trained
    errors = logged(folder, "validation/pixels")
    assert len(errors) == 16
    assert errors[-1] < 0.8 * 0.25**2  # of images left as they are it is the noise itself
    generator = torch.Generator().manual_seed(0)
    flat = torch.full((4, 3, 16, 16), 0.5)
    noisy = flat + 0.25 * torch.randn(flat.shape, generator=generator)
    with torch.no_grad():
        denoised = load_denoiser(exported)(noisy)
    assert float((denoised - flat).square().mean()) < 0.8 * float((noisy - flat).square().mean())


def test_loss_is_both_errors_under_noise_by_address(tiny_model: Path) -> None:
    module = DenoiserTraining(model=str(tiny_model), width=4, blocks=1, pixel_weight=3.0, feature_weight=0.5, seed=2)
    with torch.no_grad():
        module.denoiser.last.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    images, indices = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([5, 0, 9])
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # there is no trainer
    loss = module.training_step({"image": images, "index": indices}, 0)
    noise, _ = drawn(TrainingNoise(sigma=0.25), images, noise_seeds(2, 0, [5, 0, 9]))
    denoised, model = module.denoiser(images + noise[0]), load_model(tiny_model)
    features = [F.normalize(model.encode_image(part), dim=-1) for part in (denoised, images)]
    expected = 3.0 * F.mse_loss(denoised, images) + 0.5 * (features[0] - features[1]).square().sum() / 3
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.denoiser.parameters())
    assert all(parameter.grad is None for parameter in module._model[0].parameters())
    assert all(name.startswith("denoiser.") for name in module.state_dict())


def test_noise_that_no_loss_of_pictures_uses_is_refused(tiny_model: Path) -> None:
    for more in ({"copies": 2}, {"radius": MaximizedRadius()}):
        with pytest.raises(ValueError, match=r"expected noise of one copy and without terms .*: leave them out"):
            DenoiserTraining(model=str(tiny_model), noise=TrainingNoise(**more))


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (0.0, 0.0), (1.0, float("nan"))])
def test_weights_that_leave_no_loss_are_refused(weights: tuple[float, float], tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="expected pixel_weight and feature_weight >= 0, one of them above"):
        DenoiserTraining(model=str(tiny_model), pixel_weight=weights[0], feature_weight=weights[1])
