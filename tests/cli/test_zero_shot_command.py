"""`certify.py zero-shot`: rows, intervals, resuming, attacks added, what other commands make of it, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from sweeps import sweep

from hrvlm.attacks import AttackSettings, ThreatModel, attack
from hrvlm.cli.certify import main
from hrvlm.data import open_images
from hrvlm.data.folder import FolderDataset
from hrvlm.data.items import images_and_labels
from hrvlm.evaluation.image_files import read_paths_of_several
from hrvlm.evaluation.robustness import share_of_batches
from hrvlm.evaluation.zero_shot.predictions import Effort, count_passes, evaluate_zero_shot
from hrvlm.evaluation.zero_shot.records import zero_shot_order
from hrvlm.evaluation.zero_shot.summary import summarise_zero_shot
from hrvlm.models import export_model, load
from hrvlm.models.zero_shot import ZeroShotClassifier
from hrvlm.reports.exporting import read_parquet

CLASSES = ["ant", "bee", "cat", "dog", "elm", "fir", "gem", "hat"]
ROWS = "zero_shot.jsonl"
BUDGETS = (0.004, 0.02)
TEMPLATE = "a picture of a {}"
QUICK = ["--settings.apgd_steps", "2", "--settings.max_targets", "2"]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose weights are large enough for pictures to matter."""
    loaded = load(tiny_model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in loaded.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return export_model(loaded.model, tmp_path_factory.mktemp("model"))


def classifier_of(model: Path) -> ZeroShotClassifier:
    loaded = load(model)
    return ZeroShotClassifier(loaded.model, loaded.head, CLASSES, [TEMPLATE])


@pytest.fixture(scope="module")
def photos(model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders in which the model finds two thirds of the pictures; two sets of them."""
    data, classifier = FolderDataset(pictures, image_size=32), classifier_of(model)
    folder = tmp_path_factory.mktemp("photos")
    images, _ = images_and_labels(data, range(len(data)))
    with torch.no_grad():
        found = classifier(images).argmax(dim=1).tolist()
    files = sorted(pictures.rglob("*.png"))
    for number, (file, label) in enumerate(zip(files, found, strict=True)):
        name = CLASSES[label if number % 3 else (label + 1) % 8]
        place = folder / ("first" if number < 20 else "second") / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def zero_shot(model: Path, photos: Path) -> Callable[..., Path]:
    def run(output: Path, *more: str, data: tuple[str, ...] = ("first", "second")) -> Path:
        sources = [str(photos / name) for name in data]
        common = ["--image_size", "32", "--classes", ", ".join(CLASSES), "--templates", TEMPLATE, "--batch_size", "8"]
        main(
            [
                "zero-shot",
                "--checkpoint",
                str(model),
                "--data",
                *sources,
                *common,
                *QUICK,
                "--output",
                str(output),
                *more,
            ]
        )
        return output

    return run


ATTACKED = ["--attacks", "clean", "pgd3", "apgd", "--eps", "0.004", "1/50"]


@pytest.fixture(scope="module")
def evaluated(zero_shot: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zero_shot(tmp_path_factory.mktemp("evaluated"), *ATTACKED)


def rows_of(folder: Path) -> list[Row]:
    return [json.loads(line) for line in lines(folder)]


def lines(folder: Path) -> list[str]:
    return (folder / ROWS).read_text(encoding="utf-8").splitlines()


def test_rows_are_what_classifier_and_attacks_say(evaluated: Path, model: Path, photos: Path) -> None:
    rows, classifier = rows_of(evaluated), classifier_of(model)
    assert len(rows) == 32 * (1 + 2 * 2)
    for name, size in (("first", 20), ("second", 12)):
        images = open_images(str(photos / name), image_size=32)
        assert len(images) == size
        pixels, folders = images_and_labels(images, range(size))
        labels = torch.tensor([CLASSES.index((images.class_ids or [])[label]) for label in folders.tolist()])
        told = {(row["attack"], row["eps"], row["index"]): row for row in rows if row["data"] == name}
        for start in range(0, size, 8):
            some = range(start, min(start + 8, size))
            batch, right = pixels[start : start + 8], labels[start : start + 8]
            with torch.no_grad():
                clean = classifier(batch).argmax(dim=1)
            assert [told["clean", 0.0, index]["prediction"] for index in some] == clean.tolist()
            assert [told["clean", 0.0, index]["label"] for index in some] == right.tolist()
            for attacks, eps in ((attacks, eps) for attacks in ("pgd3", "apgd") for eps in BUDGETS):
                settings = AttackSettings(apgd_steps=2, max_targets=2)
                outcome = attack(classifier, batch, right, ThreatModel(eps=eps), attacks, settings)
                with torch.no_grad():
                    found = classifier(outcome.images).argmax(dim=1)
                expected = torch.where(clean == right, found, clean).tolist()
                assert [told[attacks, eps, index]["prediction"] for index in some] == expected
    assert all(row["correct"] == (row["label"] == row["prediction"]) for row in rows)
    by_attack = [{row["correct"] for row in rows if row["attack"] == name} for name in ("clean", "pgd3", "apgd")]
    assert by_attack == [{True, False}] * 3
    assert {row["head"] for row in rows} == {"cosine"}
    assert rows == sorted(rows, key=zero_shot_order)


def test_summary_has_exact_intervals_and_macro_accuracy(evaluated: Path) -> None:
    rows, summary = rows_of(evaluated), json.loads((evaluated / "summary.json").read_text())
    assert summary == summarise_zero_shot(rows)
    for entry in summary["data"]:
        for result in entry["results"]:
            exact = binomtest(result["correct"], result["images"]).proportion_ci(0.95, method="exact")
            assert (result["lower"], result["upper"]) == pytest.approx((exact.low, exact.high), abs=1e-9)
            group = [row for row in rows if row["data"] == entry["data"] and row["eps"] == result["eps"]]
            group = [row for row in group if result["attack"] in (row["attack"], "worst case")]
            wrong = {row["index"] for row in group if not row["correct"]}
            right = {row["index"]: row["label"] for row in group if row["index"] not in wrong}
            labels = {row["index"]: row["label"] for row in group}
            shares = [
                sum(label == one for label in right.values()) / sum(label == one for label in labels.values())
                for one in set(labels.values())
            ]
            assert (result["correct"], result["images"]) == (len(right), len(labels))
            assert result["macro_accuracy"] == pytest.approx(sum(shares) / len(shares))
    (mean,) = [result for result in summary["mean"] if result["attack"] == "clean"]
    clean = [entry["results"][0]["accuracy"] for entry in summary["data"]]
    assert (mean["accuracy"], mean["data"]) == (pytest.approx(sum(clean) / 2), 2)
    assert {result["attack"] for result in summary["data"][0]["results"]} == {"clean", "pgd3", "apgd", "worst case"}


@pytest.mark.parametrize("share", sweep([0.05, 0.7], quick=[0.7]))
def test_a_killed_run_goes_on_to_the_same_rows(
    share: float, evaluated: Path, zero_shot: Callable[..., Path], tmp_path: Path
) -> None:
    whole = (evaluated / ROWS).read_bytes()
    shutil.copy(evaluated / "settings.json", tmp_path)
    (tmp_path / ROWS).write_bytes(whole[: whole.index(b"\n", int(share * len(whole))) - 20])
    zero_shot(tmp_path, *ATTACKED)
    assert (tmp_path / ROWS).read_bytes() == whole


@pytest.mark.slow
def test_attacks_and_budgets_may_be_added_and_workers_change_nothing(
    evaluated: Path, zero_shot: Callable[..., Path], tmp_path: Path
) -> None:
    zero_shot(tmp_path)
    assert lines(tmp_path) == [line for line in lines(evaluated) if '"clean"' in line]
    zero_shot(tmp_path, "--attacks", "pgd3", "--eps", "0.02", "--num_workers", "1")
    zero_shot(tmp_path, *ATTACKED)
    assert lines(tmp_path) == lines(evaluated)


@pytest.mark.slow
def test_other_attacks_after_a_stop_leave_the_begun_one_unfinished_and_nothing_wrong(
    evaluated: Path, zero_shot: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = [line for line in lines(evaluated) if '"pgd3"' in line][:3]
    shutil.copy(evaluated / "settings.json", tmp_path)
    parts = tmp_path / "zero_shot.parts"
    parts.mkdir()
    (parts / "rank=0.jsonl").write_text("".join(line + "\n" for line in begun))
    zero_shot(tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "images alone, to be finished: pgd3 1.02/255 on first." in shown
    main(["verify", str(tmp_path)])
    assert "0 that do not hold" in capsys.readouterr().out
    main(["report", str(tmp_path)])
    assert "to be finished: pgd3" in (tmp_path / "report.html").read_text()
    zero_shot(tmp_path, *ATTACKED)
    assert lines(tmp_path) == lines(evaluated)
    assert not parts.exists()
    assert "to be finished" not in capsys.readouterr().out


def test_processes_share_batches(model: Path, photos: Path) -> None:
    images = open_images(str(photos / "first"), image_size=32)
    effort = Effort(attacks=["apgd-ce"], threat_models=[ThreatModel(eps=0.02)], batch_size=3)
    classifier, ticks = classifier_of(model), list[int]()
    done = frozenset({("first", index, "clean", 0.0) for index in range(3)})

    def keys(indices: list[int], effort: Effort) -> list[tuple[Any, ...]]:
        found = evaluate_zero_shot(
            classifier, images, indices, effort, num_classes=8, head="cosine", done=done, progress=ticks.append
        )
        return [(*record.key, record.prediction) for part in found for record in part]

    indices = list(range(0, 20, 2))
    shares = [share_of_batches(indices, 3, num_replicas=2, rank=rank) for rank in range(2)]
    apart = [key for share in shares for key in keys(share, effort)]
    assert sum(ticks) == count_passes(len(indices), effort)
    assert sorted(apart) == sorted(keys(indices, effort))
    assert len(apart) == 2 * len(indices) - 2  # two of the images that are done


def test_the_folder_is_verified_exported_and_reported(
    evaluated: Path, zero_shot: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = zero_shot(shutil.copytree(evaluated, tmp_path / "again"), *ATTACKED)
    printed = capsys.readouterr().out
    for wanted in ("first", "second", "mean", "pgd3", "1.02/255", "5.1/255", "macro"):
        assert wanted in printed
    main(["verify", str(folder), "--expect", "12"])
    assert "160 zero-shot rows, 0 that do not hold" in capsys.readouterr().out
    main(["export", str(folder), "--to", "parquet"])
    assert read_parquet(folder / "zero_shot.parquet") == rows_of(folder)
    (folder / "report.html").unlink()
    main(["report", str(folder)])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Zero-shot accuracy of" in page
    assert "32 images, 128 rows of attacks" in page
    assert "apgd 5.1/255" in page
    files = read_paths_of_several(folder)
    assert {(row["data"], row["index"]) for row in rows_of(folder)} == set(files)
    shown = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert sorted(shown["path"]) == sorted(f"{data}/{file}" for (data, _), file in files.items())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prediction": 8, "correct": False}, "prediction"),
        ({"correct": True, "prediction": 0}, "correct"),
        ({"label": 7, "prediction": 7, "correct": True}, "label"),
        ({"num_classes": 9}, "num_classes"),
        ({"head": "trained"}, "head"),
        ({"norm": "l2"}, "norm"),
        ({"eps": 0.1}, "statements"),
    ],
)
def test_altered_rows_are_found(changes: Row, field: str, evaluated: Path, tmp_path: Path) -> None:
    from hrvlm.evaluation.verification import verify

    rows = rows_of(evaluated)
    place = next(
        number
        for number, row in enumerate(rows)
        if row["attack"] == "apgd" and not row["correct"] and row["label"] != 7
    )
    if field == "correct":
        changes = {"correct": True}
    rows[place] |= changes
    shutil.copy(evaluated / "settings.json", tmp_path)
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (found,) = verify(tmp_path)
    assert field in {problem.field for problem in found.problems}


def test_what_is_wrong_when_clean_is_never_right_under_attack(evaluated: Path, tmp_path: Path) -> None:
    from hrvlm.evaluation.verification import verify

    rows = rows_of(evaluated)
    wrong = next(row for row in rows if row["attack"] == "clean" and not row["correct"])
    for row in rows:
        if (row["data"], row["index"], row["attack"]) == (wrong["data"], wrong["index"], "pgd3"):
            row |= {"prediction": row["label"], "correct": True}
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (found,) = verify(path)
    problems = list(found.problems)
    assert {problem.field for problem in problems} == {"prediction"}
    assert {problem.claims_too_much for problem in problems} == {True}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--attacks", "clean", "pdg20"], "expected attacks among"),
        (["--eps", "4"], "write 4/255"),
        (["--eps", "1/255", "1/255"], "expected different budgets eps"),
        (["--classes", "ant, bee, ant"], "every class id once"),
        (["--classes", "ant"], "classes"),
        (["--classes", "ant, bee"], "which lacks"),
        (["--templates", "a picture"], "templates"),
        (["--num_images", "0"], "expected num_images >= 1"),
        (["--batch_size", "0"], "expected batch_size >= 1"),
        (["--norm", "l2"], "expected the norm that the rows"),
        (["--templates", "tecoa"], "expected the data that the rows"),
        (["--settings.seed", "1"], "expected the settings that the rows"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    more: list[str], sentence: str, evaluated: Path, zero_shot: Callable[..., Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = shutil.copytree(evaluated, tmp_path / "other")
    with pytest.raises(SystemExit) as stopped:
        zero_shot(output, *more)
    assert stopped.value.code not in (0, None)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert said.startswith("certify.py: error: ")
    assert sentence in said
    assert lines(output) == lines(evaluated)


def test_pictures_without_labels_are_refused(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare").mkdir()
    for file in sorted(photos.rglob("*.png"))[:3]:
        shutil.copy(file, tmp_path / "bare")
    with pytest.raises(SystemExit):
        main([
            "zero-shot", "--checkpoint", str(model), "--data", str(tmp_path / "bare"), "--classes", "ant, bee",
            "--output", str(tmp_path / "out"),
        ])  # fmt: skip
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "expected a label for every picture of bare, where accuracy is asked" in said
    assert not (tmp_path / "out").exists()
