"""`certify.py compare`: an untrained model, a fine-tuned one and TeCoA's, certified and attacked alike."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from command_runs import command_line

from hrvlm.attacks.records import own_level
from hrvlm.certificates import read_rows
from hrvlm.cli.certify import main
from hrvlm.evaluation.paired import difference_of_shares
from hrvlm.reports.comparison import FORMS

pytestmark = pytest.mark.slow
ATTACK = {"attacks": ["pgd2", "margin2"], "threat_model": {"eps": 0.01}, "num_images": 12, "batch_size": 4}
MODELS = ("plain", "tuned", "tecoa")
TECOA = {"class_path": "hrvlm.objectives.TeCoAObjective"}


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    small_plan: dict[str, Any],
    finished: Any,
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
) -> dict[str, Path]:
    """Results of `run` and `attack` of three models, by model and command, and of an attack with another budget."""
    folder = tmp_path_factory.mktemp("compared")
    chosen = make_settings(folder)
    chosen["trainer"] |= {"max_epochs": 1, "callbacks": chosen["trainer"]["callbacks"][2:3]}
    chosen["model"]["init_args"]["objective"] = TECOA
    tecoa = next((run_train(folder, chosen) / "checkpoints").glob("*.ckpt"))
    checkpoints = dict(zip(MODELS, (tiny_model, finished.checkpoint(1), tecoa), strict=True))
    for name, checkpoint in checkpoints.items():
        for command, plan in (("run", small_plan), ("attack", ATTACK)):
            given: dict[str, Any] = {"pictures": pictures, "tree": tree_file, "plan": plan, "folder": folder}
            main(command_line(command, checkpoint, **given)(folder / f"{name}_{command}"))
    other = {**ATTACK, "threat_model": {"eps": 0.02}}
    given = {"pictures": pictures, "tree": tree_file, "plan": other, "folder": folder}
    main(command_line("attack", tiny_model, **given)(folder / "stronger"))
    return {path.name: path for path in folder.iterdir() if (path / "settings.json").exists()}


def test_three_models_make_one_table_with_intervals(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    parts = [str(folders[f"{name}_{command}"]) for command in ("run", "attack") for name in MODELS]
    line = ["compare", *parts, "--names", *MODELS, *MODELS, "--radii", "0", "0.02", "--output", str(tmp_path / "out")]
    main([*line, "--html", str(tmp_path / "page.html")])
    said = capsys.readouterr().out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count('data-name="tecoa" data-x="0 0.02"') >= 2  # a curve at each level
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"comparison.{form}" for form in FORMS}
    for words in ("Attacks: linf eps=2.55/255", "Smoothing", "Semantic extent", "Newcombe's"):
        assert words in said
    assert said.index("Attacks:") < said.index("Smoothing") < said.index("Semantic extent")
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    measures = {line["measure"] for line in lines}
    assert {"clean", "under pgd2", "under margin2", "under the worst of margin2, pgd2", "certified at 0.02"} <= measures
    assert any(measure.startswith("invariant share, dark") for measure in measures)
    shares = [line for line in lines if line["unit"] == "right" and line["difference"]]
    assert len(shares) > 20
    assert all(line["low"] and line["high"] and line["p_value"] for line in shares)
    assert {line["level_name"] for line in lines} == {"leaf", "level 1", "all levels"}
    check_attacks(lines, folders)


def check_attacks(lines: list[dict[str, str]], folders: dict[str, Path]) -> None:
    """The accuracies under PGD, and the differences, are those of the rows."""
    right: dict[str, dict[int, bool]] = {}
    for name in MODELS:
        rows = read_rows(folders[f"{name}_attack"] / "robustness.jsonl")
        chosen = [row for row in rows if row["attack"] == "pgd2" and row["level"] == 1 and own_level(row)]
        right[name] = {row["index"]: row["correct"] for row in chosen}
        assert len(right[name]) == 12
    told = [line for line in lines if (line["measure"], line["level"]) == ("under pgd2", "1")]
    assert [(line["model"], float(line["mean"])) for line in told] == [(n, fmean(right[n].values())) for n in MODELS]
    known = difference_of_shares(list(right["plain"].values()), list(right["tecoa"].values()))
    assert [float(told[2][name]) for name in ("difference", "low", "high")] == [known.estimate, known.low, known.high]


def test_folders_of_one_model_are_found_by_its_weights(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [str(folders[f"{name}_{command}"]) for name in MODELS[:2] for command in ("run", "attack")]
    main(["compare", *parts, "--to", "csv", "--output", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.csv"]
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        assert {line["model"] for line in csv.DictReader(file)} == {"plain_run", "tuned_run"}
    assert str(tmp_path / "comparison.csv") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plain_attack", "stronger"], "got eps 0.01 in {plain_attack} and 0.02 in {stronger}"),
        (["plain_run"], "expected two models or more to compare, got 1"),
        (["plain_run", "tuned_run", "--to", "csv"], "expected --output, a folder for the files that --to csv asks for"),
        (
            ["plain_run", "tuned_run", "--to", "pdf", "--output", "x"],
            "expected --to of csv, md, tex, html, with commas",
        ),
        (["plain_run", "tuned_run", "--names", "a"], "expected a name for each of 2 folders, got 1: a"),
        (["plain_run", "tuned_run", "--confidence", "95"], "expected a confidence in (0, 1), got 95"),
        (["plain_run", "nowhere"], "expected the rows of a run in nowhere, found none"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_sentence(
    folders: dict[str, Path], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *(str(folders.get(word, word)) for word in words)])
    said = capsys.readouterr()
    assert stopped.value.code == 1
    assert message.format(**folders) in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


def test_training_runs_are_compared_as_they_lie(
    folders: dict[str, Path], finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(finished.folder, twin)
    main(["compare", str(finished.folder), str(twin), "--radii", "0", "--to", "csv", "--output", str(tmp_path)])
    said = " ".join(capsys.readouterr().out.split())
    assert "Nothing is noted beside the rows of attack of version_0, twin" in said
    assert "Other epochs of version_0, twin met the same noise" in said
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = read_rows(finished.folder / "robustness" / "after.rank=0.jsonl")
    right = [row["correct"] for row in rows if row["attack"] == "pgd2" and row["level"] == 1 and own_level(row)]
    told = [line for line in lines if (line["measure"], line["level"]) == ("under pgd2", "1")]
    assert [float(line["mean"]) for line in told] == [fmean(right)] * 2
    rows = read_rows(finished.folder / "certificates" / "epoch=001" / "rank=0.jsonl")
    radii = [row["radius"] * row["correct"] for row in rows if row["kind"] == "smoothing" and row["level"] == 1]
    told = [line for line in lines if (line["measure"], line["level"]) == ("mean certified radius", "1")]
    assert [float(line["mean"]) for line in told] == pytest.approx([fmean(radii)] * 2)
    assert all(float(line["difference"] or 0) == 0 for line in lines)
    # The same model certified by the same plan, epochs aside:
    main(["compare", str(finished.folder), str(folders["tuned_run"]), "--to", "csv", "--output", str(tmp_path)])
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        differences = {float(line["difference"]) for line in csv.DictReader(file) if line["difference"]}
    assert differences == {0.0}


def test_settings_need_not_be_there(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of folders without settings are compared by what they say themselves."""
    for name in MODELS[:2]:
        (tmp_path / name).mkdir()
        rows = (folders[f"{name}_attack"] / "robustness.jsonl").read_text(encoding="utf-8")
        (tmp_path / name / "robustness.jsonl").write_text(rows, encoding="utf-8")
    main(["compare", str(tmp_path / "plain"), str(tmp_path / "tuned"), "--to", "csv", "--output", str(tmp_path)])
    assert "Attacks: linf eps=2.55/255" in capsys.readouterr().out
    assert json.loads((folders["plain_attack"] / "settings.json").read_text())["eps"] == 0.01
