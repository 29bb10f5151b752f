"""Noise on the pictures of training, by address: the same for an image whatever process or batch it falls to.

Source: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918): a
classifier that is to be certified under Gaussian noise is trained under it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.models.descriptions import NOISE_KEY
from hrvlm.training.settings import TrainingNoise

TOLD = ("sigma", "mode", "share")  # of the noise, in descriptions of models


def trained_under(noise: TrainingNoise | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a model that is trained under some noise, which checkpoints and exports then carry.

    Args:
        noise: Of this run; None for none, whatever noise the weights that it starts from have seen.
        config: The model's description before, in open_clip's form.
    """
    kept = {name: value for name, value in config.items() if name != NOISE_KEY}
    return kept if noise is None else kept | {NOISE_KEY: {name: getattr(noise, name) for name in TOLD}}


@torch.no_grad()
def drawn(noise: TrainingNoise, images: Tensor, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Noise for each image of a batch, drawn on the batch's device.

    Args:
        noise: How much, and for which images.
        images: `(B, 3, H, W)`; only shape, dtype and device matter.
        seeds: One per image, see `randomness.noise_seeds`. Streams of different kinds of devices differ.

    Returns:
        Noise `(m, B, 3, H, W)`, and its standard deviations `(B,)` in pixel units, 0 for images that get none.
    """
    found = [_of_image(noise, images[place], seed) for place, seed in enumerate(seeds)]
    rows, sigmas = zip(*found, strict=True)
    return torch.stack(rows, dim=1), torch.stack(sigmas)


def _of_image(noise: TrainingNoise, image: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Noise `(m, 3, H, W)` of one image, the first copies being those of fewer, and its deviation."""
    stream = torch.Generator(image.device).manual_seed(seed)
    chosen, strength = torch.rand(2, generator=stream, device=image.device)  # whatever the settings: one order of draws
    sigma = noise.sigma * (strength if noise.mode == "uniform" else torch.ones_like(strength)) * (chosen < noise.share)
    draws = [torch.randn(image.shape, generator=stream, device=image.device) for _ in range(noise.copies)]
    return (sigma * torch.stack(draws)).to(image.dtype), sigma
