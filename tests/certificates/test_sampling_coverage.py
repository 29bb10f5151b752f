"""Certificates made by `certify`, with noise by address, at class probabilities where they err as often as they may.

A half-space of one pixel: the probability of its class and the radius are known exactly. The bound of Clopper and
Pearson for k of n exceeds p, just below that bound, with a probability of exactly the bound's alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from scipy.stats import binom, norm
from torch import Tensor

from hrvlm.certificates import (
    Sample,
    SmoothingPlan,
    SmoothingRecord,
    Statement,
    certify,
    clopper_pearson_lower,
    smoothing_radius,
    two_bound_radius,
)

SIGMA, ALPHA, N0, N, RUNS = 0.25, 0.05, 12, 40, 2500
pytestmark = pytest.mark.slow
BINARY = Statement("k", "t", 0, "leaf", 2)


def half_space(images: Tensor) -> dict[str, Tensor]:
    return {"k": (images[:, 0, 0, 0] > 0.5).long()}


@cache
def runs(margin: float, procedure: str, seed: int, **options: float) -> list[SmoothingRecord]:
    """One row per run; the image lies `margin` inside class 1."""
    image = torch.full((1, 1, 1), 0.5, dtype=torch.float64).add(margin).float()
    plan = SmoothingPlan(**({"n0": N0, "n": N} | options), sigma=SIGMA, alpha=ALPHA, seed=seed, procedure=procedure)  # type: ignore[arg-type]
    samples = (Sample(i, image, {"k": 1}) for i in range(RUNS))
    return [record for [record] in certify(half_space, samples, [BINARY], plan, batch_size=4000, threads=0)]


def is_false(record: SmoothingRecord, margin: float) -> bool:
    return not record.abstain and (record.prediction == 0 or record.radius > margin)


def allowed(share: float = ALPHA) -> float:
    return float(binom.ppf(1 - 1e-5, RUNS, share))


def just_below(radius: float) -> float:
    return radius - 1e-5 * SIGMA


def claims(procedure: str) -> Callable[[int], float]:
    """Radius, in units of sigma, that a procedure claims for k of n."""
    share = ALPHA if procedure == "split" else ALPHA / 2
    if procedure == "two bounds":
        return lambda k: float(two_bound_radius(k, N - k, N, ALPHA, 1.0))
    return lambda k: smoothing_radius(k, N, share, 1.0)


def exact_error(procedure: str, k: int) -> float:
    """Probability of a false claim at the margin just below the radius claimed for k of n."""
    p, claimed = float(norm.cdf(claims(procedure)(k) - 1e-5)), claims(procedure)
    chosen = 1.0 if procedure == "shared" else float(binom.sf(N0 // 2, N0, p))  # a tie goes to class 0
    return chosen * sum(float(binom.pmf(j, N, p)) for j in range(N + 1) if claimed(j) > claimed(k) - 1e-5)


@pytest.mark.parametrize("procedure", ["split", "shared", "two bounds"])
@pytest.mark.parametrize("k", [31, 37])
def test_radii_are_false_at_most_at_alpha_where_they_are_falsest(procedure: str, k: int) -> None:
    margin = just_below(SIGMA * claims(procedure)(k))
    assert margin > 0
    false = sum(is_false(record, margin) for record in runs(margin, procedure, seed=100 + k))
    assert false <= allowed()
    expected = exact_error(procedure, k)
    assert expected <= ALPHA
    # As often as computed, so that a bound at a larger alpha would be seen.
    assert binom.ppf(1e-5, RUNS, 0.97 * expected) <= false <= allowed(1.03 * expected + 1e-3)


@pytest.mark.parametrize("procedure", ["split", "shared", "two bounds"])
def test_no_class_is_certified_too_often_at_a_tie(procedure: str) -> None:
    false = sum(is_false(record, 0.0) for record in runs(0.0, procedure, seed=7))
    assert 0 < false <= allowed()


@pytest.mark.parametrize("goal", [0.05])
def test_adaptive_decisions_are_false_at_most_at_alpha_at_the_goal(goal: float) -> None:
    found = runs(just_below(goal), "adaptive", seed=11, goal=goal, n=100)
    false = sum(record.decision == "certified" or is_false(record, goal) for record in found)
    assert 0 < false <= allowed()


def test_bounds_at_a_larger_alpha_are_caught() -> None:
    """The same counts at twice the alpha, and classes chosen and counted on the same samples at full alpha."""
    margin = just_below(SIGMA * smoothing_radius(35, N, 2 * ALPHA, 1.0))
    found = runs(margin, "split", seed=135)
    doubled = [smoothing_radius(r.count, N, 2 * ALPHA, SIGMA) for r in found if r.prediction == 1]
    assert sum(radius > margin for radius in doubled) > allowed()
    tied = runs(0.0, "shared", seed=7)
    assert sum(clopper_pearson_lower(r.count, N, ALPHA) > 0.5 for r in tied) > allowed()
