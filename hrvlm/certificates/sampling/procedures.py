"""How samples are spent on an image: procedures that draw, look at counts, draw on or stop.

What they find is neutral, a class and counts per statement; every kind of certificate makes its own claim of it.

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

from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.counts import Counts, Procedure
from hrvlm.certificates.sampling.plan import SmoothingPlan, Statement
from hrvlm.certificates.statistics.anytime import Boundaries, decision_boundaries, look_times
from hrvlm.certificates.statistics.claim import FIXED, SAME, SEPARATE, Decision
from hrvlm.certificates.statistics.radii import radius_probability

NUM_GROUPS = 2

_Row = NDArray[np.int64]


@dataclass(frozen=True)
class _Choice:
    """The class that a statement is about."""

    prediction: int
    count: int
    split: str


@dataclass(frozen=True)
class Outcome:
    """What the samples of an image say about one statement.

    Attributes:
        statement: what it is about.
        prediction: its class, -1 where there is none.
        selection_count: selection samples of the class.
        split: how the class was chosen, one of `claim.SPLITS`.
        counts: `(2, K + 1)` selection and estimation samples of each class; the last column counts invalid ones.
        decision: answer to whether the goal is reached, or None where none was asked for.
    """

    statement: Statement
    prediction: int
    selection_count: int
    split: str
    counts: NDArray[np.int64]
    decision: Decision | None = None

    @property
    def n(self) -> int:
        """Estimation samples."""
        return int(self.counts[1].sum())

    @property
    def count(self) -> int:
        """Those of the class."""
        return int(self.counts[1, self.prediction]) if self.prediction >= 0 else 0

    @property
    def runner_up(self) -> int:
        """The largest count of another label; invalid answers are a label of their own."""
        row = self.counts[1]
        return int((np.delete(row, self.prediction) if self.prediction >= 0 else row).max())


@dataclass(frozen=True)
class Sampled:
    """An image whose samples have been counted.

    Attributes:
        sample: the image.
        outcomes: of each statement, in their order.
        counts: all of them, per statement key.
    """

    sample: Sample
    outcomes: list[Outcome]
    counts: Counts


@dataclass(frozen=True)
class StatementProcedure:
    """Runs one plan on the statements of any sample.

    Attributes:
        statements: what is certified.
        plan: how.
    """

    statements: Sequence[Statement]
    plan: SmoothingPlan

    def __call__(self, sample: Sample) -> Procedure[Sampled]:
        """The procedure of a sample."""
        if self.plan.procedure == "adaptive":
            return self._adaptive(sample)
        return self._pilot(sample) if self.plan.procedure == "pilot" else self._fixed(sample)

    def _fixed(self, sample: Sample) -> Procedure[Sampled]:
        """All draws at once."""
        counts = yield [piece for piece in enumerate((self.plan.selection, self.plan.estimation)) if piece[1]]
        return self.so_far(sample, counts)

    def so_far(self, sample: Sample, counts: Counts) -> Sampled:
        """What all draws until now give, without a decision; of use to who looks before they are complete."""
        return self._sampled(sample, [self._choice(statement, counts) for statement in self.statements], counts)

    def _pilot(self, sample: Sample) -> Procedure[Sampled]:
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
        return self._sampled(sample, chosen, counts, decision)

    def _adaptive(self, sample: Sample) -> Procedure[Sampled]:
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
                    made[statement] = _outcome(statement, chosen[statement], rows, decision)
            if len(made) == len(self.statements):
                break
        return Sampled(sample, [made[statement] for statement in self.statements], counts)

    def _sampled(
        self, sample: Sample, chosen: Sequence[_Choice], counts: Counts, decision: Decision | None = None
    ) -> Sampled:
        """What all draws at once give."""
        pairs = zip(self.statements, chosen, strict=True)
        return Sampled(sample, [_outcome(of, choice, counts[of.key], decision) for of, choice in pairs], counts)

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


def _outcome(statement: Statement, choice: _Choice, counts: NDArray[np.int64], decision: Decision | None) -> Outcome:
    return Outcome(statement, choice.prediction, choice.count, choice.split, counts, decision)
