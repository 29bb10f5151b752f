"""Models side by side: which folders make a column, which are refused, and what is averaged over which images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from compared_folders import ATTACK, RUN, attack_folder, attacked, run_folder, smoothed, written, zero_shot_folder

from hrvlm.evaluation.comparison import Comparison, Line, columns_of, compare
from hrvlm.evaluation.comparison_rows import read_results
from hrvlm.evaluation.paired import difference_of_means, difference_of_shares

COUNTS = {"a": [95, 60, 80, 99], "b": [99, 90, 40, 100]}


def compared(*folders: Path, names: Sequence[str] | None = None, radii: Sequence[float] = (0.0, 0.3)) -> Comparison:
    return compare(columns_of([read_results(folder) for folder in folders], names), radii)


def line(found: Comparison, name: str, level: str = "leaf") -> Line:
    (chosen,) = [line for line in found.lines if (line.measure.name, line.measure.level_name) == (name, level)]
    return chosen


def runs(folder: Path) -> list[Path]:
    return [run_folder(folder / name, counts, weights=name) for name, counts in COUNTS.items()]


def test_averages_and_differences_are_those_of_the_rows(tmp_path: Path) -> None:
    found = compared(*runs(tmp_path))
    assert found.names == ("a", "b")
    rows = {name: [smoothed(i, 0, count) for i, count in enumerate(counts)] for name, counts in COUNTS.items()}
    radii = {name: [row["radius"] for row in part] for name, part in rows.items()}
    mean = line(found, "mean certified radius")
    assert mean.images == 4
    assert mean.means == pytest.approx((fmean(radii["a"]), fmean(radii["b"])))
    assert mean.differences == (None, difference_of_means(radii["a"], radii["b"]))
    share = line(found, "certified at 0.3")
    certified = {name: [radius >= 0.3 for radius in part] for name, part in radii.items()}
    assert any(certified["a"])
    assert share.means == (fmean(certified["a"]), fmean(certified["b"]))
    assert share.differences == (None, difference_of_shares(certified["a"], certified["b"]))
    at_zero = line(found, "certified at 0")  # an abstention is not certified at radius 0
    assert at_zero.means == (fmean(not r["abstain"] for r in rows["a"]), fmean(not r["abstain"] for r in rows["b"]))
    assert at_zero.means[1] == 0.75
    assert [one.measure.level_name for one in found.lines] == ["leaf"] * 4 + ["group"] * 4
    assert {one.measure.tree for one in found.lines if one.measure.level == 0} == {"(all)"}


def test_attacks_are_compared_per_attack_and_by_the_worst_of_several(tmp_path: Path) -> None:
    right = {"a": ([True, False, True], [False, True, True]), "b": ([True, True, True], [True, True, False])}
    folders = []
    for name, (pgd, cw) in right.items():
        rows = [attacked(i, "clean", True) for i in range(3)]
        rows += [attacked(i, attack, ok[i]) for attack, ok in (("pgd20", pgd), ("cw", cw)) for i in range(3)]
        folders.append(written(tmp_path / name, rows, ATTACK, weights=name))
    found = compared(*folders)
    assert {one.heading for one in found.lines} == {"Attacks: linf eps=2.55/255"}
    assert [(one.measure.name, one.means) for one in found.lines] == [
        ("clean", (1, 1)),
        ("under cw", (pytest.approx(2 / 3), pytest.approx(2 / 3))),
        ("under pgd20", (pytest.approx(2 / 3), 1)),
        ("under the worst of cw, pgd20", (pytest.approx(1 / 3), pytest.approx(2 / 3))),
    ]


def test_transfer_is_no_accuracy_under_an_attack(tmp_path: Path) -> None:
    rows = [attacked(0, "clean", True), attacked(0, "pgd20", True), attacked(0, "pgd20", False, attacked_level=1)]
    folders = [written(tmp_path / name, rows, ATTACK, weights=name) for name in "ab"]
    assert line(compared(*folders), "under pgd20").means == (1, 1)


def test_levels_are_compared_together(tmp_path: Path) -> None:
    def folder(weights: str, groups: Sequence[bool]) -> Path:
        """Leaves that an attack breaks in the second of three images, and what it then does to their groups."""
        rows = [attacked(i, "clean", True, level=level) for i in range(3) for level in (0, 1)]
        rows += [attacked(i, "pgd20", i != 1) for i in range(3)]
        rows += [attacked(i, "pgd20", groups[i], level=1, attacked_level=0) for i in range(3)]
        # Attacks on groups, which are not told of, break both levels.
        rows += [attacked(i, "pgd20", False, level=level, attacked_level=1) for i in range(3) for level in (0, 1)]
        return written(tmp_path / weights, rows, ATTACK, weights)

    found = compared(folder("a", [True, True, True]), folder("b", [False, False, True]))
    together = [told for told in found.lines if told.measure.level_name == "all levels"]
    assert [told.measure.name for told in together] == ["HCA", "MTA", "HCA under pgd20", "MTA under pgd20"]
    assert [told.measure.tree for told in together] == ["t"] * 4
    assert together[0].means == (1, 1)
    assert together[2].means == pytest.approx((2 / 3, 1 / 3))
    assert together[2].differences[1].estimate == pytest.approx(-1 / 3)
    assert 2 / 3 < together[3].means[0] < 1  # right wherever a cut keeps groups
    assert 1 / 3 < together[3].means[1] < 2 / 3


def test_folders_of_one_model_make_one_column(tmp_path: Path) -> None:
    folders = [*runs(tmp_path), *(attack_folder(tmp_path / f"{w}_attacked", [True, w == "b"], weights=w) for w in "ab")]
    found = compared(*folders)
    assert found.names == ("a", "b")
    assert line(found, "under pgd20").means == (0.5, 1)
    assert line(found, "under pgd20").images == 2
    assert line(found, "smoothed accuracy").images == 4
    named = compared(*folders, names=["x", "y", "x", "y"])
    assert named.names == ("x", "y")
    assert named.lines == found.lines


def test_what_a_model_lacks_is_left_out(tmp_path: Path) -> None:
    folders = [*runs(tmp_path), attack_folder(tmp_path / "attacked", [True], weights="b")]
    found = line(compared(*folders), "under pgd20")
    assert found.means == (None, 1)
    assert found.differences == (None, None)


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / name / "certified", COUNTS[name], weights=name) for name in "ab"]
    assert compared(*folders).names == ("a/certified", "b/certified")
    twice = [folders[0], folders[1], run_folder(tmp_path / "b2", COUNTS["a"], weights="b")]
    assert compared(*twice).names == ("a/certified", "b/certified", "b2")  # of one command: not one column
    same = str((tmp_path / "b2").resolve()).removeprefix("/")
    assert compared(twice[2], twice[2]).names == (f"{same} (1)", f"{same} (2)")


def test_only_images_that_all_have_are_averaged_over(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / "a", [95, 60, 80, 99], "a"), run_folder(tmp_path / "b", [99, 90], "b")]
    found = compared(*folders)
    assert line(found, "mean certified radius").images == 2
    first = [smoothed(i, 0, count)["radius"] for i, count in enumerate([95, 60])]
    assert line(found, "mean certified radius").means[0] == pytest.approx(fmean(first))
    assert found.remarks == ("Averages of run are over the 2 images that all columns have rows of (a has 4).",)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("pictures", "q", "pictures 'p' in {a} and 'q' in {b}"),
        ("data_size", 50, "data_size 40 in {a} and 50 in {b}"),
        ("trees", [{**RUN["trees"][0], "digest": "e"}], "trees.0.digest 'd' in {a} and 'e' in {b}"),  # type: ignore[index]
        ("background", [0, 0, 0], "background.0 None in {a} and 0 in {b}"),
        ("sampling", {"noise": "grid"}, "sampling.noise None in {a} and 'grid' in {b}"),
    ],
)
def test_other_work_is_refused_by_what_differs(tmp_path: Path, name: str, value: Any, shown: str) -> None:
    folders = {w: attack_folder(tmp_path / w, [True], w, **({name: value} if w == "b" else {})) for w in "ab"}
    with pytest.raises(ValueError, match="expected folders of the same work to compare") as refused:
        compared(*folders.values())
    assert shown.format(**folders) in str(refused.value)
    assert "run certify.py attack on both models alike" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("sigma", {"sigma": 0.5}), ("alpha", {"alpha": 0.02}), ("n", {"n": 200}), ("n0", {"n0": 20})],
)
def test_other_plans_are_refused_by_rows_where_settings_are_silent(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    silent = {key: value for key, value in RUN.items() if key not in ("sigma", "alpha", "n", "n0")}
    one = written(tmp_path / "a", [smoothed(0, 0, 40)], silent, "a")
    other = written(tmp_path / "b", [smoothed(0, 0, 40, **changes, **_derived(changes))], silent, "b")
    with pytest.raises(ValueError, match=rf"same work to compare, got {name} [\d.]+ in .* and {changes[name]} in"):
        compared(one, other)


def _derived(changes: dict[str, Any]) -> dict[str, Any]:
    """What an abstaining row must say besides, to hold."""
    share = {"alpha_share": changes["alpha"] / 2} if "alpha" in changes else {}
    from hrvlm.certificates import clopper_pearson_lower

    lower = clopper_pearson_lower(40, changes.get("n", 100), share.get("alpha_share", 0.005))
    return share | {"lower": lower, "radius": 0.0, "abstain": True}


def test_another_budget_is_refused(tmp_path: Path) -> None:
    rows = [attacked(0, "clean", True, eps=0.02), attacked(0, "pgd20", True, eps=0.02)]
    folders = [attack_folder(tmp_path / "a", [True], "a"), written(tmp_path / "b", rows, ATTACK | {"eps": 0.02}, "b")]
    with pytest.raises(ValueError, match=r"got eps 0\.01 in .* and 0\.02 in"):
        compared(*folders)


def test_of_several_budgets_those_that_both_have_are_compared(tmp_path: Path) -> None:
    rows = [attacked(0, attack, True, eps=eps) for eps in (0.01, 0.02) for attack in ("clean", "pgd20")]
    several = written(tmp_path / "b", rows, ATTACK | {"eps": [0.01, 0.02]}, "b")
    found = compared(attack_folder(tmp_path / "a", [False], "a"), several)
    assert [(one.heading[-8:], one.means) for one in found.lines if one.measure.name == "under pgd20"] == [
        ("2.55/255", (0, 1)), ("=5.1/255", (None, 1)),
    ]  # fmt: skip


def test_pictures_without_labels_are_compared_by_what_is_certified_of_any_class(tmp_path: Path) -> None:
    counts = {"a": (95, 40), "b": (99, 80)}
    rows = {
        name: [smoothed(i, 0, count, label=-1, correct=False) for i, count in enumerate(counts[name])] for name in "ab"
    }
    found = compared(*(written(tmp_path / name, rows[name], RUN, name) for name in "ab"), radii=[0.1])
    assert {line.measure.name for line in found.lines} == {"certified label at 0.1", "mean radius"}
    assert line(found, "mean radius").means == tuple(fmean(row["radius"] for row in rows[name]) for name in "ab")
    assert line(found, "certified label at 0.1").means == (0.5, 1)


CLEAN = {("clean", 0.0): [True] * 4}


def test_data_sets_are_compared_that_both_have(tmp_path: Path) -> None:
    one = {"digits": CLEAN | {("pgd10", 0.01): [True, False, False, True], ("cw", 0.01): [True, True, False, True]}}
    two = {"digits": CLEAN | {("pgd10", 0.01): [True] * 4, ("pgd10", 0.02): [False] * 4}, "birds": CLEAN}
    found = compared(zero_shot_folder(tmp_path / "a", one, "a"), zero_shot_folder(tmp_path / "b", two, "b"))
    assert {line.heading for line in found.lines} == {"Zero-shot: linf"}
    assert [(line.measure.tree, line.measure.name, line.means) for line in found.lines] == [
        ("digits", "clean", (1, 1)),
        ("digits", "under cw at 2.55/255", (0.75, None)),
        ("digits", "under pgd10 at 2.55/255", (0.5, 1)),
        ("digits", "under the worst of cw, pgd10 at 2.55/255", (0.5, None)),
        ("digits", "under pgd10 at 5.1/255", (None, 0)),
        ("birds", "clean", (None, 1)),
    ]
    assert found.lines[2].differences[1] == difference_of_shares([1, 0, 0, 1], [1] * 4)


def test_other_prompts_or_pictures_of_a_data_set_are_refused(tmp_path: Path) -> None:
    one = zero_shot_folder(tmp_path / "a", {"digits": CLEAN}, "a")
    for name in ("prompts", "pictures"):
        other = zero_shot_folder(tmp_path / name, {"digits": CLEAN}, "b", **{name: "other"})
        with pytest.raises(ValueError, match=rf"got data.digits.{name} '[pq]' in .* and 'other' in"):
            compared(one, other)
    with pytest.raises(ValueError, match=r"expected a data set that several have .* \(.*a: digits; .*c: birds\)"):
        compared(one, zero_shot_folder(tmp_path / "c", {"birds": CLEAN}, "b"))


def test_images_are_counted_per_data_set(tmp_path: Path) -> None:
    """Images of two data sets have the same indices; data sets that one model has alone are none that others lack."""
    few = {("clean", 0.0): [True]}
    one = zero_shot_folder(tmp_path / "a", {"digits": few, "birds": CLEAN}, "a")
    other = zero_shot_folder(tmp_path / "b", {"digits": CLEAN, "cars": CLEAN}, "b")
    third = zero_shot_folder(tmp_path / "c", {"birds": CLEAN}, "c")
    found = compared(one, other, third)
    told = "Averages of zero-shot on digits are over the 1 images that all columns with that data set have rows of"
    assert found.remarks == (f"{told} (b has 4).",)
    means = {line.measure.tree: line.means for line in found.lines}
    assert means == {"digits": (1, 1, None), "birds": (1, None, 1), "cars": (None, 1, None)}


def test_other_pictures_are_told_by_their_number_before_any_digest(tmp_path: Path) -> None:
    other = run_folder(tmp_path / "b", [95], "b", trees=[{**RUN["trees"][0], "digest": "e"}], data_size=50)  # type: ignore[index]
    with pytest.raises(ValueError, match=r"got data_size 40 in .* and 50 in"):
        compared(run_folder(tmp_path / "a", [95], "a"), other)


def test_seeds_numbers_of_images_and_notes_may_differ(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "a", [95], "a", num_images=1, batch_size=2, seed=0, given_checkpoint="a")
    rows = [smoothed(0, 0, 95, seed=1), smoothed(0, 1, 99, seed=1)]
    other = written(tmp_path / "b", rows, RUN | {"num_images": 3, "seed": 1, "given_checkpoint": "b"}, "b")
    assert line(compared(one, other), "smoothed accuracy").means == (1, 1)


def test_what_models_were_trained_under_and_stand_behind_may_differ_but_not_whom_calibrations_are_for(
    tmp_path: Path,
) -> None:
    noise = {"sigma": 0.25, "mode": "fixed", "share": 1.0}
    plain = run_folder(tmp_path / "a", [95], "a", calibration={"digest": "d", "population": "foxes", "thresholds": []})
    given = {"denoiser": "Some 1", "training_noise": noise}
    for name, population in (("b", "foxes"), ("c", "bears")):
        run_folder(
            tmp_path / name,
            [99],
            name,
            **given,
            calibration={"digest": name, "population": population, "thresholds": []},
        )
    assert line(compared(plain, tmp_path / "b"), "smoothed accuracy").means == (1, 1)
    with pytest.raises(ValueError, match=r"got population 'foxes' in .* and 'bears' in"):
        compared(plain, tmp_path / "c")


def test_other_labels_of_the_same_image_are_other_pictures(tmp_path: Path) -> None:
    rows = [attacked(0, "clean", False, label=2, prediction=0), attacked(0, "pgd20", False, label=2, prediction=0)]
    changed = [row | {"attacked": False, "clean_correct": False} for row in rows]
    folders = [attack_folder(tmp_path / "a", [True], "a"), written(tmp_path / "b", changed, ATTACK, "b")]
    with pytest.raises(ValueError, match=r"expected the same pictures, got label 1 for image 0 in .* and 2 in"):
        compared(*folders)


def test_images_must_be_shared(tmp_path: Path) -> None:
    other = written(tmp_path / "b", [smoothed(7, 0, 95), smoothed(7, 1, 99)], RUN, "b")
    with pytest.raises(ValueError, match=r"expected images that all have rows of, got none in .*: choose the same num"):
        compared(run_folder(tmp_path / "a", [95], "a"), other)


def test_rows_that_do_not_hold_are_not_compared(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "a", [95, 80])
    rows = (folder / "certificates.jsonl").read_text().splitlines()
    wrong = json.loads(rows[0])
    wrong["radius"] *= 2
    (folder / "certificates.jsonl").write_text("\n".join([json.dumps(wrong), *rows[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"expected rows that hold in .*radius.*certify.py verify tells of all"):
        read_results(folder)


def test_a_comparison_needs_two_models_with_something_in_common(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "a", [95], "a")
    with pytest.raises(ValueError, match="expected two models or more to compare, got 1"):
        compared(one)
    with pytest.raises(ValueError, match="expected two models or more to compare, got 1"):
        compared(one, attack_folder(tmp_path / "c", [True], "a"))
    with pytest.raises(ValueError, match="expected results of a that another model has too, got none"):
        compared(one, attack_folder(tmp_path / "b", [True], "b"))
    with pytest.raises(ValueError, match=r"expected the rows of a run in .*, found none"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x"], "expected a name for each of 2 folders, got 1: x"),
        (["x", " "], "expected a name for each of 2 folders, got 2"),
        (["x", "x"], "expected folders of one model and of different commands under the name 'x', got two of run"),
    ],
)
def test_names_fit_the_folders(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compared(*runs(tmp_path), names=names)


def test_ways_to_decode_levels_are_models_of_their_own(tmp_path: Path) -> None:
    kinds: dict[str, dict[str, Any]] = {"plain": {}, "path": {"decoding": "path"}}
    folders = [run_folder(tmp_path / f"{name}_run", COUNTS["a"], "w", **given) for name, given in kinds.items()]
    folders += [attack_folder(tmp_path / f"{n}_attack", [n == "path"], "w", **kinds[n]) for n in ("path", "plain")]
    found = compared(*folders)
    assert found.names == ("plain_run", "path_run")
    assert line(found, "under pgd20").means == (0, 1)
    with pytest.raises(ValueError, match="got of different weights or decoding"):
        compared(folders[0], folders[2], names=["x", "x"])


def test_one_name_is_of_one_model(tmp_path: Path) -> None:
    folders = [run_folder(tmp_path / "a", [95], "a"), attack_folder(tmp_path / "b", [True], "b")]
    with pytest.raises(ValueError, match="under the name 'x', got of different weights"):
        compared(*folders, names=["x", "x"])


def test_radii_are_not_negative(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected radii >= 0, got \[-0\.1\]"):
        compared(*runs(tmp_path), radii=[-0.1])
