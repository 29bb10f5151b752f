"""Affine scorers: the one classifier that semantic certificates know.

Every classifier over embeddings used here gives class k the score ``s_k(u) = <w_k, u> + b_k``; a cosine head and a
Poincaré-distance head differ in the weights and biases only, so a certificate never asks which geometry it serves.

Shape letters of the semantic certificates: N images, K classes, D features.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from hrvlm.geometry import poincare
from hrvlm.geometry.labels import NO_LABEL, labels_of

_CLOSE = 2.0**-12  # of the largest weight: rounding of scores is then some 1e-12 of a margin
_KEPT = 2**22  # distances of weights: 32 MiB
_UNIT_TOLERANCE = 1e-3  # float16 features are unit to about 5e-4


@dataclass(frozen=True, eq=False)
class AffineScorer:
    """Scores ``<w_k, u> + b_k`` in float64, with a fixed rule for ties.

    Classes whose weight row and bias are identical can never be told apart; the lowest index among them wins
    everywhere, and `first` lists these winners, so rounding inside a matrix product cannot break the rule.

    Args:
        weight: `(K, D)`; cast to float64.
        bias: `(K,)`, or `(N, K)` when it depends on the image; cast to float64.

    Attributes:
        first: `(U,)` increasing indices of the first class of each group of identical classes.
        repeated: `(U,)` True where the group holds more than one class.
        distinct: `(U, D)` weights of the classes in `first`.

    Raises:
        ValueError: if the shapes do not fit together or there is no class.
    """

    weight: Tensor
    bias: Tensor
    first: Tensor = field(init=False, repr=False)
    repeated: Tensor = field(init=False, repr=False)
    distinct: Tensor = field(init=False, repr=False)
    _distances: dict[int, Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        weight, bias = self.weight.detach().double(), self.bias.detach().double().to(self.weight.device)
        if weight.dim() != 2 or weight.shape[0] == 0:
            raise ValueError(f"expected weight of shape (K, D) with K >= 1, got {tuple(weight.shape)}")
        if bias.dim() not in (1, 2) or bias.shape[-1] != weight.shape[0]:
            raise ValueError(
                f"expected bias of shape (K,) or (N, K) with K = {weight.shape[0]}, got {tuple(bias.shape)}"
            )
        first, repeated = _groups(weight, bias)
        distinct = weight if len(first) == len(weight) else weight[first]
        self._set(weight=weight, bias=bias, first=first, repeated=repeated, distinct=distinct)

    def _set(self, **values: Tensor) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def cosine(cls, text_features: Tensor) -> AffineScorer:
        """Scorer of a cosine head: `w_k = u_k`, `b_k = 0` (the logit scale is positive and changes no winner).

        Args:
            text_features: `(K, D)` unit class embeddings.

        Raises:
            ValueError: if a row is not of unit length.
        """
        weight = text_features.detach().double()
        error = (weight.norm(dim=-1) - 1).abs().max().item() if weight.numel() else 0.0
        if error > _UNIT_TOLERANCE:
            raise ValueError(
                f"expected text_features of unit length, got a row off by {error:.3g}: normalise them first"
            )
        return cls(weight, weight.new_zeros(weight.shape[0]))

    @classmethod
    def poincare(cls, text_points: Tensor, image_norm: float | Tensor, curv: float) -> AffineScorer:
        """Scorer whose winner is the class nearest in the Poincaré ball, for image points of fixed norm.

        Args:
            text_points: `(K, D)` class points inside the ball of radius `1/sqrt(curv)`.
            image_norm: norm of the image points, one number or `(N,)`; the rotation of a semantic certificate keeps it.
            curv: positive; the sectional curvature is `-curv`.
        """
        norm = image_norm.detach().double() if isinstance(image_norm, Tensor) else image_norm
        return cls(*poincare.affine_scorer(text_points.detach(), norm, curv))

    def with_bias(self, bias: Tensor) -> AffineScorer:
        """The scorer with other biases, `(K,)` or `(N, K)`: what weights alone tell is not found out again."""
        if not self._all_differ:
            return AffineScorer(self.weight, bias)
        found = copy(self)
        found._set(bias=bias.detach().to(self.weight), crowded=self.crowded)
        return found

    @cached_property
    def _all_differ(self) -> bool:
        """Whether weights alone tell all classes apart, whatever the biases."""
        return len(torch.unique(self.weight, dim=0)) == len(self.weight)

    @cached_property
    def crowded(self) -> Tensor:
        """`(U,)` True where the weights of another class in `first` are closer than `closeness`."""
        weight, closeness = self.distinct, self.closeness
        found = torch.zeros_like(self.repeated)
        number = torch.arange(1, weight.shape[1] + 1, dtype=weight.dtype, device=weight.device).sqrt()
        # Close rows lie close in any direction: few pairs do so in two, and only their distances are looked at.
        first, second = (weight @ (way / way.norm()) for way in (number.sin(), number.cos()))
        place, order = first.sort()
        for step in range(1, len(order)):
            near = (place[step:] - place[:-step] <= closeness).nonzero().squeeze(1)
            if not near.numel() or bool(found.all()):
                break
            one, other = order[near], order[near + step]
            asked = ((second[one] - second[other]).abs() <= closeness) & ~(found[one] & found[other])
            one, other = one[asked], other[asked]
            close = (weight[one] - weight[other]).norm(dim=1) <= closeness
            found[one[close]] = found[other[close]] = True
        return found

    @cached_property
    def closeness(self) -> float:
        """Distance of weights below which scores leave too few digits of a margin."""
        return _CLOSE * float(self.distinct.norm(dim=1).max())

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return self.weight.shape[0]

    def distances(self, place: Tensor) -> Tensor:
        """Distances `(n, U)` of weights, those at places `(n,)` of `distinct`, to all; kept for other images."""
        asked = place.tolist()
        known = {one: self.distances_from(one) for one in set(asked)}
        if len(known) == 1:  # that of an image along its changes
            return known[asked[0]].expand(len(asked), -1)
        return torch.stack([known[one] for one in asked])

    def distances_from(self, place: int) -> Tensor:
        """Distances `(U,)` of the weight at a place of `distinct` to all; by differences: a product would cancel."""
        found = self._distances.get(place)
        if found is None:
            one = self.distinct[place, None]
            found = torch.cdist(one, self.distinct, compute_mode="donot_use_mm_for_euclid_dist")[0]
            if (len(self._distances) + 1) * len(self.distinct) <= _KEPT:
                self._distances[place] = found
        return found

    def rows(self, index: Tensor | slice) -> AffineScorer:
        """The scorer of some images: selects rows of a per-image bias, and is the scorer itself otherwise.

        Classes that are told apart for any image of the whole stay told apart.
        """
        if self.bias.dim() == 1:
            return self
        part = copy(self)
        part._set(bias=self.bias[index])
        return part

    def scores(self, points: Tensor) -> Tensor:
        """Scores `(N, K)` of points `(N, D)`, float64."""
        self.check_points(points)
        return points.detach().to(self.weight) @ self.weight.T + self.bias

    def distinct_scores(self, points: Tensor) -> Tensor:
        """Scores `(N, U)` of the classes in `first` for points `(N, D)`, float64."""
        self.check_points(points)
        bias = self.bias if len(self.first) == self.num_classes else self.bias[..., self.first]
        return torch.addmm(bias, points.detach().to(self.weight), self.distinct.T)

    def predict(self, points: Tensor) -> Tensor:
        """Winning class `(N,)` of points `(N, D)`; of identical classes the lowest index, -1 without finite scores."""
        winner = labels_of(self.distinct_scores(points))
        return torch.where(winner >= 0, self.first[winner], NO_LABEL)

    def check_points(self, points: Tensor) -> None:
        """Raise ValueError unless `points` is `(N, D)` and fits a per-image bias."""
        if points.dim() != 2 or points.shape[1] != self.weight.shape[1]:
            raise ValueError(f"expected features of shape (N, {self.weight.shape[1]}), got {tuple(points.shape)}")
        if self.bias.dim() == 2 and self.bias.shape[0] != points.shape[0]:
            raise ValueError(f"expected {self.bias.shape[0]} features, one per row of the bias, got {points.shape[0]}")


def _groups(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """First index `(U,)` of each group of classes with identical rows, increasing, and whether the group is larger."""
    biases = bias.reshape(-1, weight.shape[0])
    known = biases[biases.isfinite().all(dim=1)]  # NaN differs from itself: one image of it would part all duplicates
    rows = torch.cat([weight, known.T], dim=1)
    _, group, size = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    index = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(size, len(rows)).scatter_reduce_(0, group, index, reduce="amin")
    order = first.argsort()
    return first[order], size[order] > 1
