"""How a picture with transparency is shown: exact size, rotation, background, hue, greyscale and brightness.

The attributes have exact parameters, so that a semantic change can be made in small known steps and a certificate of
the change compared with true pictures of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_RANGES = {"size": (1e-3, 4.0), "greyscale": (0.0, 1.0), "brightness": (0.0, 4.0)}
NUMBERS = ("size", "rotation", "hue", "greyscale", "brightness", "shift_x", "shift_y")


@dataclass(frozen=True)
class Appearance:
    """Parameters of one rendering; the defaults show the picture as drawn, on white.

    Attributes:
        size: Scale of the drawing; 1 fills the frame. In [0.001, 4].
        rotation: Anticlockwise, degrees.
        background: RGB in [0, 1].
        hue: Rotation of the drawing's hue, degrees.
        greyscale: 0 keeps the colours, 1 removes them. In [0, 1].
        brightness: Factor on the finished picture; values are clamped to [0, 1]. In [0, 4].
        shift_x: To the right, as a share of the frame.
        shift_y: Downwards, as a share of the frame.
    """

    size: float = 1.0
    rotation: float = 0.0
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hue: float = 0.0
    greyscale: float = 0.0
    brightness: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value, (low, high) = getattr(self, name), _RANGES.get(name, (-math.inf, math.inf))
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"expected {name} as a finite number in [{low}, {high}], got {value}")
        if len(self.background) != 3 or not all(0.0 <= channel <= 1.0 for channel in self.background):
            raise ValueError(f"expected background as three numbers in [0, 1], got {self.background}")


def _column(appearances: Sequence[Appearance], name: str) -> Tensor:
    return torch.tensor([getattr(appearance, name) for appearance in appearances], dtype=torch.float32)


def _affine_grid(appearances: Sequence[Appearance], height: int, width: int) -> Tensor:
    """Sampling grid (N, H, W, 2): the inverse of rotate, scale, then shift."""
    angle = _column(appearances, "rotation") * (math.pi / 180)
    size = _column(appearances, "size")
    shift = torch.stack([_column(appearances, "shift_x"), _column(appearances, "shift_y")], dim=1) * 2
    cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
    # Grid coordinates run from -1 to 1 along both axes, so a turn in a frame that is not square needs its aspect.
    rows = [torch.stack([cosine, -sine * height / width], 1), torch.stack([sine * width / height, cosine], 1)]
    linear = torch.stack(rows, 1)
    offset = -(linear @ shift[:, :, None])
    return F.affine_grid(torch.cat([linear, offset], dim=2), [len(appearances), 4, height, width], align_corners=False)


def _hue_matrix(degrees: Tensor) -> Tensor:
    """Rotation about the grey axis of RGB, (N, 3, 3)."""
    angle = degrees * (math.pi / 180)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -axis, axis], [axis, 0.0, -axis], [-axis, axis, 0.0]])
    outer = torch.full((3, 3), 1 / 3)
    return cosine[:, None, None] * torch.eye(3) + sine[:, None, None] * cross + (1 - cosine)[:, None, None] * outer


def _recolour(colours: Tensor, appearances: Sequence[Appearance]) -> Tensor:
    """Hue and greyscale on (N, 3, H, W) colours."""
    hue, greyscale = _column(appearances, "hue"), _column(appearances, "greyscale")
    if hue.any():
        colours = torch.einsum("nij,njhw->nihw", _hue_matrix(hue), colours).clamp(0, 1)
    if greyscale.any():
        grey = (colours * torch.tensor(_LUMA)[None, :, None, None]).sum(1, keepdim=True)
        colours = torch.lerp(colours, grey.expand_as(colours), greyscale[:, None, None, None])
    return colours


def render(tiles: Tensor, appearances: Sequence[Appearance]) -> Tensor:
    """Shows pictures with transparency.

    Args:
        tiles: uint8 RGBA, (N, 4, H, W).
        appearances: N renderings.

    Returns:
        float32 images (N, 3, H, W) in [0, 1].

    Raises:
        ValueError: If the tiles are not uint8 RGBA, or the numbers of tiles and appearances differ.
    """
    if tiles.dtype != torch.uint8:
        raise ValueError(f"expected tiles as uint8 RGBA, got {tiles.dtype}; give values from 0 to 255")
    if tiles.dim() != 4 or tiles.shape[1] != 4 or len(tiles) != len(appearances):
        raise ValueError(f"expected {len(appearances)} tiles of shape (4, H, W), got {tuple(tiles.shape)}")
    rgba = tiles.float() / 255
    colours, alpha = _recolour(rgba[:, :3], appearances), rgba[:, 3:]
    # Colours are multiplied by alpha before resampling: transparent pixels have no colour to bleed.
    layers = torch.cat([colours * alpha, alpha], dim=1)
    # Only moved pictures are resampled: the others stay exact, whatever else is in the batch.
    moved = [i for i, a in enumerate(appearances) if a.size != 1 or a.rotation or a.shift_x or a.shift_y]
    if moved:
        grid = _affine_grid([appearances[i] for i in moved], layers.shape[2], layers.shape[3])
        resampled = F.grid_sample(layers[moved], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        layers[moved] = resampled
    background = torch.tensor([appearance.background for appearance in appearances])[:, :, None, None]
    shown = layers[:, :3] + (1 - layers[:, 3:]) * background
    return (shown * _column(appearances, "brightness")[:, None, None, None]).clamp(0, 1)


def sequence(start: Appearance, stop: Appearance, steps: int) -> list[Appearance]:
    """An ordered change from one appearance to another, all parameters moving linearly.

    Args:
        start: First appearance.
        stop: Last appearance.
        steps: Number of appearances, at least 2.

    Returns:
        `steps` appearances, the first `start`, the last `stop`.

    Raises:
        ValueError: If steps < 2.
    """
    if steps < 2:
        raise ValueError(f"expected steps >= 2, got {steps}")

    def between(share: float) -> Appearance:
        background = tuple(a + (b - a) * share for a, b in zip(start.background, stop.background, strict=True))
        numbers = {n: getattr(start, n) + (getattr(stop, n) - getattr(start, n)) * share for n in NUMBERS}
        return Appearance(background=background, **numbers)  # type: ignore[arg-type]

    return [start, *(between(i / (steps - 1)) for i in range(1, steps - 1)), stop]


assert {field.name for field in fields(Appearance)} == {*NUMBERS, "background"}
__all__ = ["Appearance", "render", "sequence"]
