"""As a new user: pictures of one's own and an untrained model, and a fine-tuned checkpoint on classes it never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from open_clip import factory
from PIL import Image

from hrvlm.cli.certify import main

SMALL = ["--plan.num_images", "2", "--plan.n", "20", "--plan.n0", "8", "--plan.alpha", "0.1"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders with two photographs each, of no particular size."""
    random = np.random.default_rng(0)
    for name, colour in (("red fox", (200, 80, 30)), ("oak tree", (30, 160, 60))):
        for number in range(2):
            pixels = np.clip(np.array(colour) + random.normal(0, 60, (120, 160, 3)), 0, 255).astype(np.uint8)
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def small_vit(tmp_path: Path) -> Iterator[str]:
    """An architecture of open_clip's list, of the form of ViT-B-32 and much smaller."""
    vision = {"image_size": 224, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    file = tmp_path / "small_vit.json"
    file.write_text(json.dumps({"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(file)
    yield "small_vit"
    factory._MODEL_CONFIG_PATHS.remove(file)
    factory._MODEL_CONFIGS.pop("small_vit")
    factory._rescan_model_configs()


def test_four_commands_make_tables_certificates_and_a_page_of_a_folder_of_photographs(
    small_vit: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    model = ["--checkpoint", f"{small_vit}/none", "--data", "photos"]
    attacks = ["--attacks", "clean", "pgd2", "--eps", "1/255", "8/255"]
    main(["zero-shot", *model, *attacks, "--output", "zero_shot"])
    assert "untrained" in caplog.text
    main(["attack", *model, *attacks, "--output", "attacked"])
    dark = '[{name: dark, target: "a dark picture of a {}"}]'
    main(["run", *model, *SMALL, "--plan.attributes", dark, "--output", "certified"])
    main(["report", "certified", "--robustness", "attacked"])
    printed = capsys.readouterr().out
    for wanted in (
        "Zero-shot accuracy in percent",
        "linf eps=8/255",
        "Smoothing certificates",
        "certified/report.html",
    ):
        assert wanted in printed
    page = Path("certified/report.html").read_text(encoding="utf-8")
    assert f"Certificates of {small_vit}/none" in page
    assert "Attacks: linf eps=8/255" in page
    assert page.count("data:image/webp;base64,") >= 2
    assert "red fox" in page
    for folder in ("zero_shot", "attacked", "certified"):
        main(["verify", folder])
    told = {
        (row["index"], row["attack"], row["eps"]): row["correct"] for row in rows_of(Path("zero_shot/zero_shot.jsonl"))
    }
    same = [row for row in rows_of(Path("attacked/robustness.jsonl")) if row["attack"] == "pgd2"]
    assert len(same) == 4 * 2
    assert [row["correct"] for row in same] == [told[row["index"], "pgd2", row["eps"]] for row in same]


def test_a_checkpoint_is_evaluated_attacked_and_certified_on_classes_it_was_not_trained_on(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "data"))
    import zero_shot_files

    sets = tmp_path / "sets"
    names = zero_shot_files.cifar10(sets, monkeypatch)
    checkpoint, sources = ["--checkpoint", str(finished.checkpoint(1))], ("emoji:unseen_classes", str(sets))
    chosen = [*checkpoint, "--data", *sources, "--num_images", "4", "--attacks", "pgd2"]
    main(["zero-shot", *chosen, "--output", str(tmp_path / "zero_shot")])
    rows = rows_of(tmp_path / "zero_shot" / "zero_shot.jsonl")
    assert {(row["data"], row["num_classes"]) for row in rows} == {(sources[0], 56), ("sets:test", len(names))}
    assert {row["head"] for row in rows} == {"trained"}
    assert len(rows) == 2 * 2 * 4
    for source in sources:
        output = tmp_path / f"certified_{len(source)}"
        given = [*checkpoint, "--data", source, "--plan.semantic", "false", "--output", str(output)]
        main(["run", *given, *SMALL])
        assert {row["tree"] for row in rows_of(output / "certificates.jsonl")} == {"flat"}
    main(["zero-shot", *chosen, "--head", "cosine", "--output", str(tmp_path / "cosine")])
    assert {row["head"] for row in rows_of(tmp_path / "cosine" / "zero_shot.jsonl")} == {"cosine"}
