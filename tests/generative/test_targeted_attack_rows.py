"""One row of attacks towards a forbidden answer, altered in one field, is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from row_alterations import odd_values

from hrvlm.evaluation.folder_names import ROWS_OF
from hrvlm.evaluation.verification import verify as verify_folder
from hrvlm.generative.targeted_attack_checks import TARGETED_ATTACKS, targeted_attack_header
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord
from hrvlm.rows.images import by_image
from hrvlm.rows.strict import RowError
from hrvlm.rows.verifying import Header, Problem, Verifier

SAME: dict[str, Any] = {
    "oracle": "command", "forbidden": "go to", "wanted": "go to the volcano", "clean_answer": "pick up the pear",
    "answer": "go to the volcano", "sigma": 0.1, "steps": 6, "seed": 0,
}  # fmt: skip


def pushed(index: int, eps: float, votes: int | None, *, inside: bool = False) -> dict[str, Any]:
    success = not inside and (votes is None or votes > 10)
    smoothing = {"votes": None if votes is None else 20, "samples": None if votes is None else 4}
    return TargetedAttackRecord(
        index=index, defence="none" if votes is None else "smoothing", eps=eps, certified_radius=0.15, inside=inside,
        success=success, label="go to" if success else "pick up", forbidden_votes=votes, **smoothing, **SAME,
    ).to_row()  # fmt: skip


ROWS = [
    row
    for index in range(3)
    for row in (
        pushed(index, 0.1, None),
        pushed(index, 0.1, 3),
        pushed(index, 1.0, 15),
        pushed(index, 0.14, 0, inside=True),
    )
]


def verify(rows: list[dict[str, Any]], header: Header | None = None) -> list[Problem]:
    verifier, (odd, images) = Verifier(TARGETED_ATTACKS, header, complete=True), by_image(rows)
    found = [*verifier.odd(odd), *(problem for image in images for problem in verifier.image(image))]
    return [*found, *verifier.finish()]


def test_values_of_other_types_are_found() -> None:
    assert verify(ROWS) == []
    missed = set()
    for place in range(4):
        for name, value in odd_values(ROWS[place]):
            if not verify([*ROWS[:place], ROWS[place] | {name: value}, *ROWS[place + 1 :]]):
                missed.add((name, repr(value)))
    assert missed <= {("answer", "''")}  # a model may answer nothing


@pytest.mark.parametrize(
    "change",
    [
        {"success": False}, {"forbidden_votes": 30}, {"seed": 1}, {"sigma": 0.2},
        {"inside": True}, {"certified_radius": 0.2}, {"defence": "none"}, {"votes": 21}, {"eps": 0.2}, {"steps": 7},
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves_or_the_run_are_found(change: dict[str, Any]) -> None:
    assert verify([*ROWS[:2], ROWS[2] | change, *ROWS[3:]])


@pytest.mark.parametrize(
    ("place", "change", "field"),
    [
        (0, {"success": False}, "success"), (2, {"forbidden_votes": 0}, "success"), (2, {"votes": None}, "votes"),
        (2, {"success": False, "label": "pick up"}, "success"), (2, {"forbidden_votes": 30}, "forbidden_votes"),
        (2, {"defence": "none"}, "votes"), (3, {"eps": 0.2}, "inside"), (0, {"inside": True}, "inside"),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_itself_is_found_without_the_others(
    place: int, change: dict[str, Any], field: str
) -> None:
    assert verify([ROWS[place]]) == []
    assert {problem.field for problem in verify([ROWS[place] | change])} == {field}


def test_settings_and_records_are_held_against_rows() -> None:
    assert verify(ROWS, targeted_attack_header({"sigma": 0.1, "seed": 0, "forbidden": "go to", "steps": 6})) == []
    assert len(verify(ROWS, targeted_attack_header({"seed": 1}))) == len(ROWS)
    with pytest.raises(RowError, match="expected eps"):
        TargetedAttackRecord.from_row(ROWS[0] | {"eps": "0.1"})


def test_images_of_pushes_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / ROWS_OF["targeted-attack"]).write_text("{}\n")
    with pytest.raises(ValueError, match="no --expect with the rows of targeted-attack"):
        list(verify_folder(tmp_path, expect=3))
