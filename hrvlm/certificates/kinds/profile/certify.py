"""From the counts of a noise pass to profile records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.counted import fields_of
from hrvlm.certificates.kinds.profile.claim import (
    Budget,
    chain_of,
    choose_budget,
    counts_along,
    node_counts,
)
from hrvlm.certificates.kinds.profile.derivation import derive_profile
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.kinds.profile.record import FREE_CHAIN, SAME_CHAIN, SEPARATE_CHAIN, ProfileRecord
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.certificates.sampling.procedures import Sampled
from hrvlm.rows.record import is_right
from hrvlm.trees import ClassTree

NOT_CERTIFIED = "no node below the root has a lower bound above the threshold"
NO_LABEL = "no sample that chooses the chain had a valid label"
GIVEN_UP = "given up after the selection samples"


@dataclass(frozen=True)
class Profiler:
    """Makes the profiles of images from the counts of their leaves.

    Attributes:
        trees: over the same leaves.
        key: statement key under which leaves are counted.
        plan: noise, sample sizes and confidence; alpha is split equally over the trees.
        options: budget.
    """

    trees: Sequence[ClassTree]
    key: Any
    plan: SmoothingPlan
    options: ProfileOptions = field(default_factory=ProfileOptions)

    def __post_init__(self) -> None:
        self.options.check(self.plan)

    def records(self, sampled: Sampled) -> list[ProfileRecord]:
        """One profile per tree of an image."""
        selection, estimation = sampled.counts[self.key]
        return [self._record(sampled.sample, tree, selection, estimation) for tree in self.trees]

    def _record(
        self, sample: Sample, tree: ClassTree, selection: NDArray[np.int64], estimation: NDArray[np.int64]
    ) -> ProfileRecord:
        plan, table, levels = self.plan, tree.ancestors.numpy(), tree.levels
        budget = choose_budget(len(self.options.radii), len(levels))
        split = _split(budget, plan)
        counted = node_counts(estimation[:-1], table)
        chooses = selection if split == SEPARATE_CHAIN else estimation
        chain = chain_of(node_counts(chooses[:-1], table), table)
        along, n = counts_along(counted, chain).tolist(), int(estimation.sum())
        asked = sorted(self.options.radii) if budget == "fixed radii" else []
        share = plan.alpha_share(len(self.trees))
        derived = derive_profile(
            along, n, alpha=share, sigma=plan.sigma, budget=budget, split=split, asked=asked, threshold=plan.tau
        )  # fmt: skip
        leaf, label = int(chain[0]), int(sample.labels[self.key])
        reason = GIVEN_UP if n == 0 else NO_LABEL if leaf < 0 else NOT_CERTIFIED
        return ProfileRecord(
            index=sample.index,
            label=label,
            tree=tree.name,
            level=0,
            level_name=levels[0].name,
            prediction=leaf,
            correct=is_right(leaf, label),
            reason=None if derived.certifies else reason,
            alpha_share=share,
            num_statements=len(self.trees),
            n0=len(plan.selection) if split == SEPARATE_CHAIN else 0,
            n=n,
            invalid=int(estimation[-1]),
            invalid_selection=int(selection[-1]),
            budget=budget,
            split=split,
            level_names=tuple(level.name for level in levels),
            chain=tuple(chain.tolist()),
            node_names=tuple(level.names[node] if node >= 0 else "" for level, node in zip(levels, chain, strict=True)),
            labels=tuple(table[:, label].tolist()) if label >= 0 else (label,) * len(levels),
            counts=tuple(along),
            lower=tuple(derived.lower),
            radii=tuple(derived.radii),
            asked=tuple(asked),
            deepest=tuple(derived.deepest),
            **fields_of(plan),
        )


def _split(budget: Budget, plan: SmoothingPlan) -> str:
    if budget == "fixed radii":
        return FREE_CHAIN
    return SAME_CHAIN if plan.procedure == "shared" else SEPARATE_CHAIN
