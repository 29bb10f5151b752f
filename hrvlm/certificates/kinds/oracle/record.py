"""What is certified about the answers of a generative model, as a frozen record.

There are two statements, never mixed in a row. "composite": the oracle's own label stays the majority; the oracle is a
part of the classifier, right or wrong. "semantic": the label that an ideal oracle would give stays the majority; the
oracle's error at the image is taken off first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from hrvlm.certificates.kinds.oracle.errors import MODELS, OracleError, Scope
from hrvlm.certificates.kinds.sampled import SampledFields
from hrvlm.certificates.statistics.claim import FLOAT_MODES, SPLITS
from hrvlm.rows.fields import BOUND, COUNT, INSIDE, NAME, NOT_NEGATIVE, SHARE, at_least, between, one_of
from hrvlm.rows.record import Key, Record, not_covered

ClaimKind: TypeAlias = Literal["composite", "semantic"]
PromptOf: TypeAlias = Literal["run", "image"]

CLAIMS: tuple[ClaimKind, ...] = ("composite", "semantic")
ORACLE_METHODS = ("clopper-pearson", "anytime")
UNPARSEABLE = "unparseable"
"""Name of the class, the last one of every oracle, for answers that it can make nothing of."""
ANSWER_LENGTH = 200
SPENT_ONCE = "spent once for the whole report: if it fails, it fails for all its images"
SPENT_PER_CLASS = (
    "spent once for each certified class of the report, whose rate it bounds: if it fails, it fails for all images "
    "certified for the class"
)
"""How the alpha of a calibration counts that serves many images: one bound for all classes, or one for each."""


@dataclass(frozen=True, kw_only=True)
class OracleRecord(SampledFields, Record):
    """A smoothing certificate for the answers of a generative model under an oracle, for one image and one claim.

    `tree` is the name of a class tree if the oracle's classes are a level of one, otherwise that of the oracle;
    `label` is -1 where no true class is known, and the row then is not `correct`.

    Attributes:
        label: true class; -1 where none is known.
        correct: whether the prediction is the true class; false where none is known.
        oracle: name of the oracle that labels the answers.
        num_classes: number of its classes; the last one is "unparseable".
        class_name: name of the predicted class, or None where there is none.
        claim: "composite": about the oracle's own label; "semantic": about the label of an ideal oracle.
        generator: name of the model that answers.
        prompt: what it is asked.
        max_new_tokens: most tokens of an answer.
        temperature: of decoding; 0 is greedy, above it every sample is decoded with fresh randomness.
        top_k: number of tokens that decoding draws from, or None for all.
        top_p: probability mass of the tokens that decoding draws from, or None for all.
        anchor: answer that an equivalence oracle compares with, fixed before the counted samples; or None.
        answer: one answer as an example, cut to 200 characters; or None.
        alpha: error probability for both claims of all oracles of the image together, and of all label functions.
        alpha_share: the part of alpha spent on counting the labels of this oracle.
        alpha_calibration: the part of alpha spent on the oracle's error rate; 0 for a rate that is given. A composite
            row names it too: it is set aside for the semantic row of the same samples.
        num_statements: oracles of the image that share alpha.
        selection_count: selection samples with the predicted class.
        count: estimation samples with the predicted class.
        unparseable: estimation samples that the oracle could make nothing of; a class of its own, never dropped.
        lower_oracle: lower bound on the probability of the predicted class as the oracle labels, at `alpha_share`; 0
            for none, as up to 1/2 where the counted samples chose the class.
        error_model: what is assumed of the oracle's error, one of `oracle_errors.MODELS`; None in composite rows.
        rate: error rate that was given, or None.
        errors: wrong ones of the labelled outputs that the rate was estimated from, or None.
        trials: number of those labelled outputs, or None.
        rate_upper: upper bound on the rate: as given, or at `alpha_calibration`; of the mean for a population.
        scope: "image", "homogeneous" or "population": where the rate comes from; None in composite rows.
        gamma: share of the images of a population that the certificate leaves out, or None.
        assumed: what is assumed of the oracle, in words that follow from model and scope; None in composite rows.
        lower: lower bound on the probability that is claimed: `lower_oracle`, or what the oracle's error leaves of it.
        radius: certified L2 radius in pixel units; 0 when abstaining.
        abstain: whether nothing is certified.
        method: how counts became bounds, "clopper-pearson" or "anytime".
        prompt_of: whether the prompt is that of all images of the "run", or the "image"'s own, of a manifest.
        label_functions: sets of prompts and oracles on the same noise that share alpha.
    """

    kind: ClassVar[str] = "oracle"
    added: ClassVar[frozenset[str]] = frozenset({"prompt_of"})
    unsaid: ClassVar[frozenset[str]] = frozenset({"prompt_of"})
    unknown: ClassVar[Mapping[str, Any]] = {}  # its rows have always said -1
    limits: ClassVar[Mapping[str, Any]] = {
        "generator": NAME, "max_new_tokens": at_least(1), "temperature": NOT_NEGATIVE, "top_k": at_least(1) | None,
        "top_p": between(0.0, 1.0, open_low=True) | None, "alpha_calibration": BOUND, "unparseable": COUNT,
        "lower_oracle": BOUND, "error_model": one_of(MODELS) | None, "rate": BOUND | None, "errors": COUNT | None,
        "trials": at_least(1) | None, "rate_upper": SHARE | None, "scope": one_of(get_args(Scope)) | None,
        "gamma": INSIDE | None, "assumed": NAME | None, "method": one_of(ORACLE_METHODS), "split": one_of(SPLITS),
        "float_mode": one_of(FLOAT_MODES.values()),
    }  # fmt: skip
    order: ClassVar[tuple[str, ...]] = (
        "oracle", "num_classes", "class_name", "claim", "generator", "prompt", "prompt_of", "max_new_tokens",
        "temperature", "top_k", "top_p", "anchor", "answer", "sigma", "noise_space", "alpha", "alpha_share",
        "alpha_calibration", "num_statements", "n0", "n", "selection_count", "count", "unparseable", "lower_oracle",
        "error_model", "rate", "errors", "trials", "rate_upper", "scope", "gamma", "assumed", "lower", "radius",
        "abstain", "seed", "float_mode", "split", "method", "threshold", "precision", "label_functions",
        "functions_chosen",
    )  # fmt: skip

    oracle: str
    num_classes: int
    class_name: str | None
    claim: ClaimKind
    generator: str
    prompt: str
    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    anchor: str | None
    answer: str | None
    alpha_calibration: float
    selection_count: int
    count: int
    unparseable: int
    lower_oracle: float
    error_model: str | None
    rate: float | None
    errors: int | None
    trials: int | None
    rate_upper: float | None
    scope: str | None
    gamma: float | None
    assumed: str | None
    lower: float
    radius: float
    abstain: bool
    method: str = "clopper-pearson"
    prompt_of: PromptOf = "run"

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p", "rate", "gamma"):  # whole numbers of a configuration
            if isinstance(getattr(self, name), int):
                object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def key(self) -> Key:
        """One row per image, oracle and claim."""
        return (*super().key, self.oracle, self.claim)

    @property
    def error(self) -> OracleError | None:
        """What a semantic row says of the oracle's error; None for a composite row.

        Raises:
            ValueError: if its fields do not fit each other.
        """
        if self.claim == "composite":
            return None
        return OracleError(
            model=self.error_model,  # type: ignore[arg-type]  # checked by OracleError
            rate=self.rate,
            errors=self.errors,
            trials=self.trials,
            scope=self.scope,  # type: ignore[arg-type]
            gamma=self.gamma,
        )

    @property
    def names_leaf(self) -> bool:
        """Labels are classes of the oracle."""
        return False

    @property
    def per_input(self) -> bool:
        """Whether the row is about its own image, instead of about most images of a population."""
        return self.scope != "population"

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, oracle {self.oracle!r}, {self.claim} claim"
        if self.abstain:
            return f"{where}: abstains ({self.reason}); nothing is certified."
        return f"{where}: {self._claimed()} {self._sure()}{self._decoding()}{not_covered(self.functions_chosen)}"

    def _claimed(self) -> str:
        keeps = "the modal label" if self.threshold == 0.5 else f"a label of probability above {self.threshold:g}"
        over = "over noise and decoding" if self.temperature > 0 else "over noise"
        who = f"that the oracle gives to the answers of {self.generator!r} to {self.prompt!r}"
        if self.claim == "semantic":
            who = f"that an ideal oracle would give to the answers of {self.generator!r} to {self.prompt!r}"
        anchored = "" if self.anchor is None else f", compared with the anchor {self.anchor!r},"
        return (
            f"{self.class_name!r} is {keeps} ({over}) {who}{anchored} under Gaussian noise (sigma {self.sigma:g}, "
            f"{self.noise_space}) at every point closer than {self.radius!r} (L2) to the image"
            + (f", if {self._about()}." if self.claim == "semantic" else ", whether or not the oracle is right.")
        )

    def _about(self) -> str:
        bound = f"at most {self.rate_upper:g}" if self.rate_upper is not None else "unknown"
        if self.gamma is None:
            return f"the oracle errs as assumed: {self.assumed}; the rate is {bound}"
        return (
            f"the image is not among the share of at most {self.gamma:g} of the population's images whose error rate "
            f"exceeds {1 / self.gamma:g} times the mean, which nobody can tell of one image; {self.assumed}; "
            f"the mean is {bound}"
        )

    def _sure(self) -> str:
        parts = f"False with probability at most {self.alpha:g}"
        if self.claim == "semantic" and self.alpha_calibration > 0:
            parts += f", of which {self.alpha_calibration:g} is the oracle's calibration"
            if self.scope != "image":
                parts += f" ({SPENT_ONCE if self.error_model == 'overall' else SPENT_PER_CLASS})"
        return f"{parts}, for both claims of the {self.num_statements} oracles of the image together."

    def _decoding(self) -> str:
        if self.temperature > 0:
            return " Decoding is random and drawn anew for each sample: no single generation is certified."
        return " Answers of single noisy images are not certified, only their mode."
