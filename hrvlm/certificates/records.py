"""What is claimed, as frozen records: one per image and statement, and one JSON line each.

A record holds all that is needed to derive its claim again without the model. Its row is a flat mapping of JSON values
with the record's kind and schema version; an unknown or missing key is an error, never a default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from hrvlm.certificates.intervals import SemanticPartition

SCHEMA = 1
Row = dict[str, Any]
Key = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record says about its image and statement.

    Attributes:
        index: dataset index of the image.
        label: true label at this level.
        tree: name of the class tree.
        level: 0 for the leaves, growing towards the root.
        level_name: name of the level.
        prediction: certified class at this level; -1 where there is none.
        correct: whether the prediction is the true label.
        reason: why less is claimed than usual, or None.
    """

    kind: ClassVar[str] = ""

    index: int
    label: int
    tree: str
    level: int
    level_name: str
    prediction: int
    correct: bool
    reason: str | None

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema.

        Raises:
            ValueError: if a number is not finite, which JSON cannot hold.
        """
        row: Row = {"kind": self.kind, "schema": SCHEMA, **asdict(self)}
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"expected a finite {name} in the record of image {self.index}, got {value}")
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            ValueError: if the kind or schema differs or keys are unknown or missing.
        """
        if row.get("kind") != cls.kind or row.get("schema") != SCHEMA:
            got = f"kind {row.get('kind')!r}, schema {row.get('schema')!r}"
            raise ValueError(f"expected a row of kind {cls.kind!r} and schema {SCHEMA}, got {got}")
        names, keys = {field.name for field in fields(cls)}, set(row) - {"kind", "schema"}
        if names != keys:
            odd, absent = sorted(keys - names), sorted(names - keys)
            raise ValueError(f"expected the keys of {cls.__name__}, got unknown {odd} and lack {absent}")
        return cls(**{name: row[name] for name in names})

    @property
    def key(self) -> Key:
        """What identifies the statement within one run."""
        return (self.kind, self.index, self.tree, self.level)


@dataclass(frozen=True, kw_only=True)
class SmoothingRecord(Record):
    """A randomized-smoothing certificate (Cohen et al., ICML 2019) for one statement of one image.

    Attributes:
        sigma: standard deviation of the noise, in pixel units.
        noise_space: where the noise is added, in words.
        alpha: error probability for all statements of the image together.
        alpha_share: the part of alpha spent on this statement.
        num_statements: number of statements of the image that share alpha.
        n0: number of selection samples.
        n: number of estimation samples.
        selection_count: selection samples with the predicted class.
        count: estimation samples with the predicted class.
        invalid: estimation samples without a valid label; they count for no class.
        lower: Clopper-Pearson lower bound on the probability of the class, at `alpha_share`.
        radius: certified L2 radius in pixel units; 0 when abstaining.
        abstain: whether nothing is certified.
        seed: seed of the noise.
        float_mode: arithmetic of the noise; float32 is not sound against floating-point rounding.
        split: how the class was chosen.
    """

    kind: ClassVar[str] = "smoothing"

    sigma: float
    noise_space: str
    alpha: float
    alpha_share: float
    num_statements: int
    n0: int
    n: int
    selection_count: int
    count: int
    invalid: int
    lower: float
    radius: float
    abstain: bool
    seed: int
    float_mode: str = "float32"
    split: str = "separate selection and estimation samples"

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}, level {self.level} ({self.level_name})"
        if self.abstain:
            return f"{where}: abstains ({self.reason}); nothing is certified."
        together = "" if self.num_statements == 1 else f", jointly with the other {self.num_statements - 1} statements"
        return (
            f"{where}: the smoothed classifier (Gaussian noise, sigma {self.sigma:g}, {self.noise_space}) predicts "
            f"class {self.prediction} at every point closer than {self.radius!r} (L2) to the image; false with "
            f"probability at most {self.alpha:g} over the noise{together}. Noise and pixels in {self.float_mode}: not "
            f"sound against floating-point rounding."
        )


@dataclass(frozen=True, kw_only=True)
class SemanticRecord(Record):
    """A semantic-extent certificate (Yang et al., ICML 2026) for one statement, image and attribute.

    Attributes:
        scorer: kind of the scorer, "cosine" or "poincare".
        attribute: name of the attribute.
        source_prompt: prompt without the attribute.
        target_prompt: prompt with the attribute.
        target_kind: "text" or "image": what specified the target extent.
        start: angle of the image, radians.
        stop: target extent, radians.
        intervals: (from, to, label), contiguous from start to stop; empty where nothing is certified.
        invariance: share of the range with the prediction of the image.
        smallest_margin: smallest lead of the winner at interval midpoints; None for a single class.
        stable: (delta, stable coverage) pairs.
    """

    kind: ClassVar[str] = "semantic"

    scorer: str
    attribute: str
    source_prompt: str
    target_prompt: str
    target_kind: str = "text"
    start: float
    stop: float
    intervals: tuple[tuple[float, float, int], ...]
    invariance: float
    smallest_margin: float | None
    stable: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        intervals = tuple((float(a), float(b), int(k)) for a, b, k in self.intervals)
        object.__setattr__(self, "intervals", intervals)
        object.__setattr__(self, "stable", tuple((float(delta), float(share)) for delta, share in self.stable))

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema, see `Record.to_row`; tuples become lists."""
        row = super().to_row()
        return row | {name: [list(item) for item in row[name]] for name in ("intervals", "stable")}

    @classmethod
    def of_partition(cls, partition: SemanticPartition, i: int, *, label: int, **described: Any) -> Self:
        """Record of image i of a partition.

        Args:
            partition: result of `semantic_partition`.
            i: position of the image in it.
            label: true label.
            **described: the fields that a partition does not know (index, tree, level, prompts, ...).
        """
        margin, prediction, reason = float(partition.smallest_margin[i]), int(partition.label[i]), partition.reasons[i]
        return cls(
            label=label,
            prediction=prediction,
            correct=prediction == label,
            start=float(partition.start[i]),
            stop=float(partition.stop[i]),
            intervals=tuple(partition.intervals(i)),
            invariance=float(partition.invariance[i]),
            smallest_margin=margin if math.isfinite(margin) else None,
            reason=None if reason is None else str(reason),
            **described,
        )

    @property
    def key(self) -> Key:
        """What identifies the statement within one run."""
        return (*super().key, self.scorer, self.attribute, self.target_kind)

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}, level {self.level} ({self.level_name}), {self.attribute}"
        if not self.intervals:
            return f"{where}: nothing is certified ({self.reason})."
        pieces = "; ".join(f"class {label} from {a!r} to {b!r}" for a, b, label in self.intervals)
        return (
            f"{where}: rotating the embedding from {self.start!r} to {self.stop!r} rad in the plane of "
            f"{self.source_prompt!r} and {self.target_prompt!r}, the {self.scorer} classifier predicts {pieces}; the "
            f"prediction of the image holds on {self.invariance:.4%} of the range. Deterministic, about embeddings."
        )


def record_from_row(row: Mapping[str, Any]) -> SmoothingRecord | SemanticRecord:
    """The record of a row of either kind.

    Raises:
        ValueError: if the kind is unknown or the row does not fit it.
    """
    if row.get("kind") == SmoothingRecord.kind:
        return SmoothingRecord.from_row(row)
    if row.get("kind") == SemanticRecord.kind:
        return SemanticRecord.from_row(row)
    raise ValueError(f"expected a row of kind 'smoothing' or 'semantic', got {row.get('kind')!r}")
