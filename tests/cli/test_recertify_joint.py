"""Joint certificates through `certify.py run --features` and `recertify`: same counts, new planes, alpha, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_runs import command_line

from hrvlm.cli.certify import main

ROWS = "certificates.jsonl"
DARK = {"name": "dark", "target": "a dark picture of a {}"}
PLAN = {
    "num_images": 3, "semantic": False, "joint": True, "sigma": 0.05, "n0": 8, "n": 60, "alpha": 0.1, "radii": [0.0],
    "batch_size": 32, "attributes": [DARK], "joint_questions": {"radii": [0.01], "extents": [0.2], "steps": 32},
}  # fmt: skip


@pytest.fixture(scope="module")
def command(tiny_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    def run(name: str, output: Path, features: Path, *more: str, **plan: Any) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("config")
        line = command_line(name, tiny_model, pictures=pictures, tree=tree_file, plan=PLAN | plan, folder=folder)
        main(line(output, "--features", str(features), *more))
        return [json.loads(line) for line in (output / ROWS).read_text(encoding="utf-8").splitlines()]

    return run


@pytest.fixture(scope="module")
def kept(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    folder = tmp_path_factory.mktemp("kept")
    return command("run", folder / "run", folder / "features"), folder / "features"


def chosen(rows: list[dict[str, Any]], kind: str) -> set[tuple[str, int]]:
    return {(row["functions_chosen"], row["label_functions"]) for row in rows if row["kind"] == kind}


def test_the_same_plan_gives_the_same_claims(
    kept: tuple[list[dict[str, Any]], Path], command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    direct, features = kept
    rows = command("recertify", tmp_path, features)
    assert "alpha does not cover" not in capsys.readouterr().out
    assert [row for row in rows if row["kind"] == "smoothing"] == [row for row in direct if row["kind"] == "smoothing"]
    pairs = [(a, b) for a, b in zip(rows, direct, strict=True) if a["kind"] == "joint"]
    assert pairs
    for ours, theirs in pairs:
        assert abs(ours["count"] - theirs["count"]) <= 1  # rounding: kept features come of batches that mix images
        same = set(ours) - {"count", "selection_count", "histogram", "at_radii", "at_extents"}
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert chosen(rows, "joint") == {("before", 1)}
    main(["verify", str(tmp_path)])
    assert "0 that do not hold" in capsys.readouterr().out


def test_a_plane_chosen_after_looking_marks_joint_rows_alone(
    kept: tuple[list[dict[str, Any]], Path], command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = {"attributes": [{"name": "dark", "target": "a very dark picture of a {}"}]}
    late = command("recertify", tmp_path / "late", kept[1], **plane)
    assert (chosen(late, "joint"), chosen(late, "smoothing")) == ({("after", 1)}, {("before", 1)})
    assert {row["target_prompt"][:11] for row in late if row["kind"] == "joint"} == {"a very dark"}
    assert "alpha does not cover these rows (joint)" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        command("recertify", tmp_path / "lie", kept[1], "--chosen", "before", **plane)
    assert "scored on these features as chosen after looking" in " ".join(capsys.readouterr().err.split())
    other, shared = {"attributes": [{"name": "dim", "target": "a dim {}"}]}, "--plan.sampling.label_functions=2"
    early = command("recertify", tmp_path / "early", kept[1], "--chosen", "before", shared, **other, smoothing=False)
    assert chosen(early, "joint") == {("before", 2)}
    assert {row["kind"] for row in early} == {"joint"}
    assert "2 label functions of one alpha have been scored" in " ".join(capsys.readouterr().out.split())
    for row in early:
        assert row["alpha_share"] == 0.1 / (row["num_statements"] * 2)
    main(["verify", str(tmp_path / "early")])
    with pytest.raises(SystemExit):
        command("run", tmp_path / "run", kept[1], attributes=[{"name": "pale", "target": "a pale {}"}])
    assert "certify.py recertify" in capsys.readouterr().err


def test_too_few_draws_are_refused_before_anything_is_noted(
    command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sampling = "--plan.sampling.procedure=shared"
    command("run", tmp_path / "run", tmp_path / "features", sampling, joint=False)
    noted = (tmp_path / "features" / "functions.jsonl").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        command("recertify", tmp_path / "again", tmp_path / "features", sampling)
    said = " ".join(capsys.readouterr().err.split())
    assert "at least 68 draws of each image for joint certificates with n0=8 and n=60, got 60 in" in said
    assert (tmp_path / "features" / "functions.jsonl").read_text(encoding="utf-8") == noted
