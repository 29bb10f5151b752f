"""From RGB pictures to pixels in [0, 1]: the centre crop of evaluation, the random crop of training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def evaluation_transform(image_size: int) -> Callable[[Image.Image], Tensor]:
    """Shorter side resized to image_size (bicubic), centre cut out: RGB image to (3, image_size, image_size) in [0, 1].

    Nothing is normalised here: mean and standard deviation belong to the model.

    Raises:
        ValueError: If image_size is not positive.
    """
    if image_size < 1:
        raise ValueError(f"expected image_size >= 1, got {image_size}")
    return partial(_centre, image_size)


def _centre(size: int, image: Image.Image) -> Tensor:
    """The centre of a picture, resized; rounded as torchvision rounds."""
    width, height = image.size
    short = min(width, height)
    width, height = int(size * width / short), int(size * height / short)
    resized = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return pixels_of(resized.crop((left, top, left + size, top + size)))


def pixels_of(image: Image.Image) -> Tensor:
    """(3, height, width) in [0, 1] of an RGB image."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).mul_(1.0 / 255)


def check_scale(scale: tuple[float, float]) -> None:
    """Refuses what is no range of area shares.

    Raises:
        ValueError: If not 0 < least <= largest <= 1.
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"expected scale as 0 < least <= largest <= 1, got {scale}")


def random_crop(
    image: Image.Image, generator: np.random.Generator, *, image_size: int, scale: tuple[float, float]
) -> Tensor:
    """A random square of an image, resized (bicubic), mirrored half of the time.

    A square crop keeps the proportions, as the evaluation's centre crop does.

    Args:
        image: RGB.
        generator: Of place, size and mirroring.
        image_size: Side of the result, in pixels.
        scale: Least and largest share of the area that is kept, in (0, 1]; never more than the largest square.

    Returns:
        (3, image_size, image_size) in [0, 1].
    """
    width, height = image.size
    side = max(1, min(round((generator.uniform(*scale) * height * width) ** 0.5), height, width))
    top, left = (int(generator.integers(0, room + 1)) for room in (height - side, width - side))
    # Cutting and resizing bytes is several times faster than floats of the whole picture.
    crop = image.crop((left, top, left + side, top + side))
    crop = crop.resize((image_size, image_size), Image.Resampling.BICUBIC)
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return pixels_of(crop)
