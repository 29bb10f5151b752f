"""What the geometry callback writes and logs, from a run, against the run's checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.callbacks import GeometryCallback
from hrvlm.callbacks.geometry import summarise_geometry
from hrvlm.data.folder import FolderDataset
from hrvlm.data.items import images_and_labels
from hrvlm.models import HierarchicalClassifier, LevelKey, load
from hrvlm.trees import load_forest

EPS, STEPS = 0.03, 3
CHOSEN = [position * 32 // 9 for position in range(9)]


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> tuple[Path, dict[str, Any]]:
    """Two epochs with the callback; folder and settings."""
    folder = tmp_path_factory.mktemp("geometry")
    chosen = make_settings(folder)
    arguments = {"num_images": 9, "threat_model": {"eps": EPS}, "steps": STEPS, "batch_size": 4, "every_n_epochs": 2}
    looking = {"class_path": "hrvlm.callbacks.GeometryCallback", "init_args": arguments}
    chosen["trainer"]["callbacks"] = [looking, chosen["trainer"]["callbacks"][2]]
    return run_train(folder, chosen), chosen


def rows_of(folder: Path, epoch: int) -> list[dict[str, Any]]:
    path = folder / "geometry" / f"epoch={epoch:03d}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def attacked(classifier: HierarchicalClassifier, key: LevelKey, images: torch.Tensor, labels: torch.Tensor) -> Any:
    """PGD from the clean images, written out."""
    texts, pixels = classifier.text_points(key), images
    targets = classifier.forest[key.tree].ancestors[key.level][labels]
    for _ in range(STEPS):
        pixels = pixels.detach().requires_grad_()
        scores = classifier.head.logits(classifier.head.lift_image(classifier.model.encode_image(pixels)), texts)
        loss = -scores.log_softmax(1)[torch.arange(len(labels)), targets].sum()
        (gradient,) = torch.autograd.grad(loss, pixels)
        pixels = torch.max(torch.min(pixels + 2.5 * EPS / STEPS * gradient.sign(), images + EPS), images - EPS)
        pixels = pixels.clamp(0, 1)
    return pixels.detach()


def test_image_rows_are_norms_and_margins_of_the_checkpoint(run: Any) -> None:
    folder, settings = run
    rows = rows_of(folder, 1)
    assert not (folder / "geometry" / "epoch=000.jsonl").exists()
    loaded = load(folder / "checkpoints" / "1.ckpt")
    forest = load_forest(settings["model"]["init_args"]["trees"], leaves=list(loaded.classes or ()))
    classifier = HierarchicalClassifier(loaded.model, loaded.head, forest)
    data = FolderDataset(settings["data"]["init_args"]["train_folder"], image_size=32)
    images, labels = images_and_labels(data, CHOSEN)
    for key in classifier.keys:
        targets = forest[key.tree].ancestors[key.level][labels].tolist()
        ids = forest[key.tree].levels[key.level].ids
        for attack, pixels in (("clean", images), (f"pgd{STEPS}", attacked(classifier, key, images, labels))):
            found = [r for r in rows if (r["of"], r["level"], r.get("attack")) == ("image", key.level, attack)]
            with torch.no_grad():
                points = classifier.image_points(pixels)
                scores = classifier.head.logits(points, classifier.text_points(key))
            margins = [
                float(row[target] - max(value for index, value in enumerate(row) if index != target))
                for row, target in zip(scores, targets, strict=True)
            ]
            assert [row["index"] for row in found] == CHOSEN
            assert [row["node"] for row in found] == [ids[target] for target in targets]
            assert [row["margin"] for row in found] == pytest.approx(margins, rel=1e-3, abs=1e-3)
            assert [row["point_norm"] for row in found] == pytest.approx(points.norm(dim=1).tolist(), rel=1e-4)
            assert ("eps" in found[0]) == (attack != "clean")


def test_text_rows_are_all_nodes_and_group_rows_those_with_images(run: Any) -> None:
    rows = rows_of(run[0], 1)
    texts = [row for row in rows if row["of"] == "text"]
    assert [len([row for row in texts if row["level"] == level]) for level in (0, 1)] == [8, 3]
    assert all("margin" not in row and "attack" not in row for row in texts)
    groups = [row for row in rows if row["of"] == "group"]
    assert {row["level"] for row in groups} == {1}
    seen = {row["node"] for row in rows if row["of"] == "image" and row["level"] == 1}
    assert sorted(row["node"] for row in groups) == sorted([*seen, *seen])  # clean and attacked
    images = [row for row in rows if row["of"] == "image" and row["attack"] == "clean" and row["level"] == 1]
    assert sum(row["point_norm"] for row in groups if row["attack"] == "clean") / len(seen) < sum(
        row["point_norm"] for row in images
    ) / len(images)  # averages lie nearer to the origin


def test_logged_numbers_are_means_of_the_rows(run: Any) -> None:
    folder, _ = run
    rows = rows_of(folder, 1)
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        logged = [line for line in csv.DictReader(file) if any(line[name] for name in line if name[:9] == "geometry/")]
    names = {name for line in logged for name, value in line.items() if name.startswith("geometry/") and value}
    assert len(logged) == 1
    leaf, upper = (next(row["level_name"] for row in rows if row["level"] == level) for level in (0, 1))
    kinds = ["norm", "attainable_margin", "margin", "image_margin"]
    expected = {f"geometry/{level}/text_{kind}" for level in (leaf, f"kinds/{upper}") for kind in kinds[:2]}
    expected |= {f"geometry/{level}/{attack}/{kind}" for level in (leaf, f"kinds/{upper}")
                 for attack in ("clean", "pgd3") for kind in kinds}  # fmt: skip
    assert names == expected

    def mean(kind: str, level: int, column: str, attack: str | None) -> float:
        chosen = [r[column] for r in rows if (r["of"], r["level"], r.get("attack")) == (kind, level, attack)]
        return sum(chosen) / len(chosen)

    for attack in ("clean", "pgd3"):
        assert float(logged[0][f"geometry/{leaf}/{attack}/margin"]) == pytest.approx(mean("image", 0, "margin", attack))
        name = f"geometry/kinds/{upper}/{attack}"
        assert float(logged[0][f"{name}/norm"]) == pytest.approx(mean("group", 1, "point_norm", attack))
        assert float(logged[0][f"{name}/image_margin"]) == pytest.approx(mean("image", 1, "margin", attack))
    texts = mean("text", 1, "attainable_margin", None)
    assert float(logged[0][f"geometry/kinds/{upper}/text_attainable_margin"]) == pytest.approx(texts)
    assert summarise_geometry(rows).keys() == expected


def test_training_is_bit_identical_with_it(run: Any, finished: Any) -> None:
    mine, other = (torch.load(path, weights_only=True)["state_dict"] for path in
                   (run[0] / "checkpoints" / "1.ckpt", finished.checkpoint(1)))  # fmt: skip
    assert mine.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_it_looks_at_the_flat_head_too(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = make_settings(tmp_path)
    looking = {"class_path": "hrvlm.callbacks.GeometryCallback", "init_args": {"num_images": 4, "steps": 1}}
    chosen["trainer"] |= {"callbacks": [looking], "max_epochs": 1, "limit_train_batches": 1}
    chosen["trainer"]["enable_checkpointing"] = False
    flat = {"class_path": "hrvlm.objectives.TeCoAObjective", "init_args": {"logit_scale": 7.0, "ascent": {"steps": 1}}}
    chosen["model"]["init_args"]["objective"] = flat
    rows = rows_of(run_train(tmp_path, chosen), 0)
    assert [row["point_norm"] for row in rows] == pytest.approx([1.0] * len(rows), rel=1e-5)
    assert [row["attainable_margin"] for row in rows] == pytest.approx([14.0] * len(rows), rel=1e-5)
    assert all(abs(row["margin"]) <= 14.0 for row in rows if row["of"] != "text")


@pytest.mark.parametrize("setting", ["steps", "batch_size", "every_n_epochs"])
def test_bad_settings_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"expected {setting} >= 1, got 0"):
        GeometryCallback(**{setting: 0})
