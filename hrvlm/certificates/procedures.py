"""How samples are spent on an image: procedures that draw, look at counts, draw on or stop, and make the records.

Sources: CERTIFY of "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv
1902.02918), for "split" and "two bounds"; for sample sizes chosen from a pilot "Input-Specific Robustness Certification
for Randomized Smoothing", Chen et al., AAAI 2022 (arXiv 2112.12084), here without using the pilot's counts again;
for "adaptive" see `sequential`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.batches import Sample
from hrvlm.certificates.claims import FIXED, FLOAT_MODES, SAME, SEPARATE, Decision, derive
from hrvlm.certificates.counting import Counts, Procedure
from hrvlm.certificates.radii import radius_probability
from hrvlm.certificates.records import SmoothingRecord
from hrvlm.certificates.sequential import Boundaries, decision_boundaries, look_times
from hrvlm.certificates.smoothing_plan import SmoothingPlan, Statement

NO_LABEL = "no selection sample had a valid label"
NOT_MAJORITY = "the lower bound on the class probability is not above 1/2"
NOT_ABOVE = "the lower bound on the class probability is not above the threshold"
NO_LEAD = "the bounds do not put the class above every other label"
HOPELESS = "given up after the selection samples"
NUM_GROUPS = 2

_Row = NDArray[np.int64]
_METHODS = {"two bounds": "two bounds", "adaptive": "anytime"}


@dataclass(frozen=True)
class _Choice:
    """The class that a statement is about."""

    prediction: int
    count: int
    split: str


@dataclass(frozen=True)
class Certifier:
    """Runs one plan on the statements of any sample.

    Attributes:
        statements: what is certified.
        plan: how.
    """

    statements: Sequence[Statement]
    plan: SmoothingPlan

    def __call__(self, sample: Sample) -> Procedure[list[SmoothingRecord]]:
        """The procedure of a sample."""
        if self.plan.procedure == "adaptive":
            return self._adaptive(sample)
        return self._pilot(sample) if self.plan.procedure == "pilot" else self._fixed(sample)

    def _fixed(self, sample: Sample) -> Procedure[list[SmoothingRecord]]:
        """All draws at once."""
        counts = yield [piece for piece in enumerate((self.plan.selection, self.plan.estimation)) if piece[1]]
        chosen = [self._choice(statement, counts) for statement in self.statements]
        return [
            self._record(sample, statement, choice, counts[statement.key])
            for statement, choice in zip(self.statements, chosen, strict=True)
        ]

    def _pilot(self, sample: Sample) -> Procedure[list[SmoothingRecord]]:
        """Estimation samples only where one statement looks possible; how many they are depends on the pilot alone."""
        counts = yield [(0, self.plan.selection)]
        chosen = [self._choice(statement, counts) for statement in self.statements]
        passes = self.plan.tau * len(self.plan.selection)
        hopeful = any(
            self._count(counts[statement.key][0], choice) >= passes
            for statement, choice in zip(self.statements, chosen, strict=True)
        )
        if hopeful:
            counts = yield [(1, self.plan.estimation)]
        decision: Decision | None = None if hopeful else "given up"
        return [
            self._record(sample, statement, choice, counts[statement.key], decision=decision)
            for statement, choice in zip(self.statements, chosen, strict=True)
        ]

    def _adaptive(self, sample: Sample) -> Procedure[list[SmoothingRecord]]:
        """Look after every few samples, until every statement is decided."""
        counts = yield [(0, self.plan.selection)]
        chosen = {statement: self._choice(statement, counts) for statement in self.statements}
        boundary, offset, made = self._boundary, len(self.plan.selection), {}
        last = 0
        for look, up, down in zip(boundary.looks, boundary.certify, boundary.give_up, strict=True):
            counts = yield [(1, range(offset + last, offset + int(look)))]
            last = int(look)
            for statement in (s for s in self.statements if s not in made):
                count = self._count(counts[statement.key][1], chosen[statement])
                decision: Decision = "certified" if count >= up else "given up" if count <= down else "undecided"
                if decision != "undecided" or last == self.plan.n:
                    rows = counts[statement.key].copy()
                    made[statement] = self._record(sample, statement, chosen[statement], rows, decision=decision)
            if len(made) == len(self.statements):
                break
        return [made[statement] for statement in self.statements]

    @cached_property
    def _boundary(self) -> Boundaries:
        """Counts that decide; the same for every sample."""
        plan = self.plan
        probability = float(radius_probability(plan.goal or 0.0, plan.sigma, threshold=plan.tau))
        share = plan.alpha_share(len(self.statements))
        return decision_boundaries(look_times(plan.n), probability, share, plan.give_up)

    def _choice(self, statement: Statement, counts: Counts) -> _Choice:
        """The class of a statement, from its selection samples unless fixed in advance."""
        selection, estimation = counts[statement.key]
        if statement.target is not None:
            return _Choice(statement.target, 0, FIXED)
        shared = self.plan.procedure == "shared"
        row = (estimation if shared else selection)[:-1]
        found = int(row.max()) > 0
        split = SAME if shared else SEPARATE
        return _Choice(int(row.argmax()), 0 if shared else int(row.max()), split) if found else _Choice(-1, 0, split)

    @staticmethod
    def _count(row: _Row, choice: _Choice) -> int:
        return int(row[choice.prediction]) if choice.prediction >= 0 else 0

    def _record(
        self, sample: Sample, statement: Statement, choice: _Choice, rows: _Row, *, decision: Decision | None = None
    ) -> SmoothingRecord:
        """The certificate that the counts `(2, K + 1)` of selection and estimation give for a statement."""
        invalid_selection, row = int(rows[0, -1]), rows[1]
        plan, n, count = self.plan, int(row.sum()), self._count(row, choice)
        share, method = plan.alpha_share(len(self.statements)), _METHODS.get(plan.procedure, "clopper-pearson")
        runner_up = _runner_up(row, choice.prediction) if method == "two bounds" else None
        claim = derive(
            method,
            choice.split,
            count=count,
            runner_up=runner_up,
            n=n,
            alpha=share,
            sigma=plan.sigma,
            threshold=plan.tau,
        )
        # A decision for the goal may lie within rounding of the bound.
        radius = max(claim.radius, plan.goal or 0.0) if decision == "certified" else claim.radius
        abstain = not (choice.prediction >= 0 and radius > 0)
        label, adaptive = int(sample.labels[statement.key]), plan.procedure == "adaptive"
        return SmoothingRecord(
            index=sample.index,
            label=label,
            tree=statement.tree,
            level=statement.level,
            level_name=statement.level_name,
            prediction=choice.prediction,
            correct=choice.prediction == label,
            reason=_reason(choice, method, n, plan.tau) if abstain else None,
            sigma=plan.sigma,
            noise_space=plan.noise_space,
            alpha=plan.alpha,
            alpha_share=share,
            num_statements=len(self.statements),
            n0=len(plan.selection),
            n=n,
            selection_count=choice.count,
            count=count,
            invalid=int(row[-1]),
            invalid_selection=invalid_selection,
            lower=claim.lower,
            radius=radius,
            abstain=abstain,
            seed=plan.seed,
            float_mode=FLOAT_MODES[plan.noise],
            split=choice.split,
            method=method,
            threshold=plan.tau,
            votes=plan.votes,
            vote_error=None if plan.votes is None else plan.vote_error,
            runner_up=runner_up,
            upper=claim.upper,
            n_max=plan.n if plan.procedure in ("adaptive", "pilot") else None,
            goal=plan.goal,
            give_up=plan.give_up if adaptive else None,
            decision=decision,
            precision=plan.precision,
            label_functions=plan.label_functions,
            functions_chosen=plan.functions_chosen,
        )


def _runner_up(row: _Row, prediction: int) -> int:
    """Largest count of another label; invalid answers are a label of their own."""
    others = np.delete(row, prediction) if prediction >= 0 else row
    return int(others.max())


def _reason(choice: _Choice, method: str, n: int, tau: float) -> str:
    if choice.prediction < 0:
        return NO_LABEL
    if n == 0:
        return HOPELESS
    if method == "two bounds":
        return NO_LEAD
    return NOT_MAJORITY if tau == 0.5 else NOT_ABOVE
