"""Rows and curves of attacks that push a model towards a forbidden answer, with and without smoothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, fields
from itertools import pairwise
from statistics import fmean
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

from hrvlm.rows.fields import COUNT, NAME, NOT_NEGATIVE, at_least, one_of
from hrvlm.rows.strict import strict_reader

Defence: TypeAlias = Literal["none", "smoothing"]
Budget: TypeAlias = Literal["l2", "linf", "patch"]
"""What bounds the change of a picture: its L2 norm, its largest change of a channel, or the share of a square."""
BUDGETS: Mapping[Budget, str] = {
    "l2": "L2 budget in pixel units",
    "linf": "l-infinity budget in pixel units",
    "patch": "share of the picture that a patch covers",
}
"""What budgets are, in words."""
TargetedAttackKey: TypeAlias = tuple[int, str, bool, float]
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class TargetedAttackRecord:
    """One image, pushed within one budget.

    Attributes:
        index: Dataset index of the image.
        defence: "none": the plain model answers; "smoothing": the most frequent label of many noisy copies counts.
        eps: Budget, in pixel units, by the norm; of a patch the share of the picture that it covers.
        oracle: Name of the oracle that labels answers.
        forbidden: Class that the attack wants.
        wanted: Answer that it pushes towards.
        clean_answer: The model's answer to the clean image.
        answer: Its answer to the attacked image without noise.
        label: Class of the attacked image: of that answer, or by vote.
        success: Whether that is the forbidden class.
        certified_radius: L2 radius within which the vote provably has another class; 0 where nothing is certified.
        inside: Whether the budget was chosen just within that radius, where success would refute the certificate.
        sigma: Standard deviation of the smoothing noise.
        votes: Noisy copies that vote; None without smoothing.
        forbidden_votes: Those of the forbidden class; None without smoothing.
        steps: Steps of the attack.
        samples: Noisy copies per gradient of the attack; None without smoothing.
        seed: Seed of noise and attack.
        norm: What the budget bounds.
        num_values: Numbers (pixels times channels) that the attack may change; None by the L2 norm, where it plays no
            part.
        prompt: What the model is asked about this image, where every image has a prompt of its own; None else.
    """

    kind: ClassVar[str] = "push"
    limits: ClassVar[Mapping[str, Any]] = {
        "forbidden": NAME, "label": NAME, "certified_radius": NOT_NEGATIVE, "forbidden_votes": COUNT | None,
        "steps": at_least(1), "samples": at_least(1) | None, "norm": one_of(get_args(Budget)),
        "num_values": at_least(1) | None,
    }  # fmt: skip
    added: ClassVar[frozenset[str]] = frozenset({"norm", "num_values", "prompt"})
    """Fields that rows leave out while they have their default."""

    index: int
    defence: Defence
    eps: float
    oracle: str
    forbidden: str
    wanted: str
    clean_answer: str
    answer: str
    label: str
    success: bool
    certified_radius: float
    inside: bool
    sigma: float
    votes: int | None
    forbidden_votes: int | None
    steps: int
    samples: int | None
    seed: int
    norm: Budget = "l2"
    num_values: int | None = None
    prompt: str | None = None

    @property
    def reach(self) -> float:
        """The largest L2 norm of a change within the budget, by which certificates are asked whether they cover it."""
        return reach_of(self.norm, self.eps, self.num_values)

    @property
    def key(self) -> TargetedAttackKey:
        """What the row is about, to resume; the budget just inside a certificate differs by image."""
        return targeted_attack_key(self.index, self.defence, inside=self.inside, eps=self.eps)

    def to_row(self) -> dict[str, Any]:
        """A flat mapping of JSON values with kind and schema."""
        left_out = {field.name for field in fields(self) if field.name in self.added and self._has_default(field)}
        told = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {"kind": self.kind, "schema": SCHEMA, **told}

    def _has_default(self, field: Field[Any]) -> bool:
        return bool(getattr(self, field.name) == field.default)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            RowError: If the row is of another kind or schema, or a value is none of its field.
        """
        return strict_reader(cls, SCHEMA).of_row(row)


def reach_of(norm: Budget, eps: float, num_values: int | None) -> float:
    """The largest L2 norm of a change within a budget, with pixels in [0, 1].

    Args:
        norm: What the budget bounds.
        eps: The budget.
        num_values: Numbers that may change; not used by "l2".

    Raises:
        ValueError: If `num_values` is needed and lacks.
    """
    if norm == "l2":
        return eps
    if num_values is None:
        raise ValueError(f"expected num_values with the norm {norm!r}, got None")
    return math.sqrt(num_values) * (eps if norm == "linf" else 1.0)


def targeted_attack_key(index: int, defence: Defence, *, inside: bool, eps: float) -> TargetedAttackKey:
    """What a row is about; see `TargetedAttackRecord.key`."""
    return (index, defence, inside, 0.0 if inside else eps)


def summarise_targeted_attacks(records: Iterable[TargetedAttackRecord]) -> dict[str, Any]:
    """Share of images that reach the forbidden class, by budget, without and with smoothing, and inside certificates.

    With smoothing, "beyond" counts only images whose certificate does not reach the budget; "inside" those attacked
    just within their own certified radius, or within a budget that their certificate covers.
    """
    rows = list(records)
    curves = {
        defence: [
            {"eps": eps, **_share([r for r in rows if r.defence == defence and r.eps == eps and not r.inside])}
            for eps in sorted({r.eps for r in rows if not r.inside})
        ]
        for defence in ("none", "smoothing")
    }
    smoothed = [r for r in rows if r.defence == "smoothing"]
    covered = [r for r in smoothed if 0 < r.reach < r.certified_radius]
    beyond = [r for r in smoothed if r.reach >= r.certified_radius]
    norms = sorted({r.norm for r in rows} - {"l2"})
    return {**({"norm": norms[0]} if norms else {}), **curves, "inside": _share(covered), "beyond": _share(beyond)}


def success_over_radius(records: Iterable[TargetedAttackRecord]) -> dict[str, list[dict[str, Any]]]:
    """Success of attacks on the smoothed model over their L2 radius, inside and beyond each image's certificate.

    Attacks are gathered in bins that end at the budgets (their `TargetedAttackRecord.reach`), so those just inside a
    certificate, whose radius differs by image, fall between two of them. As in `summarise_targeted_attacks` a budget
    of the certified radius itself is beyond.

    Returns:
        For "inside" and "beyond" one point per bin with attacks, by "eps", the mean radius of these attacks.
    """
    smoothed = [r for r in records if r.defence == "smoothing" and r.reach > 0]
    ends = sorted({r.reach for r in smoothed if not r.inside} | {max((r.reach for r in smoothed), default=0.0)})
    sides = {
        "inside": [r for r in smoothed if r.reach < r.certified_radius],
        "beyond": [r for r in smoothed if r.reach >= r.certified_radius],
    }
    curves: dict[str, list[dict[str, Any]]] = {}
    for side, found in sides.items():
        bins = [[r for r in found if first < r.reach <= last] for first, last in pairwise([0.0, *ends])]
        curves[side] = [{"eps": fmean(r.reach for r in some), **_share(some)} for some in bins if some]
    return curves


def _share(records: list[TargetedAttackRecord]) -> dict[str, Any]:
    successes = sum(record.success for record in records)
    return {
        "attacked": len(records),
        "successes": successes,
        "rate": successes / len(records) if records else None,
    }
