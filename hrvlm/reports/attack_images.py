"""What attacks say of images, for the table of images of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from hrvlm.attacks.records import CLEAN, RobustnessRecord, own_level
from hrvlm.certificates.kinds.report import Judged
from hrvlm.reports.image_columns import ImageColumns
from hrvlm.reports.overview import stage_words
from hrvlm.rows.record import Record

if TYPE_CHECKING:
    from hrvlm.generative.targeted_attack_records import TargetedAttackRecord


def add_attacks(columns: ImageColumns, attacked: Iterable[RobustnessRecord]) -> None:
    """Takes in what attacks on a level did to it; and clean images."""
    for each in attacked:
        if own_level(asdict(each)):
            columns.add("Attacks", "", each.index, [_judged(each)])


def same_pictures(certificates: Iterable[Sequence[Record]], attacked: Sequence[RobustnessRecord]) -> bool:
    """Whether attacks were on the pictures that certificates are about, as far as their leaves tell."""
    if not attacked:
        return True
    leaves = {each.index: each.label for each in attacked if each.level == 0}
    records = (record for group in certificates for record in group if record.names_leaf and record.labelled)
    return all(leaves.get(record.index, record.label) == record.label for record in records)


def add_targeted_attacks(columns: ImageColumns, records: Iterable[TargetedAttackRecord]) -> None:
    """Takes in attacks towards a forbidden answer: an image that gives it is wrong, any other answer is right.

    Args:
        columns: of no other images.
        records: of any budgets, plain and smoothed.
    """
    for each in records:
        columns.add("Pushed to a forbidden answer", "certified radius", each.index, [_pushed(each)])


def _judged(record: RobustnessRecord) -> Judged:
    budget = "" if record.attack == CLEAN else f" {record.norm} {record.eps * 255:.3g}/255"
    about = f"{record.attack}{budget}{stage_words(record.stage)}"
    return Judged(
        tree=record.tree, level=record.level, level_name=record.level_name, about=about,
        label=record.label, prediction=record.prediction,
    )  # fmt: skip


def _pushed(record: TargetedAttackRecord) -> Judged:
    smoothed = record.defence != "none"
    within = "just inside the certified radius" if record.inside else f"{record.norm} {record.eps:g}"
    return Judged(
        tree=record.oracle, level=0, level_name=f"pushed to {record.forbidden}",
        about=f"{'smoothed' if smoothed else 'plain'}, {within}", label=0, prediction=int(record.success),
        value=record.certified_radius if smoothed else None, names={0: "another answer", 1: record.forbidden},
        text=record.answer,
    )  # fmt: skip
