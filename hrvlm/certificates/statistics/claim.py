"""From counts to claims: the one place where a method turns counts and alpha into bounds and a radius.

Certificates are made here and verified by the same derivation from what their row holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.statistics.anytime import anytime_lower, decision_boundaries
from hrvlm.certificates.statistics.binomial import clopper_pearson_lower, clopper_pearson_upper, threshold_radius
from hrvlm.certificates.statistics.radii import radius_between, radius_probability

Method: TypeAlias = Literal["clopper-pearson", "two bounds", "anytime"]
Decision: TypeAlias = Literal["certified", "given up", "undecided"]

SEPARATE = "separate selection and estimation samples"
SAME = "the same samples select and estimate, at half alpha"
FIXED = "class fixed in advance"
SPLITS = (SEPARATE, SAME, FIXED)
MAJORITY = 0.5
"""Where the counted samples chose the class, a lower bound up to here is none at its alpha and left out, as 0.

Half of alpha covers the choice of one class that has a majority; of several that have none, the luckiest is chosen.
"""
NO_LABEL = "no selection sample had a valid label"
NOT_MAJORITY = "the lower bound on the class probability is not above 1/2"
NOT_ABOVE = "the lower bound on the class probability is not above the threshold"
NO_LEAD = "the bounds do not put the class above every other label"
HOPELESS = "given up after the selection samples"
METHOD_OF: dict[str, Method] = {"two bounds": "two bounds", "adaptive": "anytime"}
"""The method of a sampling procedure; of others it is "clopper-pearson"."""
METHODS: tuple[str, ...] = get_args(Method)
DECISIONS: tuple[str, ...] = get_args(Decision)
FLOAT_MODES = {"float32": "float32", "grid": "integer noise on the 8-bit grid"}
"""Arithmetic of the noise, as records say it, per noise mode."""
NOISE_SPACES = {
    "float32": "pixels in [0, 1] before resizing",
    "grid": "pixels of the image rounded to 8 bits, before resizing",
}
"""Where the noise of each mode is added; the second goes with integer noise and with nothing else."""

_anytime_lower = lru_cache(maxsize=2**16, typed=True)(anytime_lower)  # a search; counts repeat over the images of a run


@dataclass(frozen=True)
class Claim:
    """What counts give.

    Attributes:
        lower: bound in [0, 1) on the probability of the class; 0 where the samples give none.
        upper: bound on that of every other label; None where the method needs none.
        radius: certified L2 radius; 0 where nothing is certified.
    """

    lower: float
    upper: float | None
    radius: float


def derive(
    method: str,
    split: str,
    *,
    count: int,
    runner_up: int | None,
    n: int,
    alpha: float,
    sigma: float,
    threshold: float = 0.5,
) -> Claim:
    """Bounds and radius of a statement at error alpha.

    Args:
        method: "clopper-pearson": n fixed before its samples were drawn, one bound; "two bounds": the same with an
            upper bound on the strongest other label, alpha / 2 each; "anytime": n may depend on the samples.
        split: one of `SPLITS`. Choosing and counting on the same samples spends half of alpha on the choice.
        count: samples of the class.
        runner_up: largest count of another label, invalid answers included; None if the method needs none.
        n: all samples; 0 if none were drawn.
        alpha: error probability of the statement, in (0, 1).
        sigma: standard deviation of the noise.
        threshold: probability that the class must keep.

    Raises:
        ValueError: if method or split are unknown or do not fit each other, or a number lies outside its range.
    """
    _check(method, split, runner_up, threshold)
    if n == 0:
        return Claim(0.0, None if runner_up is None else 1.0, 0.0)
    if method == "two bounds":
        lower = float(clopper_pearson_lower(count, n, alpha / 2))
        upper = float(clopper_pearson_upper(runner_up or 0, n, alpha / 2))
        return Claim(lower, upper, float(radius_between(lower, upper, sigma)))
    share = alpha / 2 if split == SAME else alpha
    bound = _anytime_lower if method == "anytime" else clopper_pearson_lower
    lower = float(bound(count, n, share))
    if split == SAME and lower <= MAJORITY:
        lower = 0.0
    return Claim(lower, None, float(threshold_radius(lower, sigma, threshold=threshold)))


def derive_all(
    split: str, *, counts: NDArray[np.int64], n: int, alpha: float, sigma: float, threshold: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower bounds and radii that `derive` gives many counts of n samples by the method "clopper-pearson".

    Args:
        split: as of `derive`, like the next ones.
        counts: `(N,)` in [0, n].
        n: all samples of each.
        alpha: error probability of each statement.
        sigma: standard deviation of the noise.
        threshold: probability that the class must keep.

    Raises:
        ValueError: as of `derive`.
    """
    _check("clopper-pearson", split, None, threshold)
    if n == 0:
        return np.zeros(len(counts)), np.zeros(len(counts))
    found, at = np.unique(counts, return_inverse=True)
    lower = np.atleast_1d(np.asarray(clopper_pearson_lower(found, n, alpha / 2 if split == SAME else alpha)))
    if split == SAME:
        lower = np.where(lower <= MAJORITY, 0.0, lower)
    return lower[at], np.atleast_1d(np.asarray(threshold_radius(lower, sigma, threshold=threshold)))[at]


def decide(
    count: int, n: int, *, alpha: float, give_up: float, goal: float, sigma: float, threshold: float = 0.5
) -> Decision:
    """Whether counts certify the radius `goal`, make it hopeless, or neither; may be asked after any sample."""
    probability = float(radius_probability(goal, sigma, threshold=threshold))
    boundary = decision_boundaries([n], probability, alpha, give_up)
    if count >= boundary.certify[0]:
        return "certified"
    return "given up" if count <= boundary.give_up[0] else "undecided"


def _check(method: str, split: str, runner_up: int | None, threshold: float) -> None:
    if method not in ("clopper-pearson", "two bounds", "anytime") or split not in SPLITS:
        raise ValueError(f"expected a known method and split, got {method!r} and {split!r}")
    if (method == "two bounds") != (runner_up is not None):
        raise ValueError(f"expected runner_up with the method 'two bounds' and with no other, got {method!r}")
    if method == "two bounds" and (split == SAME or threshold != 0.5):
        raise ValueError("expected 'two bounds' with separate samples or a fixed class, at the threshold 1/2")
    if split == SAME and (method != "clopper-pearson" or threshold < 0.5):
        raise ValueError("expected selection on the same samples with one bound for n fixed and a threshold >= 1/2")
