"""What is true along a rotation, for the very float64 numbers that are given: 50 digits, all pairs of classes."""

from __future__ import annotations

from functools import lru_cache

import mpmath
import torch
from mpmath import mpf

from hrvlm.certificates import AffineScorer

mpmath.mp.dps = 50


def dot(first: tuple[mpf, ...], second: tuple[mpf, ...]) -> mpf:
    return mpmath.fdot(first, second)


# One problem is asked about again and again: what its images, directions and lengths share is computed once.
shared_dot = lru_cache(maxsize=20_000)(dot)


@lru_cache(maxsize=100)
def exact_vector(numbers: tuple[float, ...]) -> tuple[mpf, ...]:
    return tuple(mpf(x) for x in numbers)


@lru_cache(maxsize=20)
def plane_axes(first: tuple[mpf, ...], second: tuple[mpf, ...]) -> tuple[tuple[mpf, ...], tuple[mpf, ...]]:
    """Orthonormal vectors that span the plane of two others, the first along the first."""
    e1 = tuple(x / mpmath.sqrt(dot(first, first)) for x in first)
    rest = tuple(x - dot(second, e1) * y for x, y in zip(second, e1, strict=True))
    return e1, tuple(x / mpmath.sqrt(dot(rest, rest)) for x in rest)


@lru_cache(maxsize=5_000)
def exact_distance(first: tuple[mpf, ...], second: tuple[mpf, ...]) -> mpf:
    gap = tuple(x - y for x, y in zip(first, second, strict=True))
    return mpmath.sqrt(dot(gap, gap))


class Exact:
    """Margins of one image as sinusoids of the angle travelled, exact to some 45 digits.

    Args:
        scorer: of this image alone; its weights and biases are taken as they are.
        feature: `(D,)`.
        source: `(D,)`.
        target: `(D,)`.
        length: angle travelled; None for the way to the target, the shorter one round.
        sign: +1 or -1, the direction of travel where a length is given.
    """

    def __init__(
        self,
        scorer: AffineScorer,
        feature: torch.Tensor,
        source: torch.Tensor,
        target: torch.Tensor,
        length: float | None = None,
        sign: int = 1,
    ) -> None:
        z, first, second = (exact_vector(tuple(vector.tolist())) for vector in (feature, source, target))
        self.weights = [exact_vector(tuple(row)) for row in scorer.weight.tolist()]
        self.bias = [mpf(x) for x in scorer.bias.reshape(-1, len(self.weights))[0].tolist()]
        e1, e2 = plane_axes(first, second)
        a, b = shared_dot(z, e1), shared_dot(z, e2)
        self.start = mpmath.atan2(b, a)
        if length is None:
            turn = mpmath.atan2(shared_dot(second, e2), shared_dot(second, e1)) - self.start
            turn -= 2 * mpmath.pi * mpmath.nint(turn / (2 * mpmath.pi))
            sign, self.length = (1 if turn >= 0 else -1), abs(turn)
        else:
            self.length = mpf(length)
        self.sign, self.waves = sign, []
        for weight, bias in zip(self.weights, self.bias, strict=True):
            along1, along2 = shared_dot(weight, e1), shared_dot(weight, e2)
            cosine = a * along1 + b * along2
            self.waves.append((cosine, sign * (a * along2 - b * along1), shared_dot(weight, z) + bias - cosine))

    def margin(self, k: int, j: int) -> tuple[mpf, mpf, mpf]:
        return tuple(x - y for x, y in zip(self.waves[k], self.waves[j], strict=True))

    def distance(self, k: int, j: int) -> mpf:
        return exact_distance(self.weights[k], self.weights[j])

    def low(self, k: int, j: int, begin: mpf, end: mpf) -> mpf:
        """Smallest margin of class k over j from one angle to another, at most half a turn on."""
        a, b, c = self.margin(k, j)
        values = [a * mpmath.cos(t) + b * mpmath.sin(t) + c for t in (begin, end)]
        bottom = mpmath.atan2(-b, -a) % (2 * mpmath.pi)
        return min(*values, c - mpmath.hypot(a, b)) if begin < bottom < end else min(values)

    def holds(self, label: int, begin: float, end: float, delta: float = 0.0, inside: float = 0.0) -> bool:
        """Whether a class wins, or is stable at delta, over some way, but for `inside` at its ends.

        An identical class of higher index loses, but leaves nothing stable.
        """
        begin, end = mpf(begin) + inside, mpf(end) - inside
        return begin > end or all(
            self.low(label, j, begin, end) > mpf(delta) * self.distance(label, j)
            for j in range(len(self.waves))
            if j != label and (delta > 0 or j < label or self.waves[j] != self.waves[label])
        )

    def stable_share(self, delta: float) -> mpf:
        """Share of the range where one class exceeds all others by more than delta times the distance."""
        total = mpf(0)
        for k in range(len(self.waves)):
            failing = [
                arc
                for j in range(len(self.waves))
                if j != k
                for arc in self._at_most(self.margin(k, j), mpf(delta) * self.distance(k, j))
            ]
            covered, lost = mpf(0), mpf(0)
            for low, high in sorted(failing):
                lost += max(mpf(0), high - max(low, covered))
                covered = max(covered, high)
            total += self.length - lost
        return total / self.length

    def _at_most(self, wave: tuple[mpf, mpf, mpf], bound: mpf) -> list[tuple[mpf, mpf]]:
        """Arcs of the range where a sinusoid is at most a bound."""
        a, b, c = wave
        need, size = bound - c, mpmath.hypot(a, b)
        if need >= size:
            return [(mpf(0), self.length)]
        if need < -size:
            return []
        half, peak, turn = mpmath.acos(need / size), mpmath.atan2(b, a), 2 * mpmath.pi
        arcs = [(peak + half + m * turn, peak - half + (m + 1) * turn) for m in (-2, -1, 0, 1)]
        cut = [(max(mpf(0), low), min(self.length, high)) for low, high in arcs]
        return [(low, high) for low, high in cut if low < high]
