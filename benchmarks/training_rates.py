"""Learning rates of benchmarks/training.py: grids that grow until no choice lies on their edge.

Methods that are compared by the same scores share one, so that all get as many trials: those without noise, by
accuracies, and those under noise, by certified radii. The clean objective without noise is
chosen by its accuracy on clean pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training_methods import LARGEST_RATE, LEAST_RATE, START_RATES

Scores = dict[float, float]


@dataclass(frozen=True)
class Grid:
    """Where the choice of learning rates stands.

    Attributes:
        rates: The grid, rising, a factor of 2 apart.
        missing: Methods and rates that are still to be tried.
        chosen: Rate of the best score per method, once nothing is missing; of equal scores the smallest rate.
        edges: Methods whose choice lies on the edge of a grid that may not grow any further.
    """

    rates: tuple[float, ...]
    missing: tuple[tuple[str, float], ...] = ()
    chosen: dict[str, float] = field(default_factory=dict)
    edges: tuple[str, ...] = ()


def grid(
    scores: dict[str, Scores], methods: Sequence[str], least: float = LEAST_RATE, largest: float = LARGEST_RATE
) -> Grid:
    """The grid after the scores so far: all methods are tried at all of its rates.

    It starts with three rates, and grows by one at the end where the best rate of any method lies.

    Args:
        scores: By method and rate.
        methods: Those that choose a rate of their own.
        least: No rate of the grid lies below.
        largest: None lies above.
    """
    rates = START_RATES
    while True:
        missing = tuple((name, rate) for rate in rates for name in methods if rate not in scores.get(name, {}))
        if missing:
            return Grid(rates, missing)
        chosen = {name: best(scores[name], rates) for name in methods}
        lower = rates[0] in chosen.values() and rates[0] / 2 >= least
        upper = rates[-1] in chosen.values() and rates[-1] * 2 <= largest
        if not (lower or upper):
            edges = tuple(name for name in methods if chosen[name] in (rates[0], rates[-1]))
            return Grid(rates, (), chosen, edges)
        rates = (*([rates[0] / 2] if lower else []), *rates, *([rates[-1] * 2] if upper else []))


@dataclass(frozen=True)
class Grids:
    """Where the choice of learning rates stands, of all methods.

    Attributes:
        rates: The grid of each method.
        missing: Methods and rates that are still to be tried.
        chosen: Rate of the best score of each method whose grid is complete.
        edges: Methods whose choice lies on the edge of a grid that may not grow any further.
    """

    rates: dict[str, tuple[float, ...]]
    missing: tuple[tuple[str, float], ...]
    chosen: dict[str, float]
    edges: tuple[str, ...]


def grids(scores: dict[str, Scores], families: Iterable[Sequence[str]]) -> Grids:
    """The grids after the scores so far, one for each family of methods."""
    found = [(names, grid(scores, names)) for names in families if names]
    return Grids(
        rates={name: state.rates for names, state in found for name in names},
        missing=tuple(pair for _, state in found for pair in state.missing),
        chosen={name: rate for _, state in found for name, rate in state.chosen.items()},
        edges=tuple(name for _, state in found for name in state.edges),
    )


def best(scores: Scores, rates: Iterable[float]) -> float:
    """The rate of the best score, the smallest of equal ones."""
    return max(sorted(rates), key=scores.__getitem__)
