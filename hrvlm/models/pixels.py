"""Pictures are floating-point numbers in [0, 1]; those from 0 to 255 are the most frequent mistake."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# Noise and perturbed colours leave [0, 1] by a little, and no picture in it comes near.
TOO_BRIGHT = 16.0
HINT = "pixels lie in [0, 1]: divide numbers from 0 to 255 by 255"


def check_type(images: Tensor) -> None:
    """Refuses pictures of integers.

    Raises:
        ValueError: If they are no floating-point numbers.
    """
    if not images.is_floating_point():
        raise ValueError(f"expected images of a floating-point type, got {images.dtype}; {HINT}")


def check_images(images: Tensor) -> None:
    """Refuses batches of another shape, and pictures of integers.

    Raises:
        ValueError: If the shape is not (N, 3, H, W), or pixels are no floating-point numbers.
    """
    check_type(images)
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"expected images of shape (N, 3, H, W), got {tuple(images.shape)}")


def clean_picture(data: Any, index: int) -> tuple[Tensor, Any]:
    """A picture (3, H, W) of a data set and its label.

    Raises:
        ValueError: If its pixels are integers, or lie far above 1.
    """
    image, label = data[index]
    check_type(image)
    if image.numel() and float(image.max()) > TOO_BRIGHT:
        raise ValueError(f"expected images in [0, 1], got picture {index} with values up to {image.max():g}; {HINT}")
    return image, label
