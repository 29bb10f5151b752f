"""A diffusion model as a denoiser, in one step.

Source: "(Certified!!) Adversarial Robustness for Free!", Carlini et al., ICLR 2023 (arXiv 2206.10550): an image x + δ
with δ of N(0, σ²) is, times √ᾱ_t, what the diffusion sees at the step t at which σ² = (1 − ᾱ_t)/ᾱ_t; its one-step
estimate of the clean image is what is classified. Diffusions work on [−1, 1], where the noise has deviation 2σ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from hrvlm.trees.bounded_text import load_json, read_text

PIPELINE_FILE = "model_index.json"
Prediction = Literal["epsilon", "sample", "v_prediction"]


class OneStepDiffusion(nn.Module):
    """One denoising step of a diffusion model at the step whose noise is that of the images."""

    def __init__(self, unet: nn.Module, alphas: Tensor, sigma: float, prediction: Prediction = "epsilon") -> None:
        """Chooses the step.

        Args:
            unet: Called as unet(images, step), it gives what `prediction` says, in `.sample`, in its first channels.
            alphas: ᾱ_t of every step `(T,)`, falling, in (0, 1).
            sigma: Standard deviation > 0 of the noise in pixel units of [0, 1].
            prediction: Whether it predicts the noise, the clean image, or the velocity.

        Raises:
            ValueError: If the noise lies outside what the diffusion was trained for.
        """
        super().__init__()
        if prediction not in get_args(Prediction):
            raise ValueError(f"expected prediction_type of {', '.join(get_args(Prediction))}, got {prediction!r}")
        self.unet, self.prediction, self.sigma = unet, prediction, sigma
        self.step = nearest_step(alphas, sigma)
        self.alpha: Tensor
        self.register_buffer("alpha", alphas[self.step].float())

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from others of the same weights, as JSON values."""
        config = dict(getattr(self.unet, "config", {}))
        kept = {name: value for name, value in config.items() if not name.startswith("_")}  # no paths, no versions
        return {"step": self.step, "prediction": self.prediction, "unet": kept}

    def forward(self, images: Tensor) -> Tensor:
        """Images `(N, 3, H, W)` in [0, 1] plus noise to clean images in [0, 1]."""
        noisy = self.alpha.sqrt() * (2.0 * images - 1.0)
        step = torch.full((len(images),), self.step, device=images.device)
        found = self.unet(noisy, step)
        predicted: Tensor = getattr(found, "sample", found)[:, : images.shape[1]]  # further channels are variances
        return (clean_estimate(noisy, predicted, self.alpha, self.prediction).clamp(-1.0, 1.0) + 1.0) / 2.0


def nearest_step(alphas: Tensor, sigma: float) -> int:
    """The step whose noise, relative to the image, is nearest to 2σ on a logarithmic scale.

    Raises:
        ValueError: If 2σ lies outside the noise of all steps by more than a twentieth of it.
    """
    relative = ((1.0 - alphas.double()) / alphas.double()).sqrt()
    if not (sigma > 0.0 and 0.95 * relative.min() <= 2.0 * sigma <= 1.05 * relative.max()):
        least, most = (float(edge) / 2.0 for edge in (relative.min(), relative.max()))
        raise ValueError(
            f"expected denoiser_sigma in [{least:.3g}, {most:.3g}], the noise that the diffusion model knows, got "
            f"{sigma}"
        )
    return int((relative.log() - torch.tensor(2.0 * sigma).double().log()).abs().argmin())


def clean_estimate(noisy: Tensor, predicted: Tensor, alpha: Tensor, prediction: Prediction) -> Tensor:
    """The clean image that a prediction says, from √ᾱ·clean + √(1 − ᾱ)·noise."""
    signal, noise = alpha.sqrt(), (1.0 - alpha).sqrt()
    if prediction == "sample":
        return predicted
    if prediction == "v_prediction":
        return signal * noisy - noise * predicted
    return (noisy - noise * predicted) / signal


def load_one_step(folder: Path, sigma: float | None) -> OneStepDiffusion:
    """A pipeline folder of diffusers, with an unconditional U-Net and a scheduler of discrete steps.

    Raises:
        ValueError: If sigma is missing, diffusers is not installed, or the folder holds another kind of pipeline.
    """
    if sigma is None:
        raise ValueError(f"expected denoiser_sigma with the diffusion model {folder}: it chooses the step")
    try:
        from diffusers import DDPMScheduler, UNet2DModel
    except ImportError as error:
        raise ValueError(
            'expected the package diffusers to read a diffusion model; install it with: pip install "hrvlm[denoisers]"'
        ) from error
    _check_pipeline(folder)
    try:
        plain = {"local_files_only": True, "use_safetensors": True, "low_cpu_mem_usage": False}
        unet: Any = UNet2DModel.from_pretrained(str(folder / "unet"), **plain)
        scheduler: Any = DDPMScheduler.from_pretrained(str(folder / "scheduler"), local_files_only=True)
    except Exception as error:  # of many kinds; all mean the same to the user
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected a U-Net in safetensors and a scheduler in {folder}: {problem}") from error
    return OneStepDiffusion(unet, scheduler.alphas_cumprod, sigma, scheduler.config.prediction_type)


def _check_pipeline(folder: Path) -> None:
    parts = load_json(read_text(folder / PIPELINE_FILE))
    unet = parts.get("unet", [None, None])[-1] if isinstance(parts, dict) else None
    if unet != "UNet2DModel":
        raise ValueError(
            f"expected a pipeline with an unconditional UNet2DModel in {folder / PIPELINE_FILE}, got {unet!r}: models "
            "that are told a class or a text, or work on latents, are not read"
        )
