"""Counts the extents of the noisy copies of one image and turns them into its joint records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.kinds.counted import fields_of
from hrvlm.certificates.kinds.joint.claim import extent_at_radius, radius_at_extent
from hrvlm.certificates.kinds.joint.extents import sample_extents
from hrvlm.certificates.kinds.joint.options import Family, JointQuestions, JointSample, PromptPair
from hrvlm.certificates.kinds.joint.record import JointRecord, sparse
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.geometry.sphere import ParallelVectorsError
from hrvlm.rows.record import NAMED_BY, is_right

NO_LABEL = "no selection sample had a valid label"
TOO_FEW = "too few samples keep the class for any radius or extent that was asked for"


class Counter:
    """Counts of one image: labels of its selection samples, then extents of its estimation samples.

    Args:
        sample: the image.
        families: what classifies the embeddings.
        plan: noise, sample sizes, confidence and threshold.
        questions: radii and extents, and what a move is.
    """

    def __init__(
        self, sample: JointSample, families: Sequence[Family], plan: SmoothingPlan, questions: JointQuestions
    ) -> None:
        self.sample, self._families, self._plan, self._questions = sample, families, plan, questions
        self._grid = questions.grid
        self._labels = {family.key: np.zeros(family.num_classes, dtype=np.int64) for family in families}
        self._found = {
            (family.key, change.attribute): np.zeros(questions.steps + 1, dtype=np.int64)
            for family in families
            for change in sample.changes
        }
        self._invalid = {family.key: np.zeros(2, dtype=np.int64) for family in families}
        self._parallel: set[str] = set()

    def add(self, features: Tensor, draws: range) -> None:
        """Count the copies of some draws, in order: features `(len(draws), D)`."""
        chosen = max(0, min(len(draws), self._plan.n0 - draws[0]))
        for family in self._families:
            points = family.lift(features.detach())
            for group, some in enumerate((points[:chosen], points[chosen:])):
                finite = some[some.isfinite().all(dim=1)]  # the others must have no part in the scorer
                self._invalid[family.key][group] += len(some) - len(finite)
                if len(finite):
                    self._add(family, family.scorer(finite), finite.double(), group)

    def _add(self, family: Family, scorer: AffineScorer, points: Tensor, group: int) -> None:
        """Count finite embeddings of selection samples (group 0) or of estimation samples (1)."""
        labels = scorer.predict(points)
        valid = labels[labels >= 0].cpu().numpy()
        self._invalid[family.key][group] += len(labels) - len(valid)
        if group == 0:
            self._labels[family.key] += np.bincount(valid, minlength=family.num_classes)
        else:
            self._count(family, scorer, points)

    def _count(self, family: Family, scorer: AffineScorer, points: Tensor) -> None:
        label, votes = self._choice(family)
        if not votes:
            return
        for change in self.sample.changes:
            if change.attribute in self._parallel:
                continue
            try:
                extents = sample_extents(scorer, points, change.source, change.target, label, move=self._questions.move)
            except ParallelVectorsError:
                self._parallel.add(change.attribute)
                continue
            self._found[family.key, change.attribute] += self._grid.count(extents)

    def _choice(self, family: Family) -> tuple[int, int]:
        """The most frequent class of the selection samples, and how many have it; -1 and 0 if there is none."""
        labels = self._labels[family.key]
        votes = int(labels.max())
        return (int(labels.argmax()), votes) if votes else (-1, 0)

    def records(self) -> list[JointRecord]:
        """What the counts certify, one record per family and change."""
        return [self._record(family, change) for family in self._families for change in self.sample.changes]

    def _record(self, family: Family, change: PromptPair) -> JointRecord:
        plan, questions = self._plan, self._questions
        statements = questions.num_statements(len(self._families) * len(self.sample.changes))
        share = plan.alpha_share(statements)
        histogram, (prediction, votes) = self._found[family.key, change.attribute], self._choice(family)
        radii, extents = self._claims(histogram, share)
        abstain = all(extent is None for _, extent in radii) and all(radius == 0 for _, radius in extents)
        label = int(self.sample.labels[family.key])
        return JointRecord(
            index=self.sample.index,
            label=label,
            tree=family.tree,
            level=family.level,
            level_name=family.level_name,
            prediction=prediction,
            correct=is_right(prediction, label),
            reason=self._reason(change, votes) if abstain else None,
            scorer=family.scorer_kind,
            attribute=change.attribute,
            source_prompt=change.prompts[0],
            target_prompt=change.prompts[1],
            named_by=NAMED_BY[self.sample.named is None],
            move=questions.move,
            steps=questions.steps,
            alpha_share=share,
            num_statements=statements,
            n0=plan.n0,
            n=plan.n,
            selection_count=votes,
            count=int(histogram.sum()),
            histogram=sparse(histogram),
            at_radii=radii,
            at_extents=extents,
            abstain=abstain,
            **fields_of(plan),
            invalid=int(self._invalid[family.key][1]),
            invalid_selection=int(self._invalid[family.key][0]),
        )

    def _claims(
        self, histogram: NDArray[np.int64], share: float
    ) -> tuple[tuple[tuple[float, float | None], ...], tuple[tuple[float, float], ...]]:
        plan, questions, grid = self._plan, self._questions, self._grid
        given: dict[str, Any] = {"grid": grid, "threshold": plan.tau}
        radii = tuple(
            (radius, extent_at_radius(histogram, plan.n, share, radius, plan.sigma, **given))
            for radius in questions.radii
        )
        extents = tuple(
            (extent, radius_at_extent(histogram, plan.n, share, extent, plan.sigma, **given))
            for extent in questions.extents
        )
        return radii, extents

    def _reason(self, change: PromptPair, votes: int) -> str:
        if change.attribute in self._parallel:
            return str(Reason.PARALLEL)
        return TOO_FEW if votes else NO_LABEL
