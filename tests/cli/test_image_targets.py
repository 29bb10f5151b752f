"""Targets that pictures specify, and stable coverage, through `certify.py run` on the packaged model and two images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.utils import save_image

from hrvlm.certificates import AffineScorer, coverage_sweep, image_extent, semantic_partition
from hrvlm.cli.certify import main
from hrvlm.data import Appearance, emoji
from hrvlm.models import inferring, load

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
TARGET, DELTAS = "a small picture of a {}", [0.0, 0.02, 0.05]
SMALL = [{"size": 0.6}, {"size": 0.5}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that show the target: five emoji drawn small."""
    found = tmp_path_factory.mktemp("small")
    data = emoji("validation", appearance=Appearance(size=0.5))
    for place in range(5):
        save_image(data[place * 7][0], found / f"{place}.png")
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def certify(output: Path, attributes: list[dict[str, Any]], **plan: Any) -> Path:
        settings = {
            "data": {"class_path": "hrvlm.data.emoji_pack.datamodule.EmojiDataModule"},
            "trees": [str(TREE)],
            "num_levels": 1,
            "split": "unseen_artist",
            "plan": {"num_images": 2, "smoothing": False, "attributes": attributes, **plan},
        }
        config = output / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        main(["run", "--config", str(config), "--checkpoint", "emoji", "--output", str(output)])
        return output

    return certify


@pytest.fixture(scope="module")
def certified(run: Callable[..., Path], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    attributes = [
        {"name": "in words", "target": TARGET},
        {"name": "files", "target": TARGET, "pictures": [str(folder)]},
        {"name": "appearances", "target": TARGET, "appearances": SMALL},
    ]
    return run(tmp_path_factory.mktemp("certified"), attributes, deltas=DELTAS)


def rows(output: Path) -> dict[tuple[int, str], dict[str, Any]]:
    lines = (output / "certificates.jsonl").read_text(encoding="utf-8").splitlines()
    return {(row["index"], row["attribute"]): row for row in map(json.loads, lines)}


def test_rows_are_those_of_the_library(certified: Path, folder: Path) -> None:
    from hrvlm.data.decoding import read_image
    from hrvlm.data.images import evaluation_transform

    data, loaded, found = emoji("unseen_artist"), load("emoji"), rows(certified)
    assert len(found) == 2 * 3
    transform = evaluation_transform(64)
    files = torch.stack([transform(read_image(str(path))) for path in sorted(folder.iterdir())])
    with inferring(loaded.model):
        texts = loaded.model.text_features([f"a picture of a {name}" for name in data.class_names]).double()
        for index in {index for index, _ in found}:
            image, label = data[index]
            z = loaded.model.image_features(image[None]).double()
            prompts = [f"a picture of a {data.class_names[label]}", TARGET.format(data.class_names[label])]
            source, target = loaded.model.text_features(prompts).double()
            shown = data.shown(index, [Appearance(**settings) for settings in SMALL])
            for name, pictures in (("in words", None), ("files", files), ("appearances", shown)):
                mean = (
                    None if pictures is None else loaded.model.image_features(pictures).double().mean(0, keepdim=True)
                )
                extent = None if mean is None else image_extent(mean, source, target)
                given = (AffineScorer.cosine(texts), z, source, target)
                partition, row = semantic_partition(*given, target_extent=extent), found[index, name]
                assert row["target_kind"] == ("text" if pictures is None else "image")
                assert row["stop"] == pytest.approx(float(partition.stop), abs=1e-4)
                assert row["prediction"] == int(partition.label)
                swept = coverage_sweep(*given, DELTAS, target_extent=extent)[:, 0]
                assert [share for _, share in row["stable"]] == pytest.approx(swept.tolist(), abs=2e-3)


def test_targets_differ_and_rows_verify(certified: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in {index for index, _ in rows(certified)}:
        stops = {rows(certified)[index, name]["stop"] for name in ("in words", "files", "appearances")}
        assert len(stops) == 3
    main(["verify", str(certified)])
    assert "6 certificates, 0 that do not hold" in capsys.readouterr().out


def test_summary_and_report_show_stable_coverage_and_kinds(certified: Path) -> None:
    summary = json.loads((certified / "summary.json").read_text(encoding="utf-8"))
    ((_, levels),) = summary["semantic"].items()
    assert set(levels["0"]["files"]["cosine"]["image"]["stable_coverage"]) == {str(delta) for delta in DELTAS}
    page = (certified / "report.html").read_text(encoding="utf-8")
    assert "stable at delta=0.05" in page
    assert "files (image)" in page


def test_a_run_does_not_go_on_with_other_pictures(
    run: Callable[..., Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes((folder / "0.png").read_bytes())
    attributes = [{"name": "files", "target": TARGET, "pictures": [str(picture)]}]
    run(tmp_path, attributes)
    picture.write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(SystemExit):
        run(tmp_path, attributes)
    assert "expected the target_pictures that" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attribute", "plan", "said"),
    [
        ({"pictures": ["nowhere"]}, {}, "expected a picture or a folder of pictures at nowhere"),
        ({"appearances": [{"colour": 1}]}, {}, "expected settings of an appearance in attribute 'x'"),
        ({"appearances": [{}], "pictures": ["a"]}, {}, "expected pictures or appearances"),
        ({}, {"deltas": [-0.1]}, "expected different deltas from 0 to 1000"),
        ({}, {"deltas": [1e308]}, "expected different deltas from 0 to 1000"),
        ({}, {"deltas": [0.1, 0.1]}, "expected different deltas from 0 to 1000"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    attribute: dict[str, Any],
    plan: dict[str, Any],
    said: str,
    run: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, [{"name": "x", "target": TARGET, **attribute}], **plan)
    assert said in " ".join(capsys.readouterr().err.split())
