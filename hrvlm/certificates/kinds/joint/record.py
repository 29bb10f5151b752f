"""What joint certificates claim, as frozen records: one per image, level, scorer and attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.joint.grid import MOST_STEPS, UNITS, Move
from hrvlm.certificates.kinds.sampled import ClassifiedFields
from hrvlm.certificates.statistics.claim import FLOAT_MODES, SEPARATE
from hrvlm.rows.fields import COUNT, NOT_NEGATIVE, SOME, at_least, one_of
from hrvlm.rows.record import Key, Record, Row, named_so, not_covered

_PAIRS = ("histogram", "at_radii", "at_extents")


@dataclass(frozen=True, kw_only=True)
class JointRecord(ClassifiedFields, Record):
    """Joint pixel-and-semantic certificates of one image, level, scorer and attribute.

    Attributes:
        scorer: kind of the scorer, "cosine" or "poincare".
        attribute: name of the attribute.
        source_prompt: prompt without the attribute.
        target_prompt: prompt with the attribute.
        move: what an extent measures: "turn", radians from source to target; "target", shares of the copy's own way.
        steps: steps of the range of extents that samples were counted on.
        alpha: error probability for all joint statements of the image together.
        alpha_share: the part of alpha spent on each radius and each extent of this row.
        num_statements: number of joint statements of the image that share alpha.
        selection_count: selection samples with the predicted class.
        count: estimation samples with the predicted class.
        histogram: (step, samples) pairs: estimation samples whose label holds up to that step and not to the next.
        at_radii: (radius fixed in advance, certified extent or None) pairs.
        at_extents: (extent fixed in advance, certified radius) pairs; 0 where nothing is certified.
        abstain: whether nothing at all is certified.
        threshold: probability that the class keeps, all the way; 1/2 makes it the majority.
        label_functions: label functions (sets of prompts, trees, levels, planes) on the same noise that share alpha.
        invalid: estimation samples without a valid label (no finite scores), which count nowhere.
        invalid_selection: the same of the selection samples.
        named_by: which class names the image in the prompts: that of its "label"; or, as it has none, that of its
            "prediction" at the leaves, without noise.
    """

    kind: ClassVar[str] = "joint"
    added: ClassVar[frozenset[str]] = frozenset(
        {"label_functions", "functions_chosen", "noise_shared", "invalid", "invalid_selection", "named_by"}
    )
    unsaid: ClassVar[frozenset[str]] = Record.unsaid | {"invalid", "named_by"}
    limits: ClassVar[Mapping[str, Any]] = {
        "move": one_of(get_args(Move)), "steps": at_least(1, MOST_STEPS + 1), "split": one_of((SEPARATE,)),
        "float_mode": one_of(FLOAT_MODES.values()), "histogram": tuple[tuple[COUNT, SOME], ...],
        "at_radii": tuple[tuple[NOT_NEGATIVE, NOT_NEGATIVE | None], ...],
        "at_extents": tuple[tuple[NOT_NEGATIVE, NOT_NEGATIVE], ...],
    }  # fmt: skip
    order: ClassVar[tuple[str, ...]] = (
        "scorer", "attribute", "source_prompt", "target_prompt", "move", "steps", "sigma", "noise_space", "alpha",
        "alpha_share", "num_statements", "n0", "n", "selection_count", "count", "histogram", "at_radii", "at_extents",
        "abstain", "seed", "float_mode", "split", "threshold", "votes", "vote_error", "precision", "label_functions",
        "functions_chosen", "noise_shared", "invalid", "invalid_selection", "named_by",
    )  # fmt: skip

    scorer: str
    attribute: str
    source_prompt: str
    target_prompt: str
    move: str
    steps: int
    selection_count: int
    count: int
    histogram: tuple[tuple[int, int], ...]
    at_radii: tuple[tuple[float, float | None], ...]
    at_extents: tuple[tuple[float, float], ...]
    abstain: bool
    named_by: str = "label"

    def __post_init__(self) -> None:
        histogram = tuple((int(step), int(samples)) for step, samples in self.histogram)
        radii = tuple((float(r), None if e is None else float(e)) for r, e in self.at_radii)
        object.__setattr__(self, "histogram", histogram)
        object.__setattr__(self, "at_radii", radii)
        object.__setattr__(self, "at_extents", tuple((float(e), float(r)) for e, r in self.at_extents))

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema, see `Record.to_row`; tuples become lists."""
        row = super().to_row()
        return row | {name: [list(pair) for pair in row[name]] for name in _PAIRS}

    @property
    def key(self) -> Key:
        """What identifies the statement within one run."""
        return (*super().key, self.scorer, self.attribute, self.move)

    def counts(self) -> NDArray[np.int64]:
        """The histogram as an array `(steps + 1,)`.

        Raises:
            ValueError: if a step repeats or lies outside the range, or a count is not positive.
        """
        found = np.zeros(self.steps + 1, dtype=np.int64)
        for step, samples in self.histogram:
            if not 0 <= step <= self.steps or samples < 1 or found[step]:
                raise ValueError(f"expected different steps in 0..{self.steps} with positive counts, got {step}")
            found[step] = samples
        return found

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}, level {self.level} ({self.level_name}), {self.attribute}"
        if self.abstain:
            return f"{where}: abstains ({self.reason}); nothing is certified."
        pairs = [(r, e) for r, e in self.at_radii if e is not None] + [(r, e) for e, r in self.at_extents if r > 0]
        mode = "Noise and pixels in float32: not sound against floating-point rounding."
        if self.float_mode != "float32":
            mode = f"By {self.float_mode}: sound in floating point, for noise and pixels."
        noise = f"Gaussian, sigma {self.sigma:g}, {self.noise_space}"
        together = f"for all {self.num_statements} joint statements of the image together"
        if self.label_functions > 1:
            together += f", and those of the other {self.label_functions - 1} label functions"
        plane = f"the plane of {self.source_prompt!r} and {self.target_prompt!r}{named_so(self.named_by)}"
        return (
            f"{where}: of the noisy copies ({noise}) of every image within r (L2) of this one, a share above "
            f"{self.threshold:g} keeps class {self.prediction} under the {self.scorer} classifier while the embedding "
            f"moves in {plane}, by anything from 0 to e {UNITS[self.move]}, for each of (r, e) = "
            f"{', '.join(map(str, pairs))}; false with probability at most {self.alpha:g} over the noise, "
            f"{together}. The move is one of embeddings. {mode}{not_covered(self.functions_chosen, self.noise_shared)}"
        )


def sparse(histogram: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """The steps that were found, and how often."""
    return tuple((int(step), int(histogram[step])) for step in np.flatnonzero(histogram))
