"""Prediction with a smoothed classifier: a vote that abstains when it is too close to call.

Source: PREDICT of "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019
(arXiv 1902.02918).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binomtest

from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.plan import PREDICT_DRAWS, SmoothingPlan, Statement, check_statements
from hrvlm.certificates.sampling.stream import Classify, Execution, count_labels


@dataclass(frozen=True)
class SmoothedPrediction:
    """Vote of the smoothed classifier.

    Attributes:
        prediction: most frequent class, -1 if no sample had a valid label.
        count: its votes.
        runner_up: votes of the next class.
        p_value: of the two-sided binomial test that both are equally likely.
        abstain: whether the p-value exceeds the statement's share of alpha.
    """

    prediction: int
    count: int
    runner_up: int
    p_value: float
    abstain: bool


def smoothed_predict(
    classify: Classify,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> Iterator[tuple[int, dict[Hashable, SmoothedPrediction]]]:
    """Predict with the smoothed classifier from n draws that no certificate uses (PREDICT of the paper).

    With probability at least 1 - alpha over the noise, every statement of an image either abstains or has the class
    that the smoothed classifier has there. Takes the arguments of `certify`.

    Yields:
        Dataset index, and the vote per statement key.
    """
    num_classes = check_statements(statements, batch_size)
    groups = (range(PREDICT_DRAWS, PREDICT_DRAWS + plan.n),)
    share = plan.alpha_share(len(statements))
    counted = count_labels(
        classify,
        samples,
        num_classes,
        groups,
        drawing=plan.drawing,
        batch_size=batch_size,
        execution=Execution(device=device, threads=threads, precision=plan.precision),
    )
    for sample, counts in counted:
        yield sample.index, {key: _vote([int(c) for c in counts[key][0, :-1]], share) for key in num_classes}


def _vote(counts: list[int], alpha: float) -> SmoothedPrediction:
    """Two-sided binomial test of the two most frequent classes."""
    top, runner_up = sorted([*counts, 0], reverse=True)[:2]
    if top == 0:
        return SmoothedPrediction(-1, 0, 0, 1.0, True)
    p_value = float(binomtest(top, top + runner_up, 0.5).pvalue)
    return SmoothedPrediction(counts.index(top), top, runner_up, p_value, p_value > alpha)
