"""Intervals of paired differences: published examples, other libraries' parts, and coverage by simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from hrvlm.evaluation import paired
from hrvlm.evaluation.paired import difference_of_means, difference_of_shares, mcnemar, square_and_add, wilson


@pytest.mark.parametrize(
    ("table", "low", "high", "digits"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404, 4),  # Newcombe, Statistics in Medicine 17:2635-2650, 1998, table III
        ((1, 1, 7, 12), -0.507, -0.026, 3),  # Fagerland, Lydersen and Laake, Statistics in Medicine 33:2850-2875, 2014
    ],
)
def test_published_examples(table: tuple[int, int, int, int], low: float, high: float, digits: int) -> None:
    found = square_and_add(*table, 0.95)
    assert tuple(round(end, digits) for end in found) == (low, high)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_parts_are_those_of_scipy(confidence: float) -> None:
    for right, images in [(0, 7), (3, 7), (7, 7), (400, 1001)]:
        known = binomtest(right, images).proportion_ci(confidence, method="wilson")
        assert wilson(right, images, confidence) == pytest.approx((known.low, known.high), abs=1e-12)
    for first, second in [(0, 0), (0, 5), (3, 3), (12, 31)]:
        known = 1.0 if first + second == 0 else binomtest(first, first + second).pvalue
        assert mcnemar(first, second) == pytest.approx(known, rel=1e-12)


def test_shares_are_counted_per_image() -> None:
    first = [True, True, False, False, True, False, False, False]
    second = [True, True, True, True, False, False, True, True]
    found = difference_of_shares(first, second)
    assert found.estimate == pytest.approx(np.mean(second) - np.mean(first))
    assert (found.low, found.high) == square_and_add(2, 4, 1, 1, 0.95)
    assert (found.p_value, found.images) == (mcnemar(4, 1), 8)
    back = difference_of_shares(second, first)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))  # type: ignore[operator]


def test_intervals_of_models_that_always_agree_are_not_empty() -> None:
    found = difference_of_shares([True] * 20, [True] * 20)
    assert found.estimate == 0
    assert found.low == pytest.approx(-found.high)  # type: ignore[operator]
    assert 0.1 < found.high < 0.2  # type: ignore[operator]


@pytest.mark.parametrize("images", [16, 60, 250])
def test_square_and_add_covers(images: int) -> None:
    draws, random = 3000, np.random.default_rng(images)
    for both, first, second in product((0.3, 0.6), (0.05, 0.2), (0.02, 0.15)):
        tables = random.multinomial(images, [both, first, second, 1 - both - first - second], size=draws)
        ends = [square_and_add(*map(int, table), 0.95) for table in tables]
        covered = np.mean([low <= first - second <= high for low, high in ends])
        assert covered > 0.935, (both, first, second)


def radii(random: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Certified radii of two models as they occur: many zeros, and both large on the same easy images."""
    easy = random.uniform(size=images)
    first = np.where(easy > 0.4, 0.3 * easy + 0.1 * random.uniform(size=images), 0.0)
    return first, np.where(easy > 0.3, 0.4 * easy + 0.1 * random.uniform(size=images), 0.0)


def test_the_bootstrap_covers_and_uses_the_pairing() -> None:
    random = np.random.default_rng(0)
    truth = float(np.subtract(*reversed(radii(random, 10**6))).mean())
    hits, trials, width = 0, 400, []
    for _ in range(trials):
        found = difference_of_means(*radii(random, 60), draws=1000)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
        width.append(found.high - found.low)
    assert hits / trials > 0.92
    one, two = radii(random, 10**5)
    apart = 2 * 1.96 * math.sqrt((one.var() + two.var()) / 60)  # of models on different images
    assert np.mean(width) < 0.5 * apart


def test_the_bootstrap_does_not_depend_on_how_much_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = radii(np.random.default_rng(1), 50)
    whole = difference_of_means(one, two)
    assert whole == difference_of_means(one, two)
    monkeypatch.setattr(paired, "_PART", 777)
    assert difference_of_means(one, two) == whole


def test_no_interval_is_told_where_all_pairs_differ_by_the_same() -> None:
    found = difference_of_means([0.5, 0.25, 0.0], [0.75, 0.5, 0.25])
    assert (found.estimate, found.low, found.high, found.images) == (0.25, None, None, 3)


@pytest.mark.parametrize("pairs", [([], []), ([1.0], [1.0, 0.0]), ([[1.0]], [[1.0]])])
def test_pairs_are_asked_for(pairs: tuple[list[float], list[float]]) -> None:
    for difference in (difference_of_shares, difference_of_means):
        with pytest.raises(ValueError, match="expected a number of either model for each image, got"):
            difference(*pairs)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidences_are_shares(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"expected a confidence in \(0, 1\), got"):
        difference_of_shares([1, 0], [0, 1], confidence)
