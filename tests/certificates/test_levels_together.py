"""Certified accuracy of a whole path: all levels of a tree right and certified at once, counted image by image."""

from __future__ import annotations

from itertools import product
from typing import Any

from example_records import smoothing
from rich.console import Console

from hrvlm.certificates.kinds.smoothing.kind import KIND
from hrvlm.certificates.kinds.smoothing.report import REPORT
from hrvlm.certificates.kinds.smoothing.summary import right_radius

RADII = [0.0, 0.2, 0.38]


def rows() -> list[Any]:
    """Two trees over the same leaves, which go by the first; counts and predictions differ by image and level."""
    places = [("Bäume", 0), ("Bäume", 1), ("Bäume", 2), ("other", 1)]
    made = []
    for index, (number, (tree, level)) in product(range(12), enumerate(places)):
        count = (100, 99, 80, 100, 100)[(index * 3 + number) % 5]
        prediction = 1 if (index + 2 * number) % 7 else 0
        made.append(smoothing(index, level, count, prediction=prediction, tree=tree, level_name=f"level {level}"))
    return made


def test_a_path_is_certified_where_all_its_levels_are() -> None:
    records = rows()
    summary = KIND.summarise(records, RADII)
    for tree, top in (("Bäume", 1), ("Bäume", 2), ("other", 1)):
        path = summary[tree][str(top)]["path"]
        assert path["images"] == 12
        for radius in RADII:
            held = 0
            for index in range(12):
                mine = [
                    r for r in records if r.index == index and (r.level == 0 or (r.tree == tree and r.level <= top))
                ]
                assert len(mine) == top + 1
                held += all(r.correct and not r.abstain and r.radius >= radius for r in mine)
            assert path["certified_accuracy"][str(radius)] == held / 12
        assert path["certified_accuracy"]["0.0"] > path["certified_accuracy"]["0.38"]
        assert path["certified_accuracy"]["0.0"] <= path["smoothed_accuracy"]
    assert "path" not in summary["Bäume"]["0"]
    assert max(map(right_radius, records)) > 0.38


def test_images_that_lack_a_level_are_left_out() -> None:
    records = [record for record in rows() if (record.index, record.level) != (3, 0)]
    assert KIND.summarise(records, RADII)["other"]["1"]["path"]["images"] == 11
    without = [record for record in rows() if record.level]
    assert not any("path" in level for level in KIND.summarise(without, RADII)["Bäume"].values())


def test_the_table_tells_of_all_levels_of_each_tree_at_once() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(REPORT.table(KIND.summarise(rows(), RADII)))
    lines = [line for line in captured.get().splitlines() if "all levels at once" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["Bäume", "other"]
