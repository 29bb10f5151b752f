"""Random changes of style: how else an artist could have drawn the same thing.

Training sees few artists, so a model learns their habits. Mirroring, stretching, colour casts, thinner or thicker
dark lines, softness and missing pieces change the habits and keep the thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Style:
    """Parameters of one change of style; the defaults change nothing.

    Attributes:
        mirrored: Left and right change places.
        stretch: Logarithm of width over height.
        shear: Sideways shift per unit of height.
        gains: Factors on red, green and blue.
        saturation: Factor on the distance from grey.
        contrast: Factor on the distance from middle grey.
        lines: From -1 (dark lines shrink by a pixel) to 1 (they grow by one).
        softness: Share of a 3 x 3 blur, in [0, 1].
        hole: (left, top, width, height) of a piece left out, as shares of the frame.
    """

    mirrored: bool = False
    stretch: float = 0.0
    shear: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    lines: float = 0.0
    softness: float = 0.0
    hole: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def random_style(generator: np.random.Generator) -> Style:
    """A change of style that leaves the thing recognisable."""
    side = generator.uniform(0.15, 0.45, 2) * (generator.random() < 0.3)
    corner = generator.uniform(0, 1, 2) * (1 - side)
    red, green, blue = (float(gain) for gain in generator.uniform(0.85, 1.15, 3))
    return Style(
        mirrored=bool(generator.random() < 0.5),
        stretch=float(generator.uniform(-0.25, 0.25)),
        shear=float(generator.uniform(-0.2, 0.2)),
        gains=(red, green, blue),
        saturation=float(generator.uniform(0.6, 1.5)),
        contrast=float(generator.uniform(0.7, 1.35)),
        lines=float(generator.uniform(-1, 1)) * bool(generator.random() < 0.5),
        softness=float(generator.uniform(0, 1)) * bool(generator.random() < 0.3),
        hole=(float(corner[0]), float(corner[1]), float(side[0]), float(side[1])),
    )


def _column(styles: Sequence[Style], name: str) -> Tensor:
    """(N, 1, 1, 1), or (N, 3, 1, 1) for a colour."""
    values = torch.tensor([getattr(style, name) for style in styles], dtype=torch.float32)
    return values.reshape(len(styles), -1, 1, 1)


def _reshaped(layers: Tensor, styles: Sequence[Style]) -> Tensor:
    """Mirror, stretch and shear."""
    rows = []
    for style in styles:
        half = math.exp(style.stretch / 2)
        rows.append([[(-1 if style.mirrored else 1) / half, style.shear, 0.0], [0.0, half, 0.0]])
    grid = F.affine_grid(torch.tensor(rows), list(layers.shape), align_corners=False)
    return F.grid_sample(layers, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _recoloured(colours: Tensor, styles: Sequence[Style]) -> Tensor:
    colours = colours * _column(styles, "gains")
    grey = colours.mean(1, keepdim=True)
    colours = grey + (colours - grey) * _column(styles, "saturation")
    return (0.5 + (colours - 0.5) * _column(styles, "contrast")).clamp(0, 1)


def _over_neighbours(layers: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combines each pixel with its eight neighbours; the edge counts as its own neighbour."""
    padded = F.pad(layers, (1, 1, 1, 1), mode="replicate")
    rows = combine(combine(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return combine(combine(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def _relined(colours: Tensor, styles: Sequence[Style]) -> Tensor:
    """The darkest or brightest of the neighbours takes a pixel's place: dark lines grow or shrink."""
    lines = _column(styles, "lines")
    towards = torch.where(lines < 0, _over_neighbours(colours, torch.maximum), _over_neighbours(colours, torch.minimum))
    return torch.lerp(colours, towards, lines.abs())


def restyle(tiles: Tensor, styles: Sequence[Style]) -> Tensor:
    """Redraws pictures with transparency.

    Args:
        tiles: uint8 RGBA, (N, 4, H, W).
        styles: N changes of style.

    Returns:
        uint8 RGBA, (N, 4, H, W).

    Raises:
        ValueError: If the tiles are not uint8 RGBA, or the numbers of tiles and styles differ.
    """
    if tiles.dtype != torch.uint8 or tiles.dim() != 4 or tiles.shape[1] != 4 or len(tiles) != len(styles):
        found = f"{tiles.dtype} {tuple(tiles.shape)}"
        raise ValueError(f"expected {len(styles)} tiles as uint8 RGBA of shape (4, H, W), got {found}")
    rgba = tiles.float() / 255
    alpha = rgba[:, 3:]
    # Where a picture is transparent its colour is meaningless: white keeps such pixels from drawing dark lines.
    colours = torch.where(alpha > 0, rgba[:, :3], 1.0)
    colours = _relined(_recoloured(colours, styles), styles)
    layers = _reshaped(torch.cat([colours * alpha, alpha], 1), styles)
    layers = torch.lerp(layers, _over_neighbours(layers, torch.add) / 9, _column(styles, "softness"))
    layers = layers * _outside_holes(styles, tiles.shape[2], tiles.shape[3])
    alpha = layers[:, 3:]
    colours = layers[:, :3] / alpha.clamp(min=1 / 255)
    return (torch.cat([colours, alpha], 1).clamp(0, 1) * 255).round().to(torch.uint8)


def _outside_holes(styles: Sequence[Style], height: int, width: int) -> Tensor:
    """1 outside each style's hole and 0 inside, (N, 1, H, W)."""
    left, top, wide, high = _column(styles, "hole").unbind(1)
    x = ((torch.arange(width) + 0.5) / width)[None, None, :]
    y = ((torch.arange(height) + 0.5) / height)[None, :, None]
    inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
    return (~inside)[:, None].float()
