"""At which share of a rotation pictures of a change lie, fitted to pictures of it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.path import path_directions
from hrvlm.geometry import sphere

_POINTS = 65  # of the rotation that a picture is compared with
_KNOTS = 17


@dataclass(frozen=True)
class PathSpeed:
    """How far along the rotation a picture lies, by how much of the change it shows; linear between knots.

    Attributes:
        shares: of the change, from 0, growing.
        fractions: of the rotation, from 0, in [0, 1], not falling.
    """

    shares: tuple[float, ...] = (0.0, 1.0)
    fractions: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        right = len(self.shares) == len(self.fractions) >= 2 and self.shares[0] == self.fractions[0] == 0.0
        growing = all(a < b for a, b in pairwise(self.shares)) and all(a <= b for a, b in pairwise(self.fractions))
        if not (right and growing and self.fractions[-1] <= 1):
            raise ValueError(
                f"expected shares that grow from 0 and as many fractions from 0 to at most 1, got {self.shares} and "
                f"{self.fractions}"
            )

    def fraction(self, share: Tensor) -> Tensor:
        """Of the rotation, at shares of the change `(...)`; infinite ones stay so."""
        found = torch.from_numpy(np.interp(share.cpu().numpy(), self.shares, self.fractions))
        return torch.where(share.isfinite(), found.to(share), share)

    def share(self, fraction: Tensor) -> Tensor:
        """The largest share of the change, at most the last knot's, within fractions `(...)` of the rotation."""
        shares, fractions = (fraction.new_tensor(knots) for knots in (self.shares, self.fractions))
        after = torch.searchsorted(fractions, fraction.contiguous(), right=True)  # the first knot beyond
        low, high = (after - 1).clamp(min=0), after.clamp(max=len(shares) - 1)
        rise = fractions[high] - fractions[low]
        part = torch.where(rise > 0, (fraction - fractions[low]) / rise, 0.0)
        return shares[low] + part * (shares[high] - shares[low])

    def share_of(self, fraction: float) -> float:
        """The same of one fraction."""
        after = bisect_right(self.fractions, fraction)
        low, high = max(after - 1, 0), min(after, len(self.shares) - 1)
        rise = self.fractions[high] - self.fractions[low]
        part = (fraction - self.fractions[low]) / rise if rise > 0 else 0.0
        return self.shares[low] + part * (self.shares[high] - self.shares[low])


def fit_speed(rotation: Rotation, way: Tensor, pictures: Tensor, shares: Tensor) -> PathSpeed:
    """The speed at which pictures go along rotations: where on these they lie nearest, on average over images.

    Args:
        rotation: of N images.
        way: `(N,)` signed radians from each image to the end of its range.
        pictures: `(N, T, D)` embeddings; directions matter.
        shares: `(N, T)` of the change that they show, in [0, 1]; not finite where there is no picture.
    """
    fractions = torch.linspace(0, 1, _POINTS, dtype=torch.float64, device=way.device)
    path = path_directions(rotation, way, fractions[:, None].expand(-1, len(way)))  # (P, N, D)
    nearest = fractions[torch.einsum("ntd,pnd->ntp", sphere.normalise(pictures.double()), path).argmax(dim=-1)]
    known = shares.isfinite() & nearest.isfinite() & (shares > 0)
    if not bool(known.any()):
        return PathSpeed()
    at, reached = shares[known].cpu().numpy(), nearest[known].cpu().numpy()
    knots = _knots(at)
    place = np.abs(at[:, None] - knots[None]).argmin(axis=1)
    count = np.bincount(place, minlength=len(knots))
    mean = np.bincount(place, reached, len(knots)) / np.maximum(count, 1)
    from scipy.optimize import isotonic_regression  # which only calibration waits for

    smooth = isotonic_regression(mean, weights=count).x.clip(0, 1)
    return PathSpeed((0.0, *map(float, knots)), (0.0, *map(float, smooth)))


def _knots(shares: np.ndarray) -> np.ndarray:
    """Shares at which the speed is fitted: those that there are, or quantiles of many; the last is the largest."""
    found: np.ndarray = np.unique(shares)
    if len(found) >= _KNOTS:
        found = np.unique(np.quantile(shares, np.linspace(0, 1, _KNOTS)[1:]))
    return found
