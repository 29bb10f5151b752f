"""Calibrations of semantic claims on emoji, thousands of times over: rates hold, and what is done wrongly is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hrvlm
from hrvlm.certificates import load_attributes
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibrating import GROWTHS
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange, violation_counts
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.certificates.statistics.risk import smallest_valid
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.evaluation.calibration_settings import ShownChanges
from hrvlm.evaluation.shown_features import ShownImages, claims_of
from hrvlm.models import HierarchicalClassifier, cosine_head, inferring
from hrvlm.training.pictured_changes import AppearanceSequence
from hrvlm.trees import load_forest

IMAGES, SPLITS = 120, 2000
SHOWN = {
    "background: blue": AppearanceSequence(stop={"background": [0.2, 0.4, 0.9]}, steps=4),
    "size: small": AppearanceSequence(stop={"size": 0.5}, steps=4),
}
TREES = {"emoji_unicode": range(3), "emoji_wordnet": range(1, 4)}
LEVELS = [f"{change}, {tree}/{level}" for change in SHOWN for tree, levels in TREES.items() for level in levels]


@pytest.fixture(scope="module")
def claims() -> dict[str, ShownChange]:
    """Claims of two changes at all levels of two trees, cosines, with pictures at four steps."""
    data, model, library = EmojiDataModule(), hrvlm.load_model("emoji"), load_attributes()
    forest = load_forest(["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"], leaves=data.class_ids)
    classifier = HierarchicalClassifier(model, cosine_head(model), forest)
    changes = [library[name.partition(": ")[0]].attribute(name.partition(": ")[2]) for name in SHOWN]
    plan = ShownChanges(attributes=changes, sequences=SHOWN, num_images=IMAGES)
    scorers = LevelScorers({"cosine": classifier})
    with inferring(classifier):
        shown = ShownImages(classifier, data.evaluation_set("unseen_artist"), plan)
        return {
            f"{name}, {tree}/{level}": found
            for change in changes
            for (_, _, name, tree, level), found in claims_of(scorers, change, shown.encoded(change))
        }


def most_allowed(n: int, epsilon: float, confidence: float | None = None) -> int:
    """The largest number of violations among n images at which a threshold is valid; -1 for none."""
    return sum(smallest_valid([k], n, epsilon=epsilon, confidence=confidence) == 0 for k in range(n + 1)) - 1


def chosen(critical: np.ndarray, count: int) -> np.ndarray:
    """Positions (R,) of the smallest thresholds that at most `count` of the images (R, n) violate."""
    return -np.sort(-critical, axis=1)[:, count]


def halves(seed: int, n: int = IMAGES // 2) -> tuple[np.ndarray, np.ndarray]:
    """Random splits of the images: those that calibrate (SPLITS, n), and the others."""
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(IMAGES), (SPLITS, 1)), axis=1)
    return order[:, :n], order[:, n:]


def keeps(rates: np.ndarray, most: float) -> bool:
    """Whether the mean over splits is at most a rate, up to two standard errors."""
    return bool(rates.mean() <= most + 2 * rates.std() / len(rates) ** 0.5)


def test_the_levels_are_those_of_both_trees(claims: dict[str, ShownChange]) -> None:
    assert set(LEVELS) == set(claims)
    assert all(30 < len(found) == IMAGES for found in claims.values())


@pytest.mark.parametrize("name", LEVELS)
def test_the_rate_of_random_splits_is_at_most_epsilon(claims: dict[str, ShownChange], name: str) -> None:
    critical = claims[name].critical(ThresholdScale(), PathSpeed()).numpy()
    assert (critical > 0).mean() > 0.1  # raw claims are wrong more often
    some, others = halves(seed=1)
    for epsilon in (0.05, 0.1, 0.2):
        places = chosen(critical[some], most_allowed(some.shape[1], epsilon))
        assert keeps((critical[others] > places[:, None]).mean(axis=1), epsilon)
        for split in range(5):
            counts = violation_counts(torch.from_numpy(critical[some[split]]))
            assert smallest_valid(counts, some.shape[1], epsilon=epsilon) == places[split] < len(THRESHOLDS)


@pytest.mark.parametrize("name", LEVELS)
def test_with_confidence_few_calibrations_of_emoji_fail(claims: dict[str, ShownChange], name: str) -> None:
    """Images are drawn with replacement: the rate among all of them is then the true one."""
    critical = claims[name].critical(ThresholdScale(), PathSpeed()).numpy()
    drawn = critical[np.random.default_rng(2).integers(IMAGES, size=(SPLITS, 200))]
    for epsilon in (0.1, 0.2):
        places = chosen(drawn, most_allowed(200, epsilon, 0.9))
        true = (critical[None] > places[:, None]).mean(axis=1)
        assert keeps(true > epsilon + 1e-12, 0.1)


def test_calibrating_on_the_tested_images_is_seen(claims: dict[str, ShownChange]) -> None:
    """The smallest threshold at which no more than epsilon of these very images are violated."""
    some, others = halves(seed=3, n=20)
    for name in LEVELS[:2]:
        critical = claims[name].critical(ThresholdScale(), PathSpeed()).numpy()
        right = chosen(critical[some], most_allowed(20, 0.1))
        assert keeps((critical[others] > right[:, None]).mean(axis=1), 0.1)
        wrong = chosen(critical[some], int(0.1 * 20))
        assert keeps((critical[some] > wrong[:, None]).mean(axis=1), 0.1)  # on them it looks right
        assert not keeps((critical[others] > wrong[:, None]).mean(axis=1), 0.1)


def test_a_threshold_per_image_is_seen(claims: dict[str, ShownChange]) -> None:
    """Of several ways to measure thresholds, each calibrated, every image takes the one that claims most of it."""
    found, epsilon = claims["size: small, emoji_unicode/0"], 0.2
    some, others = halves(seed=4)
    scales = [ThresholdScale(unit, growth) for unit in ("weights", "margin") for growth in GROWTHS[::2]]  # type: ignore[arg-type]
    speeds = [PathSpeed(), PathSpeed((0.0, 1.0), (0.0, 0.3))]
    share, wrong = np.zeros(others.shape), np.zeros(others.shape, bool)
    for scale, speed in ((scale, speed) for scale in scales for speed in speeds):
        critical = found.critical(scale, speed).numpy()
        places = chosen(critical[some], most_allowed(some.shape[1], epsilon))
        assert keeps((critical[others] > places[:, None]).mean(axis=1), epsilon)
        known = np.zeros((len(THRESHOLDS) + 1, IMAGES))
        for place in np.unique(places):
            known[place] = found.share(THRESHOLDS[place], scale, speed).numpy()
        shares = known[places[:, None], others]
        more = shares > share
        share, wrong = np.where(more, shares, share), np.where(more, critical[others] > places[:, None], wrong)
    assert not keeps(wrong.mean(axis=1), epsilon)


def test_a_grid_walked_upwards_is_seen(claims: dict[str, ShownChange]) -> None:
    """Every threshold is tried on images of its own, as where one tries again until it passes."""
    critical = claims["size: small, emoji_unicode/0"].critical(ThresholdScale(), PathSpeed()).numpy()
    epsilon, confidence, n, rng = 0.2, 0.9, 60, np.random.default_rng(5)
    true = np.array([(critical > g).mean() for g in range(len(THRESHOLDS))])
    true = np.r_[true[(true > 0.5 * epsilon) & (true < 2 * epsilon)], 0.0]
    counts = rng.binomial(n, true, size=(SPLITS, len(true)))
    valid = counts <= most_allowed(n, epsilon, confidence)
    upwards = valid.argmax(axis=1)
    downwards = len(true) - (~valid[:, ::-1]).argmax(axis=1)
    downwards = np.where(valid.all(axis=1), 0, downwards)
    assert keeps(true[np.minimum(downwards, len(true) - 1)] > epsilon, 1 - confidence)
    assert not keeps(true[upwards] > epsilon, 1 - confidence)
