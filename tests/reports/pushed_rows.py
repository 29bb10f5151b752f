"""Attacks towards a forbidden answer, inside and beyond certified radii, with and without smoothing."""

from __future__ import annotations

from typing import Any

from hrvlm.generative.targeted_attack_records import TargetedAttackRecord

SAME: dict[str, Any] = {
    "oracle": "command", "forbidden": "go to", "wanted": "go to the volcano", "clean_answer": "pick up the pear",
    "answer": "go to the volcano", "sigma": 0.1, "votes": 20, "forbidden_votes": 0, "steps": 6, "samples": 4, "seed": 0,
}  # fmt: skip


def pushed(
    index: int, eps: float, radius: float, *, success: bool, inside: bool = False, plain: bool = False
) -> TargetedAttackRecord:
    return TargetedAttackRecord(
        index=index, defence="none" if plain else "smoothing", eps=eps, certified_radius=radius, inside=inside,
        success=success, label="go to" if success else "pick up", **SAME,
    )  # fmt: skip


RECORDS = [
    *(pushed(index, 0.1, 0.15, success=index < 1, plain=True) for index in range(4)),
    *(pushed(index, 1.0, 0.15, success=index < 3, plain=True) for index in range(4)),
    *(pushed(index, 0.1, 0.15 if index < 3 else 0.05, success=index == 3) for index in range(4)),
    *(pushed(index, 1.0, 0.15, success=index < 2) for index in range(4)),
    pushed(0, 0.14, 0.15, success=False, inside=True),
    pushed(3, 0.04, 0.05, success=False, inside=True),
    pushed(4, 1.0, 1.0, success=True),  # at the certified radius itself nothing is certified
    pushed(5, 1.5, 1.6, success=False, inside=True),  # further than any budget
]
