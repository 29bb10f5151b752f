"""Rows of attacks that contradict themselves, the other rows of their image or those of other images."""

from __future__ import annotations

from typing import Any

import pytest

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.attacks.row_checks import ROBUSTNESS
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Verifier

Row = dict[str, Any]
PREDICTIONS = {(0, 0): 3, (0, 1): 1, (1, 0): 2, (1, 1): 0}  # of image and level; image 1 is wrong at level 0


def run_rows() -> list[Row]:
    """Two images at two levels, clean and under an attack of the leaves that changes nothing."""
    made = []
    for (index, level), prediction in PREDICTIONS.items():
        label = (3, 1)[level] if index == 0 else (4, 0)[level]
        right = label == prediction
        known = {"stage": None, "index": index, "tree": "t", "level": level, "level_name": ("leaf", "group")[level]}
        known |= {"num_classes": (5, 2)[level], "norm": "linf", "eps": 0.1, "label": label, "prediction": prediction}
        known |= {"correct": right, "clean_correct": right, "broken_by": None, "distance": None}
        clean = {"attack": "clean", "attacked": False, "attacked_tree": None, "attacked_level": None, "members": None}
        aimed = {"attack": "pgd20", "attacked": index == 0, "attacked_tree": "t", "attacked_level": 0}
        made += [RobustnessRecord(**known, **more) for more in (clean, aimed | {"members": "pgd x20"})]
    return [record.to_row() for record in made]


def found(rows: list[Row]) -> set[str]:
    """Fields at fault."""
    verifier, (odd, images) = Verifier(ROBUSTNESS), by_image(rows)
    problems = [*verifier.odd(odd), *(problem for image in images for problem in verifier.image(image))]
    return {problem.field for problem in [*problems, *verifier.finish()]}


CLEAN, AIMED = 0, 1  # places of the rows of image 0 at level 0


@pytest.mark.parametrize(
    ("place", "changes", "field"),
    [
        (CLEAN, {"correct": False, "clean_correct": False}, "correct"),
        (CLEAN, {"label": 5, "correct": False, "clean_correct": False}, "label"),
        (CLEAN, {"prediction": 5, "correct": False, "clean_correct": False}, "prediction"),
        (CLEAN, {"members": "pgd x20"}, "members"),
        (CLEAN, {"clean_correct": False}, "clean_correct"),
        (AIMED, {"members": None}, "members"),
        (AIMED, {"attacked_level": None}, "attacked_level"),
        (AIMED, {"attacked": False, "distance": 0.1}, "attacked"),
        (AIMED, {"attacked": False, "prediction": 2, "correct": False}, "attacked"),
    ],
)
def test_a_row_that_contradicts_itself_is_found_without_the_others(place: int, changes: Row, field: str) -> None:
    row = run_rows()[place]
    assert found([row]) == set()
    assert found([row | changes]) == {field}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": 2, "prediction": 2}, "label"),
        ({"clean_correct": False, "attacked": False, "correct": False, "prediction": 2}, "clean_correct"),
    ],
)
def test_rows_of_an_image_that_contradict_each_other_are_found(changes: Row, field: str) -> None:
    clean, aimed = run_rows()[:2]
    assert found([clean, aimed]) == set()
    assert field in found([clean, aimed | changes])


@pytest.mark.parametrize("name", ["attacked", "broken_by", "distance"])
def test_rows_of_one_attack_on_an_image_tell_the_same_of_it(name: str) -> None:
    rows = [row for row in run_rows() if row["index"] == 0 and row["attack"] != "clean"]
    assert found(rows) == set()
    other = {"attacked": False, "broken_by": "pgd x20", "distance": 0.05}[name]
    assert found([rows[0], rows[1] | {name: other}]) >= {name}


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"level_name": "leaves"}, "level_name"), ({"eps": 0.2}, "eps"), ({"norm": "l2"}, "norm")],
)
def test_images_of_a_run_that_contradict_each_other_are_found(changes: Row, field: str) -> None:
    rows = run_rows()
    assert found(rows) == set()
    assert found([row | (changes if row["index"] == 1 else {}) for row in rows]) == {field}
