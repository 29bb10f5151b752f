"""Fixed views of an image that show the same thing: what a group of an image's samples is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

View = Literal["mirrored", "enlarged", "darkened"]
ENLARGED_SHARE = 0.8  # of each side that the enlarged view keeps
DARKENED = 0.7


def check_views(names: Sequence[str]) -> tuple[View, ...]:
    """The views, each once.

    Raises:
        ValueError: If one is unknown or named twice.
    """
    known = get_args(View)
    if any(name not in known for name in names) or len(set(names)) < len(names):
        raise ValueError(f"expected different views of {', '.join(known)}, got {list(names)}")
    return tuple(names)  # type: ignore[arg-type]  # checked


def views(images: Tensor, names: Sequence[View]) -> Tensor:
    """Images `(B, 3, H, W)` and their views, `(B, 1 + names, 3, H, W)`; the images themselves come first."""
    return torch.stack([images, *(_VIEWS[name](images) for name in names)], dim=1)


def _enlarged(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    kept = [max(1, round(ENLARGED_SHARE * side)) for side in (height, width)]
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    inner = images[..., top : top + kept[0], left : left + kept[1]]
    return F.interpolate(inner, size=(height, width), mode="bilinear", align_corners=False)


_VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mirrored": lambda images: images.flip(-1),
    "enlarged": _enlarged,
    "darkened": lambda images: DARKENED * images,
}
