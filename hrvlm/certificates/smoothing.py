"""Randomized smoothing of several statements from one noise pass.

Source: CERTIFY of "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019
(arXiv 1902.02918). A statement is a level of a class tree; every noisy copy of an image is classified once and counted
for all of them. Selection and estimation use disjoint draws: 0 to n0 - 1, and n0 to n0 + n - 1.

What is claimed, per image: with probability at least 1 - alpha over the noise, for every statement that does not
abstain, the SMOOTHED classifier has the stated class at every point closer than the stated L2 radius. Each of the K
statements of an image spends alpha / K, so the claim holds for all of them together (union bound).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from hrvlm.certificates.bounds import clopper_pearson_lower, minimal_samples, smoothing_radius
from hrvlm.certificates.records import SmoothingRecord
from hrvlm.certificates.sampling import Classify, Counts, Sample, tally

NO_LABEL = "no selection sample had a valid label"
NOT_MAJORITY = "the lower bound on the class probability is not above 1/2"
PREDICT_DRAWS = 2**32  # far above any certification draw, so a vote and a certificate never share noise


@dataclass(frozen=True)
class Statement:
    """One question asked of every noisy image: its class at one level of one tree.

    Attributes:
        key: key of its labels in what the classifier returns.
        tree: name of the class tree.
        level: 0 for the leaves.
        level_name: name of the level.
        num_classes: number of classes at the level.
    """

    key: Hashable
    tree: str
    level: int
    level_name: str
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class SmoothingPlan:
    """What is sampled and at which confidence.

    Attributes:
        sigma: standard deviation of the Gaussian noise, in pixel units of [0, 1]; positive.
        n0: selection samples, at least 1.
        n: estimation samples, at least 1.
        alpha: error probability per image, over all its statements together, in (0, 1).
        seed: seed of the noise, in [0, 2^64).
        noise_space: where the noise is added, in words, for the record.

    Raises:
        ValueError: if a value lies outside its range.
    """

    sigma: float
    n0: int = 100
    n: int = 1000
    alpha: float = 0.001
    seed: int = 0
    noise_space: str = "pixels in [0, 1] before resizing"

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"expected sigma > 0 and finite, got {self.sigma}: give it in pixel units of [0, 1]")
        if not 0 < self.alpha < 1:
            raise ValueError(f"expected alpha in (0, 1), got {self.alpha}")
        if self.n0 < 1 or self.n < 1 or self.n0 + self.n > PREDICT_DRAWS:
            raise ValueError(f"expected n0 >= 1, n >= 1 and at most 2^32 together, got n0={self.n0}, n={self.n}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"expected seed in [0, 2^64), got {self.seed}")

    def alpha_share(self, num_statements: int) -> float:
        """Error probability of each statement of an image; the only place where alpha is split."""
        return self.alpha / num_statements

    def check(self, num_statements: int) -> None:
        """Raise ValueError if n is too small to certify anything at this alpha, however sure the classifier."""
        needed = minimal_samples(0.0, self.alpha_share(num_statements), self.sigma)
        if self.n < needed:
            raise ValueError(
                f"expected n >= {needed} to certify anything at alpha={self.alpha:g} shared by {num_statements} "
                f"statements, got n={self.n}: every image would abstain; raise n or alpha"
            )


def certify(
    classify: Classify,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> Iterator[list[SmoothingRecord]]:
    """Certify every statement about every sample.

    Args:
        classify: base classifier: images `(B, C, H, W)` on `device` to labels `(B,)` per statement key, -1 where a
            sample has no valid label (it then counts against every class). Called without gradients, as it is: putting
            a module into evaluation mode, and back, is the caller's part.
        samples: images with dataset indices and true labels.
        statements: what to certify; alpha is split equally over them.
        plan: noise, sample sizes and confidence.
        batch_size: noisy copies per call; batches mix images.
        device: where `classify` wants its images.
        threads: threads that prepare noise ahead; 0 for none.

    Returns:
        An iterator over the records of each sample, one per statement, in the order of samples and statements.

    Raises:
        ValueError: at once, if n can certify nothing at this alpha, or keys repeat; on the way, if an image lies
            outside [0, 1] or the classifier returns other labels than promised.
    """
    num_classes = check_statements(statements, batch_size)
    plan.check(len(statements))
    groups = (range(plan.n0), range(plan.n0, plan.n0 + plan.n))
    counted = tally(
        classify,
        samples,
        num_classes,
        groups,
        sigma=plan.sigma,
        seed=plan.seed,
        batch_size=batch_size,
        device=device,
        threads=threads,
    )
    return (
        [_record(sample, counts, statement, plan, len(statements)) for statement in statements]
        for sample, counts in counted
    )


def check_statements(statements: Sequence[Statement], batch_size: int) -> dict[Hashable, int]:
    """Number of classes per statement key; ValueError unless there is a statement and keys are distinct."""
    num_classes = {statement.key: statement.num_classes for statement in statements}
    if not statements or len(num_classes) != len(statements):
        raise ValueError(f"expected at least one statement and distinct keys, got {[s.key for s in statements]}")
    if batch_size < 1:
        raise ValueError(f"expected batch_size >= 1, got {batch_size}")
    return num_classes


def _record(
    sample: Sample, counts: Counts, statement: Statement, plan: SmoothingPlan, num_statements: int
) -> SmoothingRecord:
    """The certificate that the counts of a sample give for a statement."""
    selection, estimation = counts[statement.key]
    found = int(selection[:-1].max()) > 0
    prediction = int(selection[:-1].argmax()) if found else -1
    count = int(estimation[prediction]) if found else 0
    share = plan.alpha_share(num_statements)
    lower = float(clopper_pearson_lower(count, plan.n, share))
    abstain = not lower > 0.5
    label = int(sample.labels[statement.key])
    return SmoothingRecord(
        index=sample.index,
        label=label,
        tree=statement.tree,
        level=statement.level,
        level_name=statement.level_name,
        prediction=prediction,
        correct=prediction == label,
        reason=(NOT_MAJORITY if found else NO_LABEL) if abstain else None,
        sigma=plan.sigma,
        noise_space=plan.noise_space,
        alpha=plan.alpha,
        alpha_share=share,
        num_statements=num_statements,
        n0=plan.n0,
        n=plan.n,
        selection_count=int(selection[prediction]) if found else 0,
        count=count,
        invalid=int(estimation[-1]),
        lower=lower,
        radius=float(smoothing_radius(count, plan.n, share, plan.sigma)),
        abstain=abstain,
        seed=plan.seed,
    )
