"""What smoothing certificates are asked for, and with how much noise at which confidence."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hrvlm.certificates.noise.sigma import check_sigma
from hrvlm.certificates.sampling.batches import Drawing, NoiseMode
from hrvlm.certificates.sampling.stream import Precision
from hrvlm.certificates.statistics.anytime import decision_boundaries
from hrvlm.certificates.statistics.binomial import check_probability, minimal_samples
from hrvlm.certificates.statistics.claim import NOISE_SPACES
from hrvlm.certificates.statistics.radii import operational_threshold, radius_probability
from hrvlm.rows.record import FunctionsChosen

ProcedureName: TypeAlias = Literal["split", "shared", "two bounds", "pilot", "adaptive"]
PROCEDURES: tuple[ProcedureName, ...] = ("split", "shared", "two bounds", "pilot", "adaptive")
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
        target: class that the statement is about, fixed in advance; None to choose the most frequent one.
    """

    key: Hashable
    tree: str
    level: int
    level_name: str
    num_classes: int
    target: int | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not 0 <= self.target < self.num_classes:
            raise ValueError(f"expected target as one of {self.num_classes} classes, got {self.target}")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How samples are spent and what exactly is certified; see the attributes of `SmoothingPlan`.

    Attributes:
        procedure: One of "split", "shared", "two bounds", "pilot" and "adaptive".
        goal: L2 radius that "adaptive" decides about, in pixel units.
        give_up: Probability with which "adaptive" may give up a radius that the image has.
        threshold: Probability that the class must keep within the radius.
        votes: Samples of a deployed vote, which then sets the threshold.
        vote_error: Error probability of one deployed vote.
        noise: "float32", or "grid" for integer noise on 8-bit images, sound in floating point.
        precision: Of the forward pass; noise is float32 in any case.
        label_functions: Sets of prompts, trees and levels on the same noise that share alpha, this one included.
        functions_chosen: "before" any result on the same noise was seen, or "after", which alpha does not cover.
    """

    procedure: ProcedureName = "split"
    goal: float | None = None
    give_up: float = 0.05
    threshold: float = 0.5
    votes: int | None = None
    vote_error: float = 0.05
    noise: NoiseMode = "float32"
    precision: Precision = "float32"
    label_functions: int = 1
    functions_chosen: FunctionsChosen = "before"


@dataclass(frozen=True, kw_only=True)
class SmoothingPlan(SamplingOptions):
    """What is sampled and at which confidence.

    Attributes:
        sigma: standard deviation of the Gaussian noise, in pixel units of [0, 1]; from 0.0001 to 2.
        n0: selection samples, at least 1; not drawn where the procedure is "shared".
        n: estimation samples, at least 1; of "adaptive" the most that are drawn.
        alpha: error probability per image, over all its statements together, in (0, 1).
        seed: seed of the noise, in [0, 2^64).
        noise_space: where the noise is added, in words, for the record; those of the other mode of noise are replaced.
        procedure: "split": n0 samples choose the class, n others count it; "shared": the same n do both at half
            alpha; "two bounds": as "split", with an upper bound on the strongest other label; "pilot": as "split",
            giving up where less than the threshold of the n0 have the class; "adaptive": whether the radius is at
            least `goal`, with as many samples as it takes.
        goal: radius that "adaptive" decides about, in pixel units, at least 0.
        give_up: probability with which "adaptive" may give up a radius that the image has; in (0, 1).
        threshold: probability that the class must keep within the radius, in (0, 1).
        votes: samples of a deployed vote, whose threshold is taken instead; None for the ideal smoothed classifier.
        vote_error: error probability of one deployed vote.
        noise: "float32", or "grid" for integer noise on 8-bit images, sound in floating point.
        precision: of the forward pass; noise is float32 in any case.
        label_functions: sets of prompts, trees and levels on the same noise that share alpha, at least 1.
        functions_chosen: "before" any result on the same noise was seen, or "after".

    Raises:
        ValueError: if a value lies outside its range, or values do not fit each other.
    """

    sigma: float
    n0: int = 100
    n: int = 1000
    alpha: float = 0.001
    seed: int = 0
    noise_space: str = NOISE_SPACES["float32"]

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if not 0 < self.alpha < 1:
            raise ValueError(f"expected alpha in (0, 1), got {self.alpha}")
        if self.n0 < 1 or self.n < 1 or self.n0 + self.n > PREDICT_DRAWS:
            raise ValueError(f"expected n0 >= 1, n >= 1 and at most 2^32 together, got n0={self.n0}, n={self.n}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"expected seed in [0, 2^64), got {self.seed}")
        for name, value, known in (
            ("procedure", self.procedure, PROCEDURES),
            ("noise", self.noise, ("float32", "grid")),
            ("precision", self.precision, ("float32", "bfloat16", "float16")),
            ("functions_chosen", self.functions_chosen, ("before", "after")),
        ):
            if value not in known:
                raise ValueError(f"expected {name} as one of {list(known)}, got {value!r}")
        if self.label_functions < 1:
            raise ValueError(f"expected label_functions >= 1, got {self.label_functions}")
        if (self.noise_space == NOISE_SPACES["grid"]) != (self.noise == "grid"):
            object.__setattr__(self, "noise_space", NOISE_SPACES[self.noise])
        self._check_procedure()

    def _check_procedure(self) -> None:
        check_probability(self.threshold, "threshold")
        check_probability(self.give_up, "give_up")
        if self.votes is not None and self.threshold != 0.5:
            raise ValueError(f"expected threshold or votes, got both: {self.votes} votes set the threshold")
        if (self.goal is not None) != (self.procedure == "adaptive"):
            raise ValueError(f"expected a goal with 'adaptive' and with no other procedure, got {self.goal}")
        if self.goal is not None and not 0 <= self.goal < math.inf:
            raise ValueError(f"expected goal >= 0 and finite, got {self.goal}: give it in pixel units of [0, 1]")
        if self.procedure == "adaptive" and self.alpha > 0.19:
            raise ValueError(f"expected alpha <= 0.19 for 'adaptive', got {self.alpha}")
        if self.procedure == "two bounds" and self.tau != 0.5:
            raise ValueError(f"expected the threshold 1/2 with 'two bounds', got {self.tau}: use 'split'")
        if self.procedure == "shared" and self.tau < 0.5:
            raise ValueError(f"expected a threshold >= 1/2 with 'shared', got {self.tau}: use 'split'")

    @property
    def tau(self) -> float:
        """Probability that the class must keep: the threshold, or what the deployed votes need."""
        return self.threshold if self.votes is None else operational_threshold(self.votes, self.vote_error)

    @property
    def drawing(self) -> Drawing:
        """The noise."""
        return Drawing(self.sigma, self.seed, self.noise)

    @property
    def selection(self) -> range:
        """Draws that choose the class and count for nothing else."""
        return range(0 if self.procedure == "shared" else self.n0)

    @property
    def estimation(self) -> range:
        """Draws that count; of "adaptive" the first of them, as many as it takes."""
        return range(len(self.selection), len(self.selection) + self.n)

    def alpha_share(self, num_statements: int) -> float:
        """Error probability of each statement of an image; the only place where alpha is split over statements."""
        return self.alpha / (num_statements * self.label_functions)

    def check(self, num_statements: int) -> None:
        """Raise ValueError if n is too small to certify anything at this alpha, however sure the classifier."""
        share, needed = self.alpha_share(num_statements), 0
        if self.procedure == "adaptive":
            needed = self._needed_adaptively(share)
        else:
            part = share / 2 if self.procedure in ("shared", "two bounds") else share
            needed = minimal_samples(0.0, part, self.sigma, threshold=self.tau)
        if self.n < needed:
            raise ValueError(
                f"expected n >= {needed} to certify anything at alpha={self.alpha:g} shared by {num_statements} "
                f"statements, got n={self.n}: every image would abstain; raise n or alpha"
            )

    def _needed_adaptively(self, share: float) -> int:
        """Least samples after which the goal can be decided for; n or less means that n suffices."""
        goal = float(radius_probability(self.goal or 0.0, self.sigma, threshold=self.tau))
        if goal == 1:
            raise ValueError(f"expected a goal that samples can reach, got {self.goal}: use a larger sigma")

        def can(n: int) -> bool:
            return int(decision_boundaries([n], goal, share, self.give_up).certify[0]) <= n

        high = max(1, self.n)
        if can(high):
            return high
        while not can(high) and high < PREDICT_DRAWS:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if can(middle) else (middle, high)
        return high


def check_statements(statements: Sequence[Statement], batch_size: int | None) -> dict[Hashable, int]:
    """Number of classes per statement key; ValueError unless there is a statement and keys are distinct."""
    num_classes = {statement.key: statement.num_classes for statement in statements}
    if not statements or len(num_classes) != len(statements):
        raise ValueError(f"expected at least one statement and distinct keys, got {[s.key for s in statements]}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"expected batch_size >= 1, got {batch_size}")
    return num_classes
