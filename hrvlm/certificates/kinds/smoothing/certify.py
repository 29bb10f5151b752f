"""Randomized smoothing of several statements from one noise pass.

What is claimed, per image: with probability at least 1 - alpha over the noise, for every statement that does not
abstain, the SMOOTHED classifier has the stated class at every point closer than the stated L2 radius. Each of the K
statements of an image spends alpha / K, so the claim holds for all of them together (union bound).

Sources: CERTIFY of "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv
1902.02918); `sampling.procedures` names those of other procedures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from hrvlm.certificates.kinds.counted import Counted, counted
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.monte_carlo import sample_statements
from hrvlm.certificates.sampling.plan import SmoothingPlan, Statement
from hrvlm.certificates.sampling.procedures import Outcome, Sampled
from hrvlm.certificates.sampling.stream import Classify
from hrvlm.certificates.statistics.claim import HOPELESS, NO_LABEL, NO_LEAD, NOT_ABOVE, NOT_MAJORITY, derive
from hrvlm.rows.record import is_right


class MakesRecords(Protocol):
    """Makes records of its own of the same samples, as `profile.certify.Profiler` does."""

    def records(self, sampled: Sampled) -> Sequence[Any]:
        """Those of one image."""


def certify(
    classify: Classify,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    profiler: MakesRecords | None = None,
    **passing: Any,
) -> Iterator[list[Any]]:
    """Certify every statement about every sample.

    Args:
        classify: base classifier, see `sampling.monte_carlo.sample_statements`.
        samples: images with dataset indices and true labels.
        statements: what to certify; alpha is split equally over them.
        plan: noise, sample sizes, confidence and procedure.
        profiler: makes hierarchical profiles of the same samples; its key must be that of a statement.
        **passing: batch_size, device, threads, observe, with_draws and workers of `sample_statements`.

    Returns:
        An iterator over the records of each sample, one per statement in their order, then its profiles; in the order
        of the samples, except where a procedure needs different numbers of draws: then as they are finished.

    Raises:
        ValueError: at once, if n can certify nothing at this alpha, or keys repeat; on the way, if an image lies
            outside [0, 1] or the classifier returns other labels than promised.
    """
    found = sample_statements(classify, samples, statements, plan, **passing)
    more = (lambda sampled: ()) if profiler is None else profiler.records
    return ([*smoothing_records(sampled, plan), *more(sampled)] for sampled in found)


def smoothing_records(sampled: Sampled, plan: SmoothingPlan) -> list[SmoothingRecord]:
    """The certificates of one image, one per statement."""
    total = len(sampled.outcomes)
    return [_record(counted(sampled.sample, outcome, plan, total), outcome, plan) for outcome in sampled.outcomes]


def _record(found: Counted, outcome: Outcome, plan: SmoothingPlan) -> SmoothingRecord:
    """The certificate that the counts of a statement give."""
    runner_up = outcome.runner_up if found.method == "two bounds" else None
    claim = derive(
        found.method,
        found.split,
        count=found.count,
        runner_up=runner_up,
        n=found.n,
        alpha=found.alpha_share,
        sigma=plan.sigma,
        threshold=plan.tau,
    )
    # A decision for the goal may lie within rounding of the bound.
    radius = max(claim.radius, plan.goal or 0.0) if outcome.decision == "certified" else claim.radius
    abstain = not (found.prediction >= 0 and radius > 0)
    return SmoothingRecord(
        **asdict(found),
        correct=is_right(found.prediction, found.label),
        reason=_reason(found) if abstain else None,
        lower=claim.lower,
        radius=radius,
        abstain=abstain,
        runner_up=runner_up,
        upper=claim.upper,
        n_max=plan.n if plan.procedure in ("adaptive", "pilot") else None,
        goal=plan.goal,
        give_up=plan.give_up if plan.procedure == "adaptive" else None,
        decision=outcome.decision,
    )


def _reason(found: Counted) -> str:
    if found.prediction < 0:
        return NO_LABEL
    if found.n == 0:
        return HOPELESS
    if found.method == "two bounds":
        return NO_LEAD
    return NOT_MAJORITY if found.threshold == 0.5 else NOT_ABOVE
