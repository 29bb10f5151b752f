"""How wrong an oracle may be, and what its error leaves of a bound on the probability of its label.

An oracle O gives each answer of a model a label; what is wanted is the label that an ideal oracle O* would give. Under
noise and decoding AT AN IMAGE let q = P(O = c) and p = P(O* = c). Counting the oracle's labels bounds q; one of four
assumptions turns that into a bound on p, which is then transported to the neighbourhood of the image. O* composed with
the model is a base classifier of its own, so nothing is assumed at any other point; transporting q first and
subtracting the error there would need a bound at adversarial points.

Source of the setting: "Randomized Smoothing Meets Vision-Language Models" (EMNLP 2025, arXiv 2509.16088). Its formula
q = p (1 - e) + (1 - p) e supposes that both conditional errors equal e, which an oracle of error at most e need not
satisfy, and then takes a bound on q for one on p; it is not used here, since p = 0.40 and q = 0.52 go with e = 0.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from hrvlm.certificates.statistics.binomial import (
    Result,
    check_alpha,
    check_probability,
    checked_counts,
    clopper_pearson_upper,
    plain,
)

ErrorModel: TypeAlias = Literal["overall", "false positive", "conditional", "audit"]
Scope: TypeAlias = Literal["image", "homogeneous", "population"]

MODELS: dict[str, str] = {
    "overall": "the probability that the oracle's label is not the ideal one",
    "false positive": "the probability that the oracle says the class while the ideal label is another",
    "conditional": "the probability that the oracle says the class, given that the ideal label is another",
    "audit": "the probability that the ideal label is another, given that the oracle says the class",
}
"""What the rate of each error model bounds, in words."""


def corrected_lower(lower: ArrayLike, model: str, rate: ArrayLike) -> Result:
    """Lower bound on the probability of the ideal label, from one on that of the oracle's label, at the same image.

    It is q - e ("overall"), q - f ("false positive"), (q - a) / (1 - a) ("conditional") or q (1 - w) ("audit"), and 0
    where that is negative. Each is attained by some joint law of the two labels.

    Args:
        lower: bounds q in [0, 1) on the probability of the oracle's label.
        model: one of `MODELS`, which says what the rate bounds.
        rate: upper bounds in [0, 1] on the oracle's error.

    Raises:
        ValueError: if the model is unknown or a number lies outside its range.
    """
    if model not in MODELS:
        raise ValueError(f"expected an error model among {list(MODELS)}, got {model!r}")
    q, e = np.broadcast_arrays(np.asarray(lower, dtype=np.float64), np.asarray(rate, dtype=np.float64))
    if not np.all((q >= 0) & (q < 1) & (e >= 0) & (e <= 1)):
        raise ValueError(f"expected lower bounds in [0, 1) and rates in [0, 1], got {lower!r} and {rate!r}")
    if model == "audit":
        return plain(q * (1 - e))
    rest = np.maximum(0.0, q - e)
    return plain(rest / np.where(e < 1, 1 - e, 1.0) if model == "conditional" else rest)


@dataclass(frozen=True, kw_only=True)
class OracleError:
    """What is known of an oracle's error: a rate that is given, or counts of labelled outputs that bound it.

    Attributes:
        model: what the rate is; see `MODELS`. "conditional" and "audit" condition on the certified class.
        rate: upper bound in [0, 1) that is given and taken as it is; None to estimate it.
        errors: wrong ones among independent labelled outputs, to estimate the rate; None where it is given. For
            "conditional" the outputs are those whose ideal label is not the class, for "audit" those that the oracle
            called the class, otherwise all.
        trials: how many outputs were labelled, at least 1.
        scope: where rate or counts come from and what they permit. "image": from this very image, under its noise and
            decoding: the certificate is about this image. "homogeneous": a conditional rate, assumed to be the same
            for every image (and class): about this image under that assumption. "population": a mean over
            images, of which one output each was labelled: NOT about this image, but by Markov's inequality about at
            least a share 1 - gamma of the images drawn like them.
        gamma: share in (0, 1) of images that a population's certificates leave out; None for the other scopes.
        calibration_share: part in (0, 1) of a statement's alpha spent on estimating the rate; nothing is spent on a
            rate that is given.

    Raises:
        ValueError: if a value lies outside its range, or values do not fit each other.
    """

    model: ErrorModel
    rate: float | None = None
    errors: int | None = None
    trials: int | None = None
    scope: Scope = "image"
    gamma: float | None = None
    calibration_share: float = 0.5

    def __post_init__(self) -> None:
        for name, value, known in (
            ("model", self.model, get_args(ErrorModel)),
            ("scope", self.scope, get_args(Scope)),
        ):
            if value not in known:
                raise ValueError(f"expected {name} as one of {list(known)}, got {value!r}")
        check_probability(self.calibration_share, "calibration_share")
        self._check_source()
        for problem in self._scope_problems():
            raise ValueError(problem)

    def _check_source(self) -> None:
        if (self.errors is None) != (self.trials is None) or (self.rate is None) == (self.trials is None):
            raise ValueError(
                "expected a given rate, or errors and trials to estimate it, "
                f"got rate={self.rate}, errors={self.errors}, trials={self.trials}"
            )
        if self.rate is not None and not 0 <= self.rate < 1:
            raise ValueError(f"expected rate in [0, 1), got {self.rate}")
        if self.errors is not None and self.trials is not None:
            checked_counts(self.errors, self.trials)

    def _scope_problems(self) -> Iterator[str]:
        if self.scope == "homogeneous" and self.model != "conditional":
            yield (
                f"expected the model 'conditional' with the scope 'homogeneous', got {self.model!r}: its rate depends "
                "on how likely the class is, which differs from image to image"
            )
        if self.scope == "population" and self.model not in ("overall", "false positive"):
            yield (
                f"expected the model 'overall' or 'false positive' with the scope 'population', got {self.model!r}: "
                "a conditional rate of a population is no mean over images; use the scope 'image' or 'homogeneous'"
            )
        if (self.gamma is not None) != (self.scope == "population"):
            yield f"expected gamma with the scope 'population' and with no other, got {self.gamma} at {self.scope!r}"
        if self.gamma is not None and not 0 < self.gamma < 1:
            yield f"expected gamma in (0, 1), got {self.gamma}"

    @property
    def estimated(self) -> bool:
        """Whether the rate is estimated, at a cost of alpha, instead of given."""
        return self.rate is None

    def shares(self, alpha: float) -> tuple[float, float]:
        """The parts of a statement's alpha for counting the oracle's labels and for calibrating the oracle."""
        calibration = self.calibration_share * alpha if self.estimated else 0.0
        return alpha - calibration, calibration

    def rate_upper(self, alpha_calibration: float = 0.0) -> float:
        """Upper bound in [0, 1] on the rate: as given, or the Clopper-Pearson bound at this error probability.

        For the scope "population" it bounds the mean over images.

        Raises:
            ValueError: if a rate that is estimated gets no alpha, or a given one gets some.
        """
        if self.rate is not None:
            if alpha_calibration != 0:
                raise ValueError(f"expected no alpha for a rate that is given, got {alpha_calibration}")
            return float(self.rate)
        assert self.errors is not None, "neither a rate nor counts"
        assert self.trials is not None, "neither a rate nor counts"
        check_alpha(alpha_calibration)
        return float(clopper_pearson_upper(self.errors, self.trials, alpha_calibration))

    def rate_at_image(self, alpha_calibration: float = 0.0) -> float:
        """Upper bound in [0, 1] on the rate at an image; for a population at all but a share gamma of its images."""
        return min(1.0, self.rate_upper(alpha_calibration) / (1.0 if self.gamma is None else self.gamma))

    def corrected(self, lower: float, alpha_calibration: float = 0.0) -> float:
        """Lower bound on the probability of the ideal label; see `corrected_lower`."""
        return float(corrected_lower(lower, self.model, self.rate_at_image(alpha_calibration)))

    @property
    def assumed(self) -> str:
        """What is assumed of the oracle and where it comes from, in words without numbers; rows keep it."""
        return f"{MODELS[self.model]}: {self._origin()}"

    def _origin(self) -> str:
        labelled = "estimated from independent labelled outputs"
        if self.scope == "image":
            here = "at this very image, under its noise and decoding"
            return f"{labelled} {here}" if self.estimated else f"given, and assumed to hold {here}"
        known = labelled if self.estimated else "given"
        if self.scope == "homogeneous":
            return f"{known}, and assumed to be the same at every image and for every class"
        return (
            f"{known}, as a mean over images drawn from a population; so not about this image in particular, but about "
            "all of such images except for a share gamma (Markov's inequality)"
        )
