"""Every lower bound that a row states holds at its alpha, in rows that abstain too: Monte Carlo over many classes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from hrvlm.certificates import clopper_pearson_lower
from hrvlm.certificates.kinds.oracle.claim import derive_oracle
from hrvlm.certificates.kinds.profile.claim import chain_of, counts_along, node_counts, profile_radii
from hrvlm.certificates.statistics.claim import SAME, SEPARATE, derive

RUNS, ALPHA, SIGMA, N0, N = 100_000, 0.05, 0.25, 12, 60
LAWS = {
    "uniform over 20": [0.05] * 20,
    "uniform over 3": [1 / 3] * 3,
    "tie of two": [0.5, 0.5],
    "tie just below one half": [0.49, 0.49, 0.02],
    "a majority": [0.6] + [0.04] * 10,
}
TREE = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 1]])


def allowed() -> float:
    """A share of false bounds that valid ones exceed with probability below 1e-5."""
    return float(binom.ppf(1 - 1e-5, RUNS, ALPHA)) / RUNS


@cache
def bounds(split: str, oracle: bool) -> NDArray[np.float64]:
    """Lower bound for every count out of n."""
    given = {"n": N, "alpha": ALPHA, "sigma": SIGMA}
    if oracle:
        return np.array([derive_oracle("clopper-pearson", split, count=k, **given).lower for k in range(N + 1)])
    found = [derive("clopper-pearson", split, count=k, runner_up=None, **given) for k in range(N + 1)]

    assert all((claim.radius > 0) == (claim.lower > 0.5) for claim in found)
    return np.array([claim.lower for claim in found])


def simulated(law: str, split: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count of the chosen class in each run, and its true probability."""
    rng, shares = np.random.default_rng(len(law)), np.array(LAWS[law])
    counts = rng.multinomial(N, shares, RUNS)
    chosen = (counts if split == SAME else rng.multinomial(N0, shares, RUNS)).argmax(axis=1)
    return counts[np.arange(RUNS), chosen], shares[chosen]


@pytest.mark.parametrize("oracle", [False, True])
@pytest.mark.parametrize("split", [SAME, SEPARATE])
@pytest.mark.parametrize("law", LAWS)
def test_stated_bounds_are_false_at_most_at_alpha(law: str, split: str, oracle: bool) -> None:
    counted, true = simulated(law, split)
    assert (bounds(split, oracle)[counted] > true).mean() <= allowed()


def test_a_bound_that_ignores_the_choice_is_caught() -> None:
    counted, true = simulated("uniform over 20", SAME)
    plain = np.asarray(clopper_pearson_lower(np.arange(N + 1), N, ALPHA / 2))
    assert (plain[counted] > true).mean() > 2 * allowed()


@pytest.mark.parametrize("shares", [[1 / 8] * 8, [0.25, 0.25, 0, 0, 0.25, 0.25, 0, 0], [0.5, 0, 0, 0, 0.5, 0, 0, 0]])
@pytest.mark.parametrize("same", [True, False])
def test_all_bounds_of_a_profile_hold_together(shares: list[float], same: bool) -> None:
    rng = np.random.default_rng(3)
    counts = rng.multinomial(N, shares, RUNS)
    chain = chain_of(node_counts(counts if same else rng.multinomial(N0, shares, RUNS), TREE), TREE)
    lower, radii = profile_radii(counts_along(node_counts(counts, TREE), chain), N, ALPHA, SIGMA, same_samples=same)
    true = [np.bincount(row, weights=shares)[nodes] for row, nodes in zip(TREE, chain.T, strict=True)]
    assert (lower > np.stack(true, axis=1)).any(axis=1).mean() <= allowed()
    assert ((radii > 0) == (lower > 0.5)).all()
    assert (radii > 0).any() or max(shares) < 0.2
