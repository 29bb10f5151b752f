"""What records of counted samples have in common, from the plan and the counts of a statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hrvlm.certificates.kinds.sampled import ClassifiedFields
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.certificates.sampling.procedures import Outcome
from hrvlm.certificates.statistics.claim import FLOAT_MODES, METHOD_OF


@dataclass(frozen=True, kw_only=True)
class Counted(ClassifiedFields):
    """A statement about one image whose samples have been counted, before any claim is made.

    Attributes:
        index: see `rows.record.Record`, as the next ones.
        label: true label at this level.
        tree: name of the class tree.
        level: 0 for the leaves, growing towards the root.
        level_name: name of the level.
        prediction: the class that was counted; -1 where there is none.
        selection_count: selection samples with the predicted class.
        count: estimation samples with the predicted class.
        method: how counts become bounds, see `statistics.claim.derive`.
    """

    index: int
    label: int
    tree: str
    level: int
    level_name: str
    prediction: int
    selection_count: int
    count: int
    method: str


def fields_of(plan: SmoothingPlan) -> dict[str, Any]:
    """The fields that a plan gives to every record of counted samples."""
    return {
        "sigma": plan.sigma,
        "noise_space": plan.noise_space,
        "alpha": plan.alpha,
        "seed": plan.seed,
        "float_mode": FLOAT_MODES[plan.noise],
        "threshold": plan.tau,
        "votes": plan.votes,
        "vote_error": None if plan.votes is None else plan.vote_error,
        "precision": plan.precision,
        "label_functions": plan.label_functions,
        "functions_chosen": plan.functions_chosen,
    }


def counted(sample: Sample, outcome: Outcome, plan: SmoothingPlan, num_statements: int) -> Counted:
    """The fields of a statement whose samples have been counted.

    Args:
        sample: the image.
        outcome: what its samples say.
        plan: how they were drawn.
        num_statements: statements of the image that share alpha.
    """
    statement = outcome.statement
    return Counted(
        index=sample.index,
        label=int(sample.labels[statement.key]),
        tree=statement.tree,
        level=statement.level,
        level_name=statement.level_name,
        prediction=outcome.prediction,
        alpha_share=plan.alpha_share(num_statements),
        num_statements=num_statements,
        n0=len(plan.selection),
        n=outcome.n,
        selection_count=outcome.selection_count,
        count=outcome.count,
        invalid=int(outcome.counts[1, -1]),
        invalid_selection=int(outcome.counts[0, -1]),
        split=outcome.split,
        method=METHOD_OF.get(plan.procedure, "clopper-pearson"),
        **fields_of(plan),
    )
