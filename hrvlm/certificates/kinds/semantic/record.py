"""What is claimed of an image's embedding along one semantic change, as a frozen record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.kinds.semantic import calibrated_stretch as stretch
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedClaim, CalibratedClaims, CalibratedStretch
from hrvlm.rows.fields import COUNT, FINITE, NAME, NOT_NEGATIVE, SHARE, one_of
from hrvlm.rows.lines import line_of_numbers
from hrvlm.rows.record import Key, Record, Row, is_right, named_so
from hrvlm.rows.strict import RowError

if TYPE_CHECKING:
    from hrvlm.certificates.embedding.partition import SemanticPartition

Wave = tuple[int, float, float, float]
"""A class, and a, b, c of its score ``a cos t + b sin t + c`` at t radians past the image, along the way."""
Margin = tuple[int, int, float, float, float, float]
"""A class, another, a, b, c of the margin of the first over the second, and the error of its values."""
LARGEST_DELTA = 1000.0
"""No sphere of features is as wide: heads give unit vectors, or points of a ball whose radius is near 1."""
TEXT = "text"
"""Kind of a target that its prompt specifies."""
_ONLY_FOR_VERIFYING: Mapping[str, Any] = {
    "waves": (), "distances": (), "margins": (), "largest_deltas": None, "plane": None,
}  # fmt: skip
_CALIBRATED = ("calibrated_extents", "calibrated_shares", "calibrated")
_PAIRS = ("intervals", "stable", "waves", "distances", "margins")


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
        smallest_margin: smallest margin of the winner at interval midpoints; None for a single class or an empty range.
        stable: (delta, stable coverage) pairs.
        plane: the image's coordinates in the plane and the target's angle (x, y, angle), from which start and stop
            follow; None where nothing is certified.
        waves: (class, a, b, c) of every class whose score ``a cos t + b sin t + c``, t radians past the image, the
            claims follow from: those of the intervals and the prediction, the one next to the winner at the smallest
            margin, and those that bound the stable part.
        distances: (class, other, distance) of the weights of two classes where the other one bounds the stable part of
            an interval of the first.
        largest_deltas: (class, other, delta) of every class with an interval, unless there is no other class: up to
            delta it is stable wherever it wins, beyond the other one is the first to bound that. At most 1000; empty
            where no stable coverage is stated.
        margins: (class, other, a, b, c, error) of pairs whose waves are too close to be subtracted: the margin
            ``a cos t + b sin t + c`` of the class, from the difference of their weights, and the error of its values.
        named_by: which class names the image in the prompts: that of its "label"; or, as it has none, that of its
            "prediction" at the leaves.
        calibration: digest of the calibration that calibrated stretches rest on; None where none are stated.
        population: the images that calibrated claims are about, in the words of the calibration.
        reference: an observation beside the claim: the share on which the prediction holds along the arc that was
            fitted to pictures of the change in order, from the image on; None without such pictures.
        calibrated: (over, group, epsilon, form, unit, growth, threshold) of every calibrated claim: over an
            exchangeable image of the population and the calibration, some picture of the change that lies on its extent
            has another label with probability at most `epsilon`; or, with the confidence that `form` states over
            calibrations, at that rate over further images. Claims that `over` names are right together. The margin over
            every class j exceeds ``threshold * u (1 + growth sin t)`` on the extent, u being the distance of the
            weights, or 1 in the unit "margin".
        calibrated_extents: of every calibrated claim the radians from the image onwards.
        calibrated_shares: of every calibrated claim the part of the change that they stand for.
    """

    kind: ClassVar[str] = "semantic"
    added: ClassVar[frozenset[str]] = frozenset(
        {*_ONLY_FOR_VERIFYING, "named_by", "reference", "calibration", "population", *_CALIBRATED}
    )
    unsaid: ClassVar[frozenset[str]] = Record.unsaid | added - {*_ONLY_FOR_VERIFYING}
    limits: ClassVar[Mapping[str, Any]] = {
        "target_kind": one_of((TEXT, "image")), "intervals": tuple[tuple[FINITE, FINITE, COUNT], ...],
        "invariance": NOT_NEGATIVE, "stable": tuple[tuple[NOT_NEGATIVE, NOT_NEGATIVE], ...],
        "waves": tuple[tuple[COUNT, FINITE, FINITE, FINITE], ...],
        "distances": tuple[tuple[COUNT, COUNT, NOT_NEGATIVE], ...],
        "largest_deltas": tuple[tuple[COUNT, COUNT, NOT_NEGATIVE], ...] | None,
        "calibration": NAME | None, "population": NAME | None, "calibrated": tuple[CalibratedClaim, ...],
        "calibrated_extents": tuple[NOT_NEGATIVE, ...], "calibrated_shares": tuple[SHARE, ...],
        "reference": SHARE | None, "margins": tuple[tuple[COUNT, COUNT, FINITE, FINITE, FINITE, NOT_NEGATIVE], ...],
    }  # fmt: skip

    scorer: str
    attribute: str
    source_prompt: str
    target_prompt: str
    target_kind: str = TEXT
    start: float
    stop: float
    intervals: tuple[tuple[float, float, int], ...]
    invariance: float
    smallest_margin: float | None
    stable: tuple[tuple[float, float], ...] = ()
    plane: tuple[float, float, float] | None = None
    waves: tuple[Wave, ...] = ()
    distances: tuple[tuple[int, int, float], ...] = ()
    largest_deltas: tuple[tuple[int, int, float], ...] | None = None
    margins: tuple[Margin, ...] = ()
    named_by: str = "label"
    reference: float | None = None
    calibration: str | None = None
    population: str | None = None
    calibrated_extents: tuple[float, ...] = ()
    calibrated_shares: tuple[float, ...] = ()
    calibrated: CalibratedClaims = stretch.NO_CLAIMS

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            "intervals": tuple((float(a), float(b), int(k)) for a, b, k in self.intervals),
            "stable": tuple((float(delta), float(share)) for delta, share in self.stable),
            "waves": tuple((int(k), float(a), float(b), float(c)) for k, a, b, c in self.waves),
            "distances": tuple((int(k), int(j), float(distance)) for k, j, distance in self.distances),
            "margins": tuple((int(k), int(j), *map(float, numbers)) for k, j, *numbers in self.margins),
            "calibrated": stretch.claims_of(self.calibrated),
            "calibrated_extents": tuple(map(float, self.calibrated_extents)),
            "calibrated_shares": tuple(map(float, self.calibrated_shares)),
        }
        if self.largest_deltas is not None:
            values["largest_deltas"] = tuple((int(k), int(j), float(delta)) for k, j, delta in self.largest_deltas)
        if self.plane is not None:
            x, y, angle = self.plane
            values["plane"] = (float(x), float(y), float(angle))
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        counts = len(self.calibrated), len(self.calibrated_extents), len(self.calibrated_shares)
        if len(set(counts)) > 1:
            raise RowError(f"expected an extent and a share of every calibrated claim, got {counts}", "calibrated")

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Self:
        """From all fields as rows' types have them, which need no conversion: see `hrvlm.rows.strict.Strict`."""
        found = object.__new__(cls)
        found.__dict__.update(values, calibrated=stretch.claims_of(values["calibrated"]))
        found._check()
        return found

    shared: ClassVar[Mapping[str, Any]] = {"calibrated": stretch.claims_of}
    renewed = staticmethod(stretch.without_extents)

    @property
    def stretches(self) -> tuple[CalibratedStretch, ...]:
        """The calibrated ones."""
        return tuple(map(CalibratedStretch, self.calibrated, self.calibrated_extents, self.calibrated_shares))

    @property
    def marginal_extents(self) -> list[tuple[float, float]]:
        """Rate and radians of the calibrated claims that are marginal and each alone."""
        return [(epsilon, self.calibrated_extents[place]) for place, epsilon in self.calibrated.marginal_alone]

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema, see `Record.to_row`; tuples become lists."""
        row = super().to_row()
        lists: Row = {name: [list(item) for item in row[name]] for name in _PAIRS}
        lists["plane"] = None if self.plane is None else list(self.plane)
        if self.largest_deltas is not None:
            lists["largest_deltas"] = [list(item) for item in self.largest_deltas]
        if self.calibrated:
            lists |= {name: list(row[name]) for name in _CALIBRATED[:2]}
            lists["calibrated"] = self.calibrated.lists
        return row | lists

    def to_line(self) -> str:
        """See `Record.to_line`; claims, which many rows share, come as text."""
        row = super().to_row()
        claims = row.pop("calibrated", None)  # the last of them
        line = line_of_numbers(row)
        return line if claims is None else f'{line[:-1]}, "calibrated": {claims.text}}}'

    @classmethod
    def of_partition(
        cls, partition: SemanticPartition, i: int, *, label: int, exact: bool = False, **described: Any
    ) -> Self:
        """Record of image i of a partition.

        Args:
            partition: result of `semantic_partition`.
            i: position of the image in it.
            label: true label.
            exact: whether `described` have rows' types, and need no conversion.
            **described: the fields that a partition does not know (index, tree, level, prompts, ...), and what
                `semantic_evidence` returns for the image.
        """
        margin, prediction, reason = float(partition.smallest_margin[i]), int(partition.label[i]), partition.reasons[i]
        known: dict[str, Any] = {
            "label": label,
            "prediction": prediction,
            "correct": is_right(prediction, label),
            "start": float(partition.start[i]),
            "stop": float(partition.stop[i]),
            "intervals": tuple(partition.intervals(i)),
            "invariance": float(partition.invariance[i]),
            "smallest_margin": margin if math.isfinite(margin) else None,
            "reason": None if reason is None else str(reason),
        }
        return cls.of_values(_DEFAULTS | known | described) if exact else cls(**known | described)

    @property
    def key(self) -> Key:
        """What identifies the statement within one run."""
        return (*super().key, self.scorer, self.attribute, self.target_kind)

    @property
    def not_finite(self) -> bool:
        """Whether nothing is claimed because the image has a score or angle that is not finite."""
        return self.prediction < 0 and self.reason == Reason.NOT_FINITE

    def slim(self) -> Self:
        """The record without the scores that its claims follow from."""
        # A page is made of hundreds of thousands: `replace` takes ten times as long, a copied dictionary four times the
        # memory of fields that are set one by one.
        found, put = object.__new__(type(self)), object.__setattr__
        for name, value in self.__dict__.items():
            put(found, name, value)
        for name, value in _ONLY_FOR_VERIFYING.items():
            put(found, name, value)
        return found

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}, level {self.level} ({self.level_name}), {self.attribute}"
        if not self.intervals:
            return f"{where}: nothing is certified ({self.reason})."
        pieces = "; ".join(f"class {label} from {a!r} to {b!r}" for a, b, label in self.intervals)
        return (
            f"{where}: rotating the embedding from {self.start!r} to {self.stop!r} rad in the plane of "
            f"{self.source_prompt!r} and {self.target_prompt!r}{named_so(self.named_by)}, the {self.scorer} classifier "
            f"predicts {pieces}; the prediction of the image holds on {self.invariance:.4%} of the range. "
            "Deterministic, about embeddings."
        )


_DEFAULTS = {field.name: field.default for field in fields(SemanticRecord) if field.default is not MISSING}
