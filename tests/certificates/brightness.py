"""A classifier at two levels that is simple enough to count by hand: leaves by the brightness of one pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates import Sample, Statement

SIGMA = 0.25
LEAF, COARSE = Statement((0, 0), "animals", 0, "leaf", 4), Statement((0, 1), "animals", 1, "group", 2)


def two_levels(images: Tensor) -> Mapping[Any, Tensor]:
    """Four leaves by the brightness of one pixel, two groups above them."""
    leaf = (images[:, 0, 0, 0] * 4).long().clamp(0, 3)
    return {LEAF.key: leaf, COARSE.key: leaf // 2}


def samples(count: int, first_pixel: float, shape: tuple[int, ...] = (1, 2, 3)) -> list[Sample]:
    """Random images with indices from 10; the first one has a bright pixel, which certifies at these sigmas."""
    images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, 0] = first_pixel
    return [Sample(10 + i, image, two_levels(image[None])) for i, image in enumerate(images)]
