"""Tests of `certify.py recertify`: features kept by a run, scored again by its own prompts and by others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_runs import command_line
from sweeps import sweep

from hrvlm.cli.certify import main

ROWS = "certificates.jsonl"
PLAN = {
    "num_images": 4, "sigma": 0.02, "n0": 8, "n": 40, "alpha": 0.05, "radii": [0.0, 0.02], "batch_size": 64,
    "profile": {"radii": [0.01]}, "attributes": [{"name": "dark", "target": "a dark picture of a {}"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def command(tiny_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    folder = tmp_path_factory.mktemp("recertify")

    def run(name: str, output: Path, features: Path, *more: str) -> Path:
        line = command_line(name, tiny_model, pictures=pictures, tree=tree_file, plan=PLAN, folder=folder)
        main(line(output, "--features", str(features), *more))
        return output / ROWS

    return run


@pytest.fixture(scope="module")
def kept(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("kept")
    return command("run", folder / "run", folder / "features"), folder / "features"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_same_prompts_give_the_same_file(
    kept: tuple[Path, Path], command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    direct, features = kept
    assert command("recertify", tmp_path, features).read_bytes() == direct.read_bytes()
    shown = capsys.readouterr().out
    assert "Hierarchical profile" in shown
    assert "alpha does not cover" not in shown
    main(["verify", str(tmp_path)])
    rows = read(direct)
    assert {row["kind"] for row in rows} == {"smoothing", "semantic", "profile"}
    assert json.loads((tmp_path / "summary.json").read_text())["profile"]["kinds"]["budget"] == "fixed radii"


@pytest.mark.slow
def test_other_prompts_are_marked_as_chosen_after_looking_unless_declared(
    kept: tuple[Path, Path], command: Callable, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(tree_file.read_text(encoding="utf-8").replace("name: kinds", "name: others"), encoding="utf-8")
    asked = ["--trees", f"[{other}]", "--plan.sampling.label_functions", "2"]
    for folder, more, chosen in [("a", ["--chosen", "before"], "before"), ("b", [], "before")]:
        path = command("recertify", tmp_path / folder, kept[1], *asked, *more)
        rows = read(path)
        found = {(r["functions_chosen"], r["label_functions"]) for r in rows if r["kind"] != "semantic"}
        assert found == {(chosen, 2)}
    capsys.readouterr()
    third = tmp_path / "third.yaml"
    third.write_text(tree_file.read_text(encoding="utf-8").replace("name: kinds", "name: third"), encoding="utf-8")
    path = command("recertify", tmp_path / "c", kept[1], "--trees", f"[{third}]")
    rows = read(path)
    assert {r["functions_chosen"] for r in rows if r["kind"] != "semantic"} == {"after"}
    assert "alpha does not cover these rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "late"),
    [
        (["--plan.profile", "{radii: [0.01]}"], set()),
        (["--plan.profile", "{radii: [0.02]}"], {"profile"}),
        (["--plan.profile", "{radii: []}"], {"profile"}),
        (["--plan.profile", "{radii: [0.02]}", "--chosen", "before"], set()),
        (["--plan.alpha", "0.1"], {"smoothing", "profile"}),
        (["--plan.sampling.procedure", "two bounds"], {"smoothing", "profile"}),
        (["--plan.sampling.threshold", "0.6"], {"smoothing", "profile"}),
    ],
)
def test_profile_radii_procedure_and_alpha_picked_after_results_count_as_after(
    more: list[str],
    late: set[str],
    kept: tuple[Path, Path],
    command: Callable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    features = shutil.copytree(kept[1], tmp_path / "features")
    rows = read(command("recertify", tmp_path / "again", features, *more))
    counted = [row for row in rows if row["kind"] != "semantic"]
    assert {row["kind"] for row in counted} == {"smoothing", "profile"}
    assert {row["kind"] for row in counted if row["functions_chosen"] == "after"} == late
    assert ("alpha does not cover" in capsys.readouterr().out) == bool(late)
    main(["verify", str(tmp_path / "again")])


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--plan.sigma", "0.03"], "sigma=0.02"),
        (["--plan.n", "30"], "n=40"),
        (["--plan.seed", "1"], "seed=0"),
        (["--plan.sampling.noise", "grid"], "noise='float32'"),
    ],
)
def test_other_noise_is_refused(
    more: list[str],
    named: str,
    kept: tuple[Path, Path],
    command: Callable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command("recertify", tmp_path, kept[1], *more)
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("size", sweep([0, 700], quick=[700]))
def test_damaged_features_are_named_and_a_run_makes_them_again(
    size: int, kept: tuple[Path, Path], command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = shutil.copytree(kept[1], tmp_path / "features")
    run = shutil.copytree(kept[0].parent, tmp_path / "run")
    damaged = sorted(features.rglob("00000.safetensors"))[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:size])
    with pytest.raises(SystemExit):
        command("recertify", tmp_path / "refused", features)
    assert f"expected whole features at {damaged}, got a damaged file" in capsys.readouterr().err
    assert command("run", run, features).read_bytes() == kept[0].read_bytes()
    assert damaged.read_bytes() == whole
    assert command("recertify", tmp_path / "again", features).read_bytes() == kept[0].read_bytes()


def test_features_are_not_kept_of_adaptive_runs(
    command: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adaptive = ["--plan.sampling.procedure", "adaptive", "--plan.sampling.goal", "0.01", "--plan.profile", "null"]
    with pytest.raises(SystemExit):
        command("run", tmp_path / "run", tmp_path / "features", *adaptive)
    assert "fixed number of samples" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command("recertify", tmp_path / "again", tmp_path / "none")
    assert "found no store.json" in capsys.readouterr().err


def test_a_run_with_other_prompts_is_sent_to_rescore(
    kept: tuple[Path, Path],
    command: Callable,
    tree_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(tree_file.read_text(encoding="utf-8").replace("name: kinds", "name: fourth"), encoding="utf-8")
    with pytest.raises(SystemExit):
        command("run", tmp_path / "run", kept[1], "--trees", f"[{other}]")
    assert "certify.py recertify" in capsys.readouterr().err
