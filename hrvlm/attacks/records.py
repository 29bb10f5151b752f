"""Rows of robustness: one per image, attack, level that was attacked, and level that was evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from hrvlm.attacks.norms import Norm
from hrvlm.rows.fields import COUNT, NAME, NOT_NEGATIVE, one_of
from hrvlm.rows.strict import strict_reader

SCHEMA = 1
CLEAN = "clean"
RobustnessKey = tuple[str | int | float | None, ...]


@dataclass(frozen=True, kw_only=True)
class RobustnessRecord:
    """How one level's classifier fares on one image under one attack.

    Attributes:
        stage: Which model of a run, "before" or "after"; None outside training.
        index: Data set index of the image.
        tree: Tree of the evaluated level; the leaves, which all trees share, go by the first tree.
        level: Evaluated level, 0 for the leaves.
        level_name: Its name.
        num_classes: Its number of classes.
        attack: "clean", or an attack's name.
        attacked_tree: Tree of the level whose classifier was attacked; None if clean.
        attacked_level: That level; None if clean.
        attacked: Whether this image was attacked: only those are that the attacked level gets right when clean.
        norm: Norm of the threat model, "linf" or "l2".
        eps: Budget in pixel units.
        label: Right class at the evaluated level.
        prediction: Class that its classifier gives to the attacked image, or to the clean one if not attacked; -1 where
            its scores are not finite.
        correct: Whether they agree.
        clean_correct: Whether the evaluated level is right when clean.
        broken_by: Member of the attack that first made the ATTACKED level err within the budget, or None.
        distance: Distance of the image with which it erred, before it was brought into the budget; None if none.
        members: The attack's members with their effort; None if clean.
    """

    kind: ClassVar[str] = "robustness"
    limits: ClassVar[Mapping[str, Any]] = {
        "stage": one_of(("before", "after")) | None, "attack": NAME, "attacked_tree": NAME | None,
        "attacked_level": COUNT | None, "label": COUNT, "broken_by": NAME | None, "distance": NOT_NEGATIVE | None,
        "members": NAME | None,
    }  # fmt: skip

    stage: str | None
    index: int
    tree: str
    level: int
    level_name: str
    num_classes: int
    attack: str
    attacked_tree: str | None
    attacked_level: int | None
    attacked: bool
    norm: Norm
    eps: float
    label: int
    prediction: int
    correct: bool
    clean_correct: bool
    broken_by: str | None
    distance: float | None
    members: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            RowError: If the row is of another kind or schema, or a value is none of its field.
        """
        return strict_reader(cls, SCHEMA).of_row(row)

    @property
    def key(self) -> RobustnessKey:
        """What the row is about, to resume."""
        return robustness_key(asdict(self))

    def to_row(self) -> dict[str, Any]:
        """A flat mapping of JSON values with kind and schema."""
        return {"kind": self.kind, "schema": SCHEMA, **asdict(self)}


_KEY = ("stage", "index", "attack", "attacked_tree", "attacked_level", "tree", "level", "eps")


def robustness_key(row: Mapping[str, Any]) -> RobustnessKey:
    """What a row is about: stage, image, attack, attacked level, evaluated level and budget."""
    return tuple(row[name] for name in _KEY)


def robustness_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is about, by which rows sort: by stage, image, budget and attack, clean and leaves first, then tree.

    Raises:
        RowError: If it is no row of robustness.
    """
    stage, index, attack, *levels, eps = RobustnessRecord.from_row(row).key
    pairs = zip(levels[::2], levels[1::2], strict=True)
    order = ((bool(level), tree or "", level) for tree, level in pairs)
    return stage or "", index, eps, attack != CLEAN, attack, *order


def done_robustness_keys(rows: Iterable[Mapping[str, Any]]) -> set[RobustnessKey]:
    """Keys of the rows of an earlier run.

    Raises:
        RowError: If a row is of another kind or schema, or a value is none of its field.
    """
    return {RobustnessRecord.from_row(row).key for row in rows}


def own_level(row: Mapping[str, Any]) -> bool:
    """Whether a row is about a clean image, or about the level that was attacked, not about transfer."""
    if row["attack"] == CLEAN:
        return True
    tree, level = row["tree"], row["level"]
    return bool(row.get("attacked_tree", tree) == tree and row.get("attacked_level", level) == level)
