"""Calibrated joint claims: extents that shrink with the demand, and rates of false claims over many calibrations."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from hrvlm.certificates import calibrate_risk
from hrvlm.certificates.kinds.joint.calibrated import DEMANDS, demanded_extent, first_uncertified, joint_losses
from hrvlm.certificates.kinds.joint.claim import extent_at_radius
from hrvlm.certificates.kinds.joint.grid import ExtentGrid
from hrvlm.certificates.kinds.joint.record import JointRecord, sparse
from hrvlm.certificates.statistics.claim import SEPARATE

N, ALPHA, SIGMA, RADIUS, STEPS = 60, 0.01, 0.25, 0.05, 8
SHARES = np.arange(1, 5) / 4


def row(histogram: np.ndarray) -> JointRecord:
    return JointRecord(
        index=0, label=1, tree="t", level=0, level_name="leaf", prediction=1, correct=True, reason=None,
        scorer="cosine", attribute="small", source_prompt="a fox", target_prompt="a small fox", move="target",
        steps=STEPS, selection_count=9, count=int(histogram.sum()), histogram=sparse(histogram),
        at_radii=((RADIUS, None),), at_extents=(), abstain=False, sigma=SIGMA, noise_space="pixel_unit_interval",
        alpha=ALPHA, alpha_share=ALPHA, num_statements=1, n0=10, n=N, seed=0, float_mode="float32", split=SEPARATE,
        threshold=0.5, votes=None, vote_error=None, precision="32",
    )  # fmt: skip


def test_extents_shrink_from_the_raw_one_to_nothing() -> None:
    histogram = np.array([2, 4, 6, 8, 8, 8, 8, 8, 8])
    found = [demanded_extent(row(histogram), RADIUS, demand) for demand in DEMANDS]
    assert found[0] == extent_at_radius(histogram, N, ALPHA, RADIUS, SIGMA, ExtentGrid("target", STEPS)) == 3 / 8
    assert found[200] == 0.0  # all 60 copies keep the class without a move, and no further
    assert all(a >= b for a, b in pairwise(found))
    whole = np.r_[np.zeros(8, int), N]
    assert [demanded_extent(row(whole), RADIUS, demand) for demand in (0.0, 1.0, 1.25, 2.0)] == [1.0, 1.0, 0.75, 0.0]
    assert demanded_extent(row(np.r_[np.zeros(8, int), 20]), RADIUS, 0.0) is None


def test_what_has_no_shares_is_refused() -> None:
    histogram = np.r_[np.zeros(8, int), N]
    with pytest.raises(
        ValueError, match="expected a joint row with move: target, whose extents are shares, got 'turn'"
    ):
        demanded_extent(replace(row(histogram), move="turn"), RADIUS, 0.0)
    with pytest.raises(ValueError, match=r"expected one of the radii \[0\.05\] of the row, got 0\.1"):
        demanded_extent(row(histogram), 0.1, 0.0)
    with pytest.raises(ValueError, match=r"expected a demand in \[0, 2\], got 2\.5"):
        demanded_extent(row(histogram), RADIUS, 2.5)


def test_the_first_picture_that_is_not_certified_is_found() -> None:
    counts = np.array([60, 58, 30, 60])
    given = {"n": N, "alpha": ALPHA, "radius": RADIUS, "sigma": SIGMA}
    assert first_uncertified(counts, SHARES, **given) == 0.75
    assert first_uncertified(counts[[0, 1, 3]], SHARES[[0, 1, 3]], **given) == math.inf
    losses = joint_losses(row(np.r_[np.zeros(8, int), N]), RADIUS, 0.75)
    assert losses.sum() == 251  # up to a demand of 1.25, where .75 of the way is claimed


def population(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Losses (count, G), and whether some picture within each extent is in truth not of the class at the radius."""
    enough = norm.cdf(RADIUS / SIGMA)
    losses, wrong = [], []
    for _ in range(count):
        truth = np.clip(1.02 - rng.random() * np.cumsum(rng.random(4)) / 4, 0, 1)  # of each picture's class
        kept = np.clip(0.6 + 0.4 * truth.mean() + 0.1 * rng.standard_normal(), 0.02, 1)  # embeddings change less
        extents = np.where(rng.random(N) < kept, STEPS, rng.integers(STEPS, size=N))
        histogram = np.bincount(extents, minlength=STEPS + 1)
        first = first_uncertified(rng.binomial(N, truth), SHARES, n=N, alpha=ALPHA, radius=RADIUS, sigma=SIGMA)
        record = row(histogram)
        losses.append(joint_losses(record, RADIUS, first))
        false = np.where(truth < enough, SHARES, math.inf).min()
        wrong.append(joint_losses(record, RADIUS, float(false)))
    return np.array(losses), np.array(wrong)


def test_claims_about_pictures_are_false_no_more_often_than_epsilon_and_the_certificates_err() -> None:
    rng, epsilon, trials, n = np.random.default_rng(0), 0.2, 2000, 40
    losses, wrong = population(160, rng)
    assert losses[:, 0].mean() > 2 * epsilon  # raw claims are wrong of pictures
    seen, false = [], []
    for _ in range(trials):
        order = rng.permutation(len(losses))
        place = calibrate_risk(losses[order[:n]], epsilon=epsilon)
        assert place is not None
        seen.append(losses[order[n:], place].mean())
        false.append(wrong[order[n:], place].mean())
    error = 2 * np.std(seen) / trials**0.5
    assert epsilon - 2 / (n + 1) - error <= np.mean(seen) <= epsilon + error
    assert np.mean(false) <= epsilon + len(SHARES) * ALPHA + error
