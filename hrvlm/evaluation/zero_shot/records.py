"""Rows of zero-shot evaluation: one per data set, image, attack and budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

from hrvlm.attacks.norms import Norm
from hrvlm.attacks.records import CLEAN
from hrvlm.rows.fields import COUNT, NAME
from hrvlm.rows.strict import strict_reader

SCHEMA = 1
HeadName = Literal["trained", "cosine"]
ZeroShotKey = tuple[str, int, str, float]


@dataclass(frozen=True, kw_only=True)
class ZeroShotRecord:
    """How a classifier fares on one image of a data set under one attack.

    Attributes:
        data: Name of the data set.
        index: Index of the image in it.
        num_classes: How many classes the image was sorted into.
        head: "trained", the head that was trained with the model, or "cosine", plain cosines.
        attack: "clean", or an attack's name.
        norm: Norm of the threat model, "linf" or "l2".
        eps: Budget in pixel units; 0 of a clean image.
        label: Right class.
        prediction: Class that the attacked image is given, or the clean one where that is wrong already; -1 where its
            scores are not finite.
        correct: Whether they agree.
    """

    kind: ClassVar[str] = "zero_shot"
    limits: ClassVar[Mapping[str, Any]] = {"data": NAME, "attack": NAME, "label": COUNT}

    data: str
    index: int
    num_classes: int
    head: HeadName
    attack: str
    norm: Norm
    eps: float
    label: int
    prediction: int
    correct: bool

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            RowError: If the row is of another kind or schema, or a value is none of its field.
        """
        return strict_reader(cls, SCHEMA).of_row(row)

    @property
    def labelled(self) -> bool:
        """Whether the image has a label: always, where accuracy is asked."""
        return True

    @property
    def key(self) -> ZeroShotKey:
        """What the row is about, to resume."""
        return self.data, self.index, self.attack, self.eps

    def to_row(self) -> dict[str, Any]:
        """A flat mapping of JSON values with kind and schema."""
        return {"kind": self.kind, "schema": SCHEMA, **asdict(self)}


def zero_shot_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is about, by which rows sort: by data set and image, clean first, then budget and attack.

    Raises:
        RowError: If it is no row of zero-shot evaluation.
    """
    data, index, attack, eps = ZeroShotRecord.from_row(row).key
    return data, index, attack != CLEAN, eps, attack


def done_zero_shot_keys(rows: Iterable[Mapping[str, Any]]) -> set[ZeroShotKey]:
    """Keys of the rows of an earlier run.

    Raises:
        RowError: If a row is of another kind or schema, or a value is none of its field.
    """
    return {ZeroShotRecord.from_row(row).key for row in rows}
