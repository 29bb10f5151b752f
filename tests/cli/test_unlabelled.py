"""Pictures without labels: claims about the prediction, empty accuracies, a sentence where labels are needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hrvlm.cli.certify import main
from hrvlm.reports.exporting import read_parquet, read_tsv

CLASSES = "ant, bee, cat, dog, elm, fir, gem, hat"
PLAN = {
    "num_images": 3, "n0": 8, "n": 30, "alpha": 0.2, "sigma": 0.002, "batch_size": 64, "radii": [0.0, 0.001],
    "attributes": [{"name": "dark", "target": "a dark picture of a {}"}], "joint": True, "profile": {},
    "joint_questions": {"radii": [0.0], "extents": [0.0], "steps": 4},
}  # fmt: skip


def run(output: Path, *words: str, plan: dict[str, Any] | None = None) -> Path:
    config = output.parent / f"{output.name}.json"
    config.write_text(json.dumps({"plan": PLAN | (plan or {})}))
    main(["run", "--config", str(config), "--output", str(output), *words])
    return output


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "certificates.jsonl").read_text().splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def bare(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures in one folder, in the same order."""
    folder = tmp_path_factory.mktemp("bare")
    for path in sorted(pictures.glob("*/*.png")):
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    return folder


@pytest.fixture(scope="module")
def words(tiny_model: Path, tree_file: Path) -> list[str]:
    return ["--checkpoint", str(tiny_model), "--classes", CLASSES, "--trees", f"[{tree_file}]"]


@pytest.fixture(scope="module")
def known(pictures: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("known") / "run", "--data", str(pictures), *words)


@pytest.fixture(scope="module")
def unknown(bare: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("unknown") / "run", "--data", str(bare), *words)


def test_smoothed_predictions_are_those_of_labelled_pictures(known: Path, unknown: Path) -> None:
    """Labels play no part in what is counted: only label, correct and the nodes of the label differ."""
    free = ("label", "correct", "labels")
    pairs = [
        (one, other) for one, other in zip(rows(known), rows(unknown), strict=True)
        if one["kind"] in ("smoothing", "profile")
    ]  # fmt: skip
    assert len(pairs) == 9
    for one, other in pairs:
        assert {k: v for k, v in one.items() if k not in free} == {k: v for k, v in other.items() if k not in free}
        assert other["label"] is None
        assert other["correct"] is None
        assert set(other.get("labels", [-1])) == {-1}


def test_prompts_name_the_predicted_class(unknown: Path, known: Path) -> None:
    names = CLASSES.split(", ")
    found = [row for row in rows(unknown) if row["kind"] in ("semantic", "joint")]
    assert {row["named_by"] for row in found} == {"prediction"}
    leaves = {row["index"]: row["prediction"] for row in found if row["kind"] == "semantic" and row["level"] == 0}
    assert {row["source_prompt"] for row in found if row["index"] == 0} == {f"a picture of a {names[leaves[0]]}"}
    for row in found:
        assert row["target_prompt"] == f"a dark picture of a {names[leaves[row['index']]]}"
    assert not any("named_by" in row for row in rows(known))


def test_rows_without_labels_verify(unknown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(unknown), "--expect", "3"])
    assert "0 that do not hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"correct": True}, "expected label, correct to be null together, got label alone"),
        ({"label": 1}, "expected label, correct to be null together, got correct alone"),
        ({"label": 1, "correct": False}, "another row of the image says"),
        ({"named_by": "label"}, "prompts named by the label of an image that has no label"),
    ],
)
def test_altered_rows_do_not_verify(
    unknown: Path, change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(unknown)
    place = next(i for i, row in enumerate(found) if row["kind"] == "semantic" and row["level"] == 0)
    found[place] |= change
    (tmp_path / "certificates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    with pytest.raises(SystemExit):
        main(["verify", str(tmp_path / "certificates.jsonl")])
    assert said in capsys.readouterr().out


def test_accuracies_of_nothing_are_empty(unknown: Path, known: Path) -> None:
    told, other = summary(unknown), summary(known)
    for level in told["smoothing"]["kinds"].values():
        assert level["smoothed_accuracy"] is None
        assert level["average_certified_radius"] is None
        assert set(level["certified_accuracy"].values()) == {None}
        assert level["labelled_images"] == 0
        certified = [row["radius"] for row in rows(unknown) if row["kind"] == "smoothing" and not row["abstain"]]
        assert certified
    leaves = [row for row in rows(unknown) if row["kind"] == "smoothing" and row["level"] == 0]
    share = sum(not row["abstain"] for row in leaves) / 3
    assert told["smoothing"]["kinds"]["0"]["certified_share"]["0.0"] == pytest.approx(share)
    mean = sum(row["radius"] for row in leaves) / 3
    assert told["smoothing"]["kinds"]["0"]["average_radius"] == pytest.approx(mean)
    semantic = told["semantic"]["kinds"]["0"]["dark"]["cosine"]["text"]
    assert semantic["accuracy"] is None
    assert semantic["mean_invariance_of_correct"] is None
    assert told["profile"]["kinds"]["levels"]["0"]["accuracy"] is None
    assert told["profile"]["kinds"]["deepest"] == other["profile"]["kinds"]["deepest"]
    joint = told["joint"]["kinds"]["0"]["dark"]["cosine"]["at_radii"]["0.0"]
    assert joint["certified_accuracy"] is None
    assert 0 <= joint["certified_share"] <= 1
    assert "labelled_images" not in other["smoothing"]["kinds"]["0"]


def test_the_terminal_and_the_page_say_so(
    bare: Path, words: list[str], unknown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(unknown, "--data", str(bare), *words)
    out = " ".join(capsys.readouterr().out.split())
    assert "share certified, whatever the class, in percent at L2 radii" in out
    page = (unknown / "report.html").read_text()
    assert "3 of 3 images have no label" in page
    assert "Their prompts name the class that is predicted at the leaves" in page
    assert '"label":[-1,-1,-1]' in page
    assert '"-1":' not in page  # which has no name
    main(["report", str(unknown)])
    assert "without pictures" not in capsys.readouterr().out


def test_exports_leave_cells_empty(unknown: Path, known: Path) -> None:
    for folder in (unknown, known):
        main(["export", str(folder), "--to", "tsv"])
        main(["export", str(folder), "--to", "parquet"])
        for kind in ("smoothing", "semantic", "joint", "profile"):
            assert read_parquet(folder / f"{kind}.parquet") == [row for row in rows(folder) if row["kind"] == kind]
    lines = read_tsv((unknown / "smoothing.kinds.0.tsv").read_text())
    assert [(line["label"], line["correct"]) for line in lines] == [(None, None)] * 3
    labelled = read_tsv((known / "smoothing.kinds.0.tsv").read_text())
    assert [line["predict"] for line in lines] == [line["predict"] for line in labelled]


def test_a_manifest_with_some_labels_averages_over_those(
    bare: Path, words: list[str], known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(bare.glob("*.png"))
    labels = [file.name.partition("-")[0] if place % 2 == 0 else "" for place, file in enumerate(files)]
    lines = [f"{file},{label}" for file, label in zip(files, labels, strict=True)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    folder = run(
        tmp_path / "run", "--data", str(tmp_path / "list.csv"), *words, plan={"semantic": False, "joint": False}
    )
    main(["verify", str(folder)])
    told = summary(folder)["smoothing"]["kinds"]["0"]
    found = [row for row in rows(folder) if row["kind"] == "smoothing" and row["level"] == 0]
    labelled = [row for row in rows(known) if row["kind"] == "smoothing" and row["level"] == 0]
    assert [row["index"] for row in found if row["label"] is not None] == [0, 10]
    assert told["labelled_images"] == 2
    assert told["smoothed_accuracy"] == sum(row["correct"] for row in labelled[:2]) / 2
    capsys.readouterr()


def test_attacks_need_labels(bare: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["attack", "--output", str(tmp_path / "run"), "--data", str(bare), *words])
    said = capsys.readouterr().err
    assert "got none for 32 of 32: attacks are judged by whether the label is still found" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_bare_pictures_need_classes_or_trees(
    bare: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path / "run", "--data", str(bare), "--checkpoint", str(tiny_model))
    assert "expected classes, since the pictures of" in capsys.readouterr().err
