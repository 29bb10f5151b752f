"""Control of a risk by calibration: exact cases, and violation rates over very many calibrations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from hrvlm.certificates import calibrate_risk
from hrvlm.certificates.statistics.binomial import clopper_pearson_lower
from hrvlm.certificates.statistics.risk import excess_probability, fewest_images, smallest_valid

GRID = np.linspace(0, 1, 101)


def losses(critical: np.ndarray) -> np.ndarray:
    """Losses (..., G) of images whose claim holds from a critical threshold on."""
    return (critical[..., None] > GRID).astype(int)


def by_definition(found: np.ndarray, epsilon: float, confidence: float | None) -> int | None:
    """The smallest threshold from which on all are valid, one after the other."""
    n, best = len(found), None
    for g in reversed(range(found.shape[1])):
        count = int(found[:, g].sum())
        if confidence is None:
            valid = (count + 1) / (n + 1) <= epsilon
        else:
            upper = binomtest(count, n, alternative="less").proportion_ci(confidence, "exact").high
            valid = upper <= epsilon
        if not valid:
            break
        best = g
    return best


@pytest.mark.parametrize("confidence", [None, 0.5, 0.9])
@pytest.mark.parametrize(("n", "epsilon"), [(2, 0.6), (8, 0.2), (40, 0.13), (200, 0.05)])
def test_the_threshold_is_the_smallest_valid_one(n: int, epsilon: float, confidence: float | None) -> None:
    rng = np.random.default_rng([n, 7])
    for spread in (0.2, 1.0, 1.3):
        found = losses(spread * rng.random(n))
        assert calibrate_risk(found, epsilon=epsilon, confidence=confidence) == by_definition(
            found, epsilon, confidence
        )


def test_too_few_images_calibrate_nothing() -> None:
    silent = np.zeros((8, 3))
    assert calibrate_risk(silent, epsilon=0.1) is None  # 1 / 9 is more than 0.1
    assert calibrate_risk(np.zeros((9, 3)), epsilon=0.1) == 0
    assert calibrate_risk(np.zeros((28, 3)), epsilon=0.1, confidence=0.95) is None  # 0.9 ** 28 is more than 0.05
    assert calibrate_risk(np.zeros((29, 3)), epsilon=0.1, confidence=0.95) == 0
    assert calibrate_risk(np.ones((99, 3)), epsilon=0.1) is None
    assert calibrate_risk(torch.zeros(9, 3, dtype=torch.bool), epsilon=0.1) == 0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([[0, 1]], "do not grow along the thresholds, got 0 before 1 in row 0 at threshold 1"),
        ([[1, 0.5]], "losses of 0 and 1, got 0.5"),
        ([[1, np.nan]], "losses of 0 and 1, got nan"),
        ([0, 1], r"shape \(n, G\), n and G at least 1, got \(2,\)"),
        (np.zeros((0, 3)), r"got \(0, 3\)"),
    ],
)
def test_what_are_no_losses_is_refused(found: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calibrate_risk(np.asarray(found), epsilon=0.1)


@pytest.mark.parametrize(
    "given", [{"epsilon": 0.0}, {"epsilon": 1.0}, {"epsilon": 0.1, "confidence": 1.0}, {"epsilon": float("nan")}]
)
def test_rates_outside_their_range_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"in \(0, 1\), got"):
        calibrate_risk([[1, 0]], **given)


TRIALS = 2000


def violated(n: int, rng: np.random.Generator) -> np.ndarray:
    """Violations (TRIALS, G) among n images, whose critical thresholds are uniform: with `losses` summed over them."""
    beyond = np.ceil(100 * rng.random((TRIALS, n))).astype(int) + 101 * np.arange(TRIALS)[:, None]
    found = np.bincount(beyond.ravel(), minlength=101 * TRIALS).reshape(TRIALS, 101)
    return n - found.cumsum(axis=1)


def calibrations(n: int, epsilon: float, confidence: float | None, seed: int) -> np.ndarray:
    """True violation rates of thresholds chosen on n images."""
    counts = violated(n, np.random.default_rng(seed))
    chosen = [smallest_valid(row, n, epsilon=epsilon, confidence=confidence) for row in counts]
    return np.array([0.0 if g is None else 1 - GRID[g] for g in chosen])


def largest(mean: float) -> float:
    """A mean of TRIALS rates of expectation at most `mean` is below this but for one time in a thousand or fewer."""
    return mean + 3.1 * np.sqrt(mean * (1 - mean) / TRIALS)


@pytest.mark.parametrize(("n", "epsilon"), [(19, 0.1), (60, 0.2), (150, 0.05)])
def test_the_next_image_seldom_violates_its_claim(n: int, epsilon: float) -> None:
    rates = calibrations(n, epsilon, None, seed=1)
    assert rates.mean() <= largest(epsilon)
    assert rates.mean() >= epsilon - 1 / (n + 1) - 0.011  # and not more careful than steps of counts and grid make it


@pytest.mark.parametrize(("n", "epsilon", "confidence"), [(60, 0.2, 0.9), (150, 0.1, 0.8)])
def test_with_confidence_few_calibrations_go_wrong(n: int, epsilon: float, confidence: float) -> None:
    wrong = (calibrations(n, epsilon, confidence, seed=2) > epsilon + 1e-12).mean()
    assert wrong <= largest(1 - confidence)
    assert wrong >= 0.2 * (1 - confidence)


def test_calibrating_on_the_images_themselves_would_be_seen() -> None:
    n, epsilon = 20, 0.1
    counts = violated(n, np.random.default_rng(3))
    rates = np.array([1 - GRID[np.flatnonzero(row / n <= epsilon)[0]] for row in counts])  # holds on these images
    assert rates.mean() > largest(epsilon)


def test_a_threshold_for_each_image_would_be_seen() -> None:
    """Of two claims, each calibrated, every image takes the one that says more of it."""
    n, epsilon, rng = 60, 0.2, np.random.default_rng(4)
    chosen = [[smallest_valid(row, n, epsilon=epsilon) for row in violated(n, rng)] for _ in range(2)]
    thresholds, critical, reach = GRID[np.array(chosen)], rng.random((2, TRIALS)), rng.random((2, TRIALS))
    wrong = critical > thresholds
    assert (wrong.mean(axis=1) <= largest(epsilon)).all()
    best = (reach - critical).argmin(axis=0)  # what says more of an image is wrong of it more often
    assert wrong[best, np.arange(TRIALS)].mean() > largest(epsilon)


def test_walking_the_thresholds_upwards_would_be_seen() -> None:
    """Where losses are not the same images' at every threshold, the first that happens to pass proves nothing."""
    n, epsilon, confidence, rng = 100, 0.1, 0.9, np.random.default_rng(5)
    risks = np.r_[np.full(30, 1.1 * epsilon), np.full(10, 0.3 * epsilon)]
    counts = rng.binomial(n, risks, size=(TRIALS, 40))
    given = {"epsilon": epsilon, "confidence": confidence}
    chosen = np.array([smallest_valid(row, n, **given) or 39 for row in counts])
    alone = np.array([smallest_valid([k], n, **given) == 0 for k in range(n + 1)])  # each by itself
    upwards = alone[counts].argmax(axis=1)
    assert (risks[chosen] > epsilon).mean() <= largest(1 - confidence)
    assert (risks[upwards] > epsilon).mean() > 0.5


def test_right_marginal_thresholds_are_seldom_called_wrong_though_their_rates_often_exceed_epsilon() -> None:
    rng, runs, n, images, epsilon = np.random.default_rng(8), 4000, 59, 400, 0.1
    critical = rng.choice(GRID, (runs, n + images))  # with ties
    counts = np.array([losses(some[:n]).sum(axis=0) for some in critical])
    chosen = np.array([GRID[smallest_valid(count, n, epsilon=epsilon)] for count in counts])  # type: ignore[index]
    violated = (critical[:, n:] > chosen[:, None]).sum(axis=1)
    found = {int(v): excess_probability(int(v), images, calibrated_on=n, epsilon=epsilon) for v in set(violated)}
    error = np.mean([found[int(v)] <= 0.05 for v in violated])
    assert error <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5
    assert np.mean(clopper_pearson_lower(violated, images, 0.05) > epsilon) > 0.2
    assert excess_probability(100, images, calibrated_on=n, epsilon=epsilon) < 0.01


def test_the_excess_is_the_chance_among_orders_of_exchangeable_images() -> None:
    """Two of nine may fail, eps = .2: with three more, all orders of twelve different values are as probable."""
    orders = np.array(list(combinations(range(12), 3)))  # ranks of the further images, 0 the largest
    rest = np.array([sorted(set(range(12)) - set(order)) for order in orders.tolist()])
    beyond = (orders < rest[:, [1]]).sum(axis=1)  # above the second largest of the nine
    for violated in range(4):
        expected = np.mean(beyond >= violated)
        assert excess_probability(violated, 3, calibrated_on=9, epsilon=0.2) == pytest.approx(expected)
    assert [excess_probability(v, 3, calibrated_on=3, epsilon=0.2) for v in (0, 1)] == [1.0, 0.0]
    with pytest.raises(ValueError, match="expected 0 <= successes <= trials"):
        excess_probability(4, 3, calibrated_on=9, epsilon=0.2)


@pytest.mark.parametrize(("epsilon", "confidence", "least"), [(0.001, None, 999), (0.1, None, 9), (0.05, 0.95, 59)])
def test_so_many_images_are_needed_for_a_rate(epsilon: float, confidence: float | None, least: int) -> None:
    """With 59 images and no violation the bound at 95% is 1 - .05^(1/59) = .0495; with 58 it is .0503."""
    assert fewest_images(epsilon, confidence) == least
    losses = np.zeros((least, 3), dtype=np.int64)
    assert calibrate_risk(losses, epsilon=epsilon, confidence=confidence) == 0
    assert calibrate_risk(losses[1:], epsilon=epsilon, confidence=confidence) is None
