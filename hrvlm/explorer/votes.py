"""A smoothing vote that grows while somebody looks, and the certified profile of its end.

Whoever watches a vote may stop it when they like what they see; so its bounds are anytime-valid ones, which hold at all
numbers of samples at once (`statistics.anytime`). Draws, counts and noise are those of `certify.py run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from hrvlm.certificates.kinds.classifiers import statements
from hrvlm.certificates.kinds.profile.certify import Profiler
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.profile.report import REPORT as PROFILE
from hrvlm.certificates.kinds.smoothing.certify import smoothing_records
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.kinds.smoothing.report import REPORT
from hrvlm.certificates.run.noise_pass import LevelLabels
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.counts import Counts
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.certificates.sampling.procedures import NUM_GROUPS, StatementProcedure
from hrvlm.certificates.sampling.stream import count_labels
from hrvlm.certificates.statistics.anytime import look_times
from hrvlm.explorer.extents import class_words
from hrvlm.models import NO_LABEL, HierarchicalClassifier, inference_copy

BATCH = 64
"""Noisy copies per pass; few, so that a vote moves while it is watched."""
MOST_SAMPLES = 100_000


@dataclass(frozen=True, kw_only=True)
class Vote:
    """A vote after some samples.

    Attributes:
        n: Samples counted.
        levels: Of every level, what follows from them; see `SmoothingRecord`.
        classes: The classes of these, in words.
        profiles: One per tree, once all samples are counted; else none.
    """

    n: int
    levels: list[SmoothingRecord]
    classes: list[str]
    profiles: list[ProfileRecord]


def vote_plan(*, sigma: float, n: int, alpha: float, n0: int = 32, seed: int = 0) -> SmoothingPlan:
    """How a vote is taken.

    Args:
        sigma: Standard deviation of the noise, in pixel units.
        n: Samples at most, which are counted; from 1 to 100,000.
        alpha: Error probability of all bounds together, at all numbers of samples; at most 0.19.
        n0: Samples that choose the classes before.
        seed: Of the noise.

    Raises:
        ValueError: If a number is out of range.
    """
    if not 1 <= n <= MOST_SAMPLES:
        raise ValueError(f"expected n from 1 to {MOST_SAMPLES:,} in the explorer, got {n}; use certify.py run for more")
    return SmoothingPlan(procedure="adaptive", goal=0.0, sigma=sigma, n0=n0, n=n, alpha=alpha, seed=seed)


def growing_vote(classifier: HierarchicalClassifier, image: Tensor, plan: SmoothingPlan) -> Iterator[Vote]:
    """The vote on a picture after more and more samples, at every level.

    Args:
        classifier: Classifiers of every level; their smoothed versions are certified.
        image: (3, H, W) in [0, 1].
        plan: See `vote_plan`.

    Yields:
        Votes with rising n, the last one after all samples, with the profiles.

    Raises:
        ValueError: If the picture's pixels lie outside [0, 1].
    """
    classifier = inference_copy(classifier)
    asked = statements(classifier)
    procedure = StatementProcedure(asked, plan)
    sample = Sample(0, image, {statement.key: NO_LABEL for statement in asked})
    counts: Counts = {s.key: np.zeros((NUM_GROUPS, s.num_classes + 1), dtype=np.int64) for s in asked}
    plan.check(len(asked))
    count = _Counting(classifier, sample, plan, counts)
    count(0, plan.selection)
    begin = 0
    for look in look_times(plan.n, first=BATCH).tolist():
        count(1, plan.estimation[begin:look])
        begin = look
        sampled = procedure.so_far(sample, counts)
        levels = smoothing_records(sampled, plan)
        words = [class_words(classifier, key, r.prediction) for key, r in zip(classifier.keys, levels, strict=True)]
        profiles: list[ProfileRecord] = []
        if look == plan.n:
            fixed = replace(plan, procedure="split", goal=None)
            profiles = Profiler(classifier.forest.trees, classifier.keys[0], fixed).records(sampled)
        yield Vote(n=look, levels=levels, classes=words, profiles=profiles)


class _Counting:
    """Counts labels of draws, by address, into the counts that it was given."""

    def __init__(self, classifier: HierarchicalClassifier, sample: Sample, plan: SmoothingPlan, counts: Counts) -> None:
        asked = statements(classifier)
        self._labels, self._sample, self._plan, self._counts = LevelLabels(classifier, asked), sample, plan, counts
        self._num_classes = {statement.key: statement.num_classes for statement in asked}

    def __call__(self, group: int, draws: range) -> None:
        """Draws no generator across passes: all of these are counted when it returns."""
        counted = count_labels(
            self._labels.of_images, [self._sample], self._num_classes, [draws], drawing=self._plan.drawing,
            batch_size=BATCH,
        )  # fmt: skip
        for _, found in counted:
            for key, own in found.items():
                self._counts[key][group] += own[0]


def guarantee(vote: Vote) -> list[str]:
    """What a vote guarantees, in sentences."""
    return [
        "The bounds hold at all numbers of samples at once: you may stop when you like. Alpha covers one vote on one "
        "picture, with classes and noise chosen before: not the best of several that were tried.",
        *REPORT.guarantee(vote.levels),
    ]


def profile_guarantee(profiles: Sequence[ProfileRecord]) -> list[str]:
    """What the profiles of a picture guarantee, in sentences."""
    return [
        "Told once all samples are counted, whose number was fixed before; the profiles spend an alpha of their own, "
        "beside that of the vote.",
        *PROFILE.guarantee(profiles),
    ]
