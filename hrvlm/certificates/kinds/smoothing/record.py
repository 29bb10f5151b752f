"""What a smoothing certificate claims, as a frozen record; one JSON line each.

A record holds all that is needed to derive its claim again without the model. Its row is a flat mapping of JSON values
with the record's kind and schema version; see `record_base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hrvlm.certificates.kinds.sampled import ClassifiedFields
from hrvlm.certificates.statistics.claim import DECISIONS, FLOAT_MODES, METHODS, SPLITS
from hrvlm.rows.fields import COUNT, INSIDE, NOT_NEGATIVE, SHARE, at_least, one_of
from hrvlm.rows.record import Record, not_covered

VARYING = ("index", "label", "prediction", "selection_count", "count", "lower", "radius")
"""Fields in which the rows of a run differ; all else of them makes few patterns."""


@dataclass(frozen=True, kw_only=True)
class SmoothingRecord(ClassifiedFields, Record):
    """A randomized-smoothing certificate (Cohen et al., ICML 2019) for one statement of one image.

    Attributes:
        selection_count: selection samples with the predicted class.
        count: estimation samples with the predicted class.
        lower: Clopper-Pearson lower bound on the probability of the class, at `alpha_share`; 0 for none, as where it is
            at most 1/2 and the counted samples chose the class, which its alpha does not cover.
        radius: certified L2 radius in pixel units; 0 when abstaining.
        abstain: whether nothing is certified.
        method: how counts became bounds, see `claims.derive`.
        runner_up: largest count of another label, or None where the method needs none.
        upper: upper bound on the probability of every other label, or None where the method needs none.
        n_max: samples that would have been drawn at most, where n depends on samples; else None.
        goal: radius that was asked for, or None.
        give_up: error probability at which hope was given up, or None; it bears on cost alone.
        decision: answer to whether the radius is at least the goal, or None.
    """

    kind: ClassVar[str] = "smoothing"
    added: ClassVar[frozenset[str]] = frozenset({
        "method", "threshold", "votes", "vote_error", "runner_up", "upper", "n_max", "goal", "give_up", "decision",
        "precision", "label_functions", "functions_chosen", "noise_shared", "invalid_selection",
    })  # fmt: skip
    limits: ClassVar[Mapping[str, Any]] = {
        "float_mode": one_of(FLOAT_MODES.values()), "split": one_of(SPLITS), "method": one_of(METHODS),
        "decision": one_of(DECISIONS) | None, "runner_up": COUNT | None, "upper": SHARE | None,
        "n_max": at_least(1) | None, "goal": NOT_NEGATIVE | None, "give_up": INSIDE | None,
    }  # fmt: skip
    order: ClassVar[tuple[str, ...]] = (
        "sigma", "noise_space", "alpha", "alpha_share", "num_statements", "n0", "n", "selection_count", "count",
        "invalid", "lower", "radius", "abstain", "seed", "float_mode", "split", "method", "threshold", "votes",
        "vote_error", "runner_up", "upper", "n_max", "goal", "give_up", "decision", "precision", "label_functions",
        "functions_chosen", "noise_shared", "invalid_selection",
    )  # fmt: skip

    selection_count: int
    count: int
    lower: float
    radius: float
    abstain: bool
    method: str = "clopper-pearson"
    runner_up: int | None = None
    upper: float | None = None
    n_max: int | None = None
    goal: float | None = None
    give_up: float | None = None
    decision: str | None = None

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}, level {self.level} ({self.level_name})"
        if self.abstain:
            return f"{where}: abstains ({self.reason}); nothing is certified."
        together = "" if self.num_statements == 1 else f", jointly with the other {self.num_statements - 1} statements"
        if self.label_functions > 1:
            together += f" and those of the other {self.label_functions - 1} label functions"
        return (
            f"{where}: the smoothed classifier (Gaussian noise, sigma {self.sigma:g}, {self.noise_space}) "
            f"{self._predicts()} at every point closer than {self.radius!r} (L2) to the image; false with "
            f"probability at most {self.alpha:g} over the noise{together}. {self._arithmetic()}"
            f"{not_covered(self.functions_chosen, self.noise_shared)}"
        )

    def _predicts(self) -> str:
        if self.votes is not None and self.vote_error is not None:
            sure = f"with probability at least {1 - self.vote_error:g}"
            return f"predicts, by a vote of {self.votes} fresh samples and {sure}, class {self.prediction}"
        if self.threshold != 0.5:
            return f"gives class {self.prediction} a probability above {self.threshold:g}"
        return f"predicts class {self.prediction}"

    def _arithmetic(self) -> str:
        if self.float_mode == "float32":
            return "Noise and pixels in float32: not sound against floating-point rounding."
        return f"By {self.float_mode}, to which the classifier rounds its input: sound in floating point."
