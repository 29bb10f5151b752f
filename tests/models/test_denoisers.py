"""Denoisers before a model: loading by trust, one step of a diffusion against its formula, commands and rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hrvlm import load_model
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.cli import certify
from hrvlm.cli import main as hrvlm_main
from hrvlm.evaluation.classifiers import ClassifierWork
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.models import Checkpoint, inference_copy, load, state_digest
from hrvlm.models.denoisers import (
    ConvolutionalDenoiser,
    Denoised,
    denoiser_of,
    export_denoiser,
    load_denoiser,
    removed_sigma,
)
from hrvlm.models.denoisers.diffusion import OneStepDiffusion, clean_estimate, nearest_step


@pytest.fixture(scope="module")
def denoiser() -> ConvolutionalDenoiser:
    """Of random weights, so that it changes images."""
    torch.manual_seed(0)
    made = ConvolutionalDenoiser(width=4, blocks=1)
    nn.init.normal_(made.last.weight, std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def folder(denoiser: ConvolutionalDenoiser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_denoiser(denoiser, tmp_path_factory.mktemp("denoiser") / "small")


def test_an_untrained_denoiser_leaves_images_of_any_size_alone() -> None:
    images = torch.rand(2, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ConvolutionalDenoiser(width=3, blocks=1)(images), images)


def test_a_denoiser_in_a_folder_is_the_same(denoiser: ConvolutionalDenoiser, folder: Path) -> None:
    images = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    loaded = load_denoiser(folder)
    assert not loaded.training
    assert torch.equal(loaded(images), denoiser(images))
    assert not torch.equal(loaded(images), images)


def test_a_denoised_model_sees_denoised_images(tiny_model: Path, folder: Path, denoiser: ConvolutionalDenoiser) -> None:
    plain = load_model(tiny_model)
    loaded = load(Checkpoint(name=str(tiny_model), denoiser=str(folder)))
    assert isinstance(loaded.model, Denoised)
    assert not any(part.training for part in loaded.model.modules())
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain.encode_image(denoiser(images))
        assert torch.equal(loaded.model.encode_image(images), expected)
        assert not torch.allclose(expected, plain.encode_image(images))
        assert torch.equal(loaded.model.frozen_image_tower().encode_image(images), expected)
        torch.testing.assert_close(inference_copy(loaded.model).encode_image(images), expected)
    assert torch.equal(loaded.model.text_features(["a"]), plain.text_features(["a"]))
    # Whatever else sees pictures, as a captioner does, sees them denoised.
    assert torch.equal(loaded.model.preprocess(images), plain.preprocess(denoiser(images)))
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, H, W\), got \(3, 20, 20\)"):
        loaded.model.encode_image(images[0])
    with pytest.raises(ValueError, match="expected images of a floating-point type"):
        loaded.model.encode_image(images.to(torch.uint8))
    images.requires_grad_()  # attacks go through the denoiser
    (gradient,) = torch.autograd.grad(loaded.model.encode_image(images).sum(), images)
    assert bool(gradient.abs().sum() > 0)


def test_a_denoiser_that_changes_the_size_is_refused(tiny_model: Path) -> None:
    model = Denoised(nn.AvgPool2d(2), load_model(tiny_model))
    with pytest.raises(ValueError, match=r"expected images \(1, 3, 8, 8\) of the denoiser, got \(1, 3, 4, 4\)"):
        model.encode_image(torch.rand(1, 3, 8, 8))


def described(folder: Path, **description: Any) -> Path:
    folder.mkdir()
    (folder / "denoiser.json").write_text(json.dumps(description), encoding="utf-8")
    save_file({"scale": torch.tensor([0.5])}, folder / "denoiser.safetensors")
    return folder


OWN_MODULE = """
import torch
class Scaled(torch.nn.Module):
    def __init__(self, offset: float = 0.0):
        super().__init__()
        self.scale, self.offset = torch.nn.Parameter(torch.ones(1)), offset
    def forward(self, images):
        return self.scale * images + self.offset
"""


def test_only_classes_of_trusted_modules_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_denoisers.py").write_text(OWN_MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    given = described(tmp_path / "own", class_path="my_denoisers.Scaled", init_args={"offset": 0.25})
    with pytest.raises(ValueError, match="HRVLM_TRUSTED_MODULES if you trust it, got 'my_denoisers'"):
        load_denoiser(given)
    assert "my_denoisers" not in sys.modules
    monkeypatch.setenv("HRVLM_TRUSTED_MODULES", "my_denoisers")
    assert torch.equal(load_denoiser(given)(torch.ones(1, 3, 2, 2)), torch.full((1, 3, 2, 2), 0.75))
    monkeypatch.setenv("HRVLM_TRUSTED_MODULES", "my_denoisers,my_absent")
    with pytest.raises(ValueError, match=r"expected a module at hand in class_path in .*, got 'my_absent'"):
        load_denoiser(described(tmp_path / "absent", class_path="my_absent.Scaled"))
    wrong = described(tmp_path / "wrong", class_path="my_denoisers.Scaled", init_args={"shift": 1})
    with pytest.raises(ValueError, match=r"expected arguments of my_denoisers\.Scaled as init_args"):
        load_denoiser(wrong)


def test_what_weights_do_not_tell_is_told_by_digests(
    tmp_path: Path, tiny_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_offsets.py").write_text(OWN_MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HRVLM_TRUSTED_MODULES", "my_offsets")
    told: dict[str, Any] = {"class_path": "my_offsets.Scaled"}
    folders = [described(tmp_path / f"{at}", **told, init_args={"offset": at}) for at in (0.25, 0.5)]
    models = [load(Checkpoint(name=str(tiny_model), denoiser=str(given))).model for given in (*folders, folder)]
    models += [models[0].frozen_image_tower()]
    stated = [denoiser_of(model)["denoiser"].split() for model in models]
    assert [kind for kind, _ in stated] == ["Scaled", "Scaled", "ConvolutionalDenoiser", "Scaled"]
    assert stated[0] == stated[3] != stated[1]
    assert state_digest(models[0].state_dict()) != state_digest(models[1].state_dict())
    assert stated[2][1] == state_digest(load_denoiser(folder).state_dict())  # of its own class weights tell all
    diffusions = [OneStepDiffusion(nn.Identity(), ALPHAS, 0.25, kind) for kind in ("epsilon", "sample")]
    plain = load_model(tiny_model)
    assert len({str(denoiser_of(Denoised(each, plain, settings=each.settings))) for each in diffusions}) == 2


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"class_path": "os.system"}, "got 'os'"),
        ({"class_path": "hrvlm.models.denoisers.network.FOLD"}, "expected a class of modules as class_path"),
        ({"init_args": {}}, "expected class_path and init_args of a denoiser"),
        ({"class_path": 3}, "expected class_path and init_args of a denoiser"),
        ({"class_path": "hrvlm.models.denoisers.network.ConvolutionalDenoiser"}, "to hold the weights of its denoiser"),
    ],
)
def test_damaged_descriptions_are_refused(description: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_denoiser(described(tmp_path / "bad", **description))


def test_what_is_no_denoiser_is_refused_in_one_sentence(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a folder with denoiser\.json and denoiser\.safetensors"):
        load_denoiser(tmp_path)
    with pytest.raises(ValueError, match="expected no denoiser_sigma"):
        load_denoiser(folder, sigma=0.25)
    with pytest.raises(ValueError, match=r"expected denoiser_sigma with a denoiser, got 0\.25 without one"):
        Checkpoint(name="emoji", denoiser_sigma=0.25)
    with pytest.raises(ValueError, match="on this machine"):
        load_denoiser("https://example.org/denoiser")


ALPHAS = torch.cumprod(1.0 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), dim=0)


class Oracle(nn.Module):
    """Knows the clean images, and answers as a perfect diffusion model would; further channels are variances."""

    def __init__(self, clean: Tensor, prediction: str) -> None:
        super().__init__()
        self.clean, self.prediction = 2.0 * clean - 1.0, prediction

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        alpha = ALPHAS[step].float()[:, None, None, None]
        noise = (noisy - alpha.sqrt() * self.clean) / (1.0 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1.0 - alpha).sqrt() * self.clean
        answer = {"epsilon": noise, "sample": self.clean, "v_prediction": velocity}[self.prediction]
        return torch.cat([answer, torch.full_like(answer, 7.0)], dim=1)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("sigma", [0.12, 0.5])
def test_one_step_of_a_perfect_diffusion_model_gives_the_clean_image(prediction: Any, sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(2, 3, 5, 5, generator=generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    model = OneStepDiffusion(Oracle(clean, prediction), ALPHAS, sigma, prediction)
    torch.testing.assert_close(model(noisy), clean, rtol=0.0, atol=1e-4)


def test_the_step_is_the_one_with_the_noise_of_the_images() -> None:
    for sigma in (0.12, 0.25, 0.5, 1.0):
        step = nearest_step(ALPHAS, sigma)
        noise = np.sqrt((1 - ALPHAS.numpy()) / ALPHAS.numpy())  # on [-1, 1]
        assert abs(np.log(noise[step] / (2 * sigma))) == np.abs(np.log(noise / (2 * sigma))).min()
    assert nearest_step(ALPHAS, 0.25) < nearest_step(ALPHAS, 0.5)
    for sigma in (1e-4, 1000.0, 0.0, float("nan")):
        with pytest.raises(ValueError, match=r"expected denoiser_sigma in \[0\.005, "):
            nearest_step(ALPHAS, sigma)
    assert clean_estimate(torch.ones(1), torch.zeros(1), torch.tensor(0.25), "epsilon").item() == 2.0


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline, as diffusers itself stores it."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    sizes = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1}
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, **sizes, **blocks)
    folder = tmp_path_factory.mktemp("pipeline")
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    return folder


def test_a_pipeline_of_diffusers_is_one_step_of_its_u_net(pipeline: Path, tiny_model: Path) -> None:
    from diffusers import UNet2DModel

    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    unet = UNet2DModel.from_pretrained(str(pipeline / "unet"), low_cpu_mem_usage=False).eval()
    step = nearest_step(ALPHAS, 0.25)  # its default schedule
    alpha = float(ALPHAS[step])
    model = load(Checkpoint(name=str(tiny_model), denoiser=str(pipeline), denoiser_sigma=0.25)).model
    assert isinstance(model, Denoised)
    assert (removed_sigma(model), removed_sigma(load_model(tiny_model))) == (0.25, None)
    with torch.no_grad():
        noisy = alpha**0.5 * (2 * images - 1)
        estimate = (noisy - (1 - alpha) ** 0.5 * unet(noisy, step).sample) / alpha**0.5
        torch.testing.assert_close(model.denoiser(images), (estimate.clamp(-1, 1) + 1) / 2, rtol=1e-4, atol=1e-4)


def test_certificates_at_another_sigma_than_is_taken_off_are_told(
    pipeline: Path, tiny_model: Path, pictures: Path
) -> None:
    behind = Checkpoint(name=str(tiny_model), denoiser=str(pipeline), denoiser_sigma=0.25)
    for sigma, told in ((0.25, []), (0.5, ["certified at sigma 0.5 behind a denoiser that takes off noise of 0.25"])):
        plan = CertificationPlan(sigma=sigma, num_images=1)
        work = ClassifierWork(behind, CertificationSettings(data=str(pictures), plan=plan), torch.device("cpu"))
        assert work.remarks() == told


def test_pipelines_of_other_kinds_are_refused(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected denoiser_sigma with the diffusion model"):
        load_denoiser(pipeline)
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"unconditional UNet2DModel in .*, got 'UNet2DConditionModel'"):
        load_denoiser(tmp_path, 0.25)
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DModel"]}', encoding="utf-8")
    with pytest.raises(ValueError, match="expected a U-Net in safetensors and a scheduler"):
        load_denoiser(tmp_path, 0.25)


def test_commands_take_a_denoiser_and_rows_depend_on_it(
    tiny_model: Path, pictures: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--checkpoint", str(tiny_model), "--denoiser", str(folder)]
    numbers = {"num_images": 2, "n0": 4, "n": 40, "alpha": 0.1, "sigma": 0.25}
    short = [f"--plan.{name}={value}" for name, value in numbers.items()]
    run = ["run", *named, "--data", str(pictures), "--output", str(tmp_path / "run"), *short]
    certify.main(run)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    digest = state_digest(load_denoiser(folder).state_dict())
    assert settings["denoiser"] == f"ConvolutionalDenoiser {digest}"
    assert settings["given_denoiser"] == str(folder)
    assert settings["given_checkpoint"] == f"{tiny_model} behind the denoiser small"
    certify.main(["verify", str(tmp_path / "run")])
    with pytest.raises(SystemExit):
        certify.main([*run[:3], *run[5:]])  # the same folder without the denoiser
    assert "expected" in capsys.readouterr().err
    certify.main(["attack", *named, "--data", str(pictures), "--output", str(tmp_path / "attack"), "--attacks", "pgd2",
                  "--eps", "4/255", "--plan.num_images", "2"])  # fmt: skip
    with pytest.raises(SystemExit):
        hrvlm_main.main(["export", *named, "--output", str(tmp_path / "exported")])
    assert "expected a model without a denoiser to export" in capsys.readouterr().err
