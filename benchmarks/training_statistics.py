"""Paired tests of two methods over pictures and seeds, for the tables of benchmarks/training.py.

Differences lie in a table of seeds by pictures: run s of either method shares data, order and random starts, and all
runs see the same pictures. Both stand for more of their kind, so both are random, and crossed: the variance of the mean
is estimated from the mean squares of the two-way layout without replication, (MS_seeds + MS_pictures - MS_rest) /
(seeds pictures), with Satterthwaite's degrees of freedom (Biometrics Bulletin 2:110-114, 1946; as Clark's quasi-F,
Journal of Verbal Learning and Verbal Behavior 12:335-359, 1973). A test over pictures alone would take the luck of one
training for the method, one over seeds alone that of the pictures drawn. A component that comes out negative counts
as zero. With one seed the test is over pictures alone. Families of tests are corrected after Holm (Scandinavian Journal
of Statistics 6:65-70, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student


@dataclass(frozen=True)
class Crossed:
    """A mean difference over seeds and pictures.

    Attributes:
        estimate: Mean of the differences.
        error: Its standard error.
        p_value: Two-sided, of no difference; 1 where all differences are 0.
    """

    estimate: float
    error: float
    p_value: float


def crossed(differences: ArrayLike) -> Crossed:
    """Mean, standard error and test of a table of differences (seeds, pictures).

    Raises:
        ValueError: If it is no table, or of fewer than two pictures.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"expected differences (seeds, pictures) of at least two pictures, got {table.shape}")
    seeds, pictures = table.shape
    mean = float(table.mean())
    of_pictures, of_seeds = table.mean(axis=0), table.mean(axis=1)
    squares = [(seeds * float(np.var(of_pictures, ddof=1)), pictures - 1)]
    if seeds > 1:
        rest = table - of_pictures - of_seeds[:, None] + mean
        noise = float((rest**2).sum()) / ((seeds - 1) * (pictures - 1))
        squares = _components(squares[0], (pictures * float(np.var(of_seeds, ddof=1)), seeds - 1), noise)
    return _tested(mean, squares, seeds * pictures)


def _components(first: tuple[float, int], second: tuple[float, int], noise: float) -> list[tuple[float, int]]:
    """Mean squares whose signed sum is the variance of the mean times its number of values."""
    degrees = first[1] * second[1]
    kept = [pair for pair in (first, second) if pair[0] > noise]
    if len(kept) == 2:
        return [first, second, (-noise, degrees)]
    return kept or [(noise, degrees)]


def _tested(mean: float, squares: Sequence[tuple[float, int]], values: int) -> Crossed:
    variance = sum(square for square, _ in squares) / values
    if variance <= 0.0:
        return Crossed(mean, 0.0, 1.0 if mean == 0.0 else 0.0)
    degrees = variance**2 / sum((square / values) ** 2 / freedom for square, freedom in squares)
    error = math.sqrt(variance)
    return Crossed(mean, error, float(2 * student.sf(abs(mean) / error, max(degrees, 1.0))))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family, corrected so that each may be held against the level of the whole family."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, largest = [1.0] * len(p_values), 0.0
    for place, number in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[number])
        found[number] = min(1.0, largest)
    return found
