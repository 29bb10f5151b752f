"""Pictures of a target per image, per class and in order, by manifests: ranges, observations, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.utils import save_image

from hrvlm.cli.certify import main
from hrvlm.evaluation.subject import Subject, load_subject

NUMBERS = (0, 16)  # of 32 pictures, two
CHANGE = {"name": "dark", "target": "a dark picture of a {}"}


@pytest.fixture(scope="module")
def others(make_pictures: Callable[..., Path]) -> list[Path]:
    return sorted(make_pictures(seed=5).glob("*/*.png"))


@pytest.fixture(scope="module")
def certify(tiny_model: Path, pictures: Path) -> Callable[..., Path]:
    def run(output: Path, *words: str, **change: Any) -> Path:
        plan = {"num_images": 2, "smoothing": False, "attributes": [CHANGE | change], "deltas": [0.01]}
        config = output.parent / f"{output.name}.json"
        config.write_text(json.dumps({"plan": plan, "data": str(pictures)}))
        main(["run", "--config", str(config), "--checkpoint", str(tiny_model), "--output", str(output), *words])
        return output

    return run


def rows(folder: Path) -> dict[int, dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "certificates.jsonl").read_text().splitlines()]
    return {row["index"]: row for row in found}


def manifest(path: Path, head: str, *lines: str) -> str:
    path.write_text("\n".join([head, *lines]) + "\n")
    return str(path)


def test_each_image_has_its_own_pictures(
    certify: Callable[..., Path], others: list[Path], pictures: Path, tmp_path: Path
) -> None:
    """By number or by file: the rows are those of runs in which the pictures are everybody's."""
    second = sorted(pictures.glob("*/*.png"))[16]
    listed = manifest(tmp_path / "each.csv", "path,image", f"{others[3]},0", f"{others[20]},{second}")
    found = rows(certify(tmp_path / "each", pictures=[listed]))
    for index, picture in zip(NUMBERS, (others[3], others[20]), strict=True):
        alone = rows(certify(tmp_path / f"all{index}", pictures=[str(picture)]))
        assert found[index] == alone[index]
        assert found[index]["target_kind"] == "image"
    assert found[0]["stop"] != rows(tmp_path / "all16")[0]["stop"]


def test_each_class_has_its_own_pictures_and_others_have_none(
    certify: Callable[..., Path], others: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = manifest(tmp_path / "classes.jsonl", json.dumps({"path": str(others[3]), "label": "ant"}))
    found = rows(certify(tmp_path / "classes", pictures=[listed]))
    assert found[0] == rows(certify(tmp_path / "all", pictures=[str(others[3])]))[0]
    assert found[16]["reason"] == "the reference image has no in-plane part: nothing certified"
    assert found[16]["intervals"] == []
    main(["verify", str(tmp_path / "classes")])
    manifest(Path(listed), json.dumps({"path": str(others[4]), "label": "ant"}))  # under the same name
    with pytest.raises(SystemExit):
        certify(tmp_path / "classes", pictures=[listed])
    assert "expected the target_pictures that the rows in" in capsys.readouterr().err


def test_pictures_in_order_give_an_arc_to_compare_with(tmp_path: Path) -> None:
    """Of one picture: the shares are those of a dense sample of the great circle from the image to it."""
    classifier, data = load_subject("emoji", Subject(data="emoji:unseen_classes"))
    numbers, places = (0, len(data) // 2), (60, 5)  # pictures of other classes
    ends = [
        torch.stack([data[index][0], (data[place][0] * 255).round() / 255])
        for index, place in zip(numbers, places, strict=True)
    ]
    lines = []
    for index, (_, last) in zip(numbers, ends, strict=True):
        save_image(last, tmp_path / f"{index}.png")
        lines.append(f"{index}.png,{index},{index + 0.5}")
    plan = {"num_images": 2, "smoothing": False}
    plan["attributes"] = [CHANGE | {"sequence": manifest(tmp_path / "steps.csv", "path,image,step", *lines)}]
    (tmp_path / "plan.json").write_text(json.dumps({"plan": plan, "data": "emoji:unseen_classes"}))
    folder = tmp_path / "steps"
    main(["run", "--config", str(tmp_path / "plan.json"), "--checkpoint", "emoji", "--output", str(folder)])
    found = rows(folder)
    for index, pictures in zip(numbers, ends, strict=True):
        with torch.no_grad():
            first, last = classifier.image_points(pictures).double()
        angle = torch.arccos((first * last).sum())
        way = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None] * angle
        points = (torch.sin(angle - way) * first + torch.sin(way) * last) / torch.sin(angle)
        labels = (points @ classifier.text_points(classifier.keys[0]).double().T).argmax(dim=1)
        assert 0.01 < found[index]["reference"] < 0.99
        assert found[index]["reference"] == pytest.approx(float((labels == labels[0]).double().mean()), abs=1e-3)
    summary = json.loads((folder / "summary.json").read_text())["semantic"]["flat"]["0"]["dark"]["cosine"]["text"]
    gaps = [abs(row["reference"] - row["invariance"]) for row in found.values()]
    assert summary["reference"]["images"] == 2
    assert summary["reference"]["mean_discrepancy"] == pytest.approx(sum(gaps) / 2)
    assert "Beside the claims, of 2 images" in (folder / "report.html").read_text()
    main(["verify", str(folder)])


def test_rows_without_a_sequence_say_nothing_of_it(
    certify: Callable[..., Path], others: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = certify(tmp_path / "plain")
    assert not any("reference" in row for row in rows(plain).values())
    settings = json.loads((plain / "settings.json").read_text())
    assert "sequence" not in settings["attributes"][0]
    assert "target_sequences" not in settings
    assert "discrepancy" not in capsys.readouterr().out
    steps = (f"{others[4]},0,2", f"{others[9]},0,1", f"{others[5]},0,3")
    listed = manifest(tmp_path / "some.csv", "path,image,step", *steps)
    found = rows(certify(tmp_path / "some", sequence=listed))
    assert "reference" in found[0]
    assert "reference" not in found[16]
    assert "dark: discrepancy" in " ".join(capsys.readouterr().out.split())
    sorted_steps = manifest(tmp_path / "same.csv", "path,image,step", *sorted(steps, key=lambda line: line[-1]))
    assert rows(certify(tmp_path / "same", sequence=sorted_steps))[0] == found[0]


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        ("path,image", "gone.png,0", "1 of 1 are missing"),
        ("path,image", "PICTURE,40", "expected images from 0 to below 32"),
        ("path,image", "PICTURE,nobody.png", "nobody.png', which are no files of it"),
        ("path,label", "PICTURE,sphinx", "expected classes of the data by id or name in"),
        ("path,who", "PICTURE,0", "expected the columns"),
        ("path,image,label", "PICTURE,0,ant", "expected the columns"),
        ("path,image", "PICTURE,", "expected a value of 'image' in line 2"),
    ],
)
def test_bad_manifests_of_pictures_are_refused_in_a_sentence(
    head: str,
    line: str,
    said: str,
    certify: Callable[..., Path],
    others: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = manifest(tmp_path / "bad.csv", head, line.replace("PICTURE", str(others[0])))
    with pytest.raises(SystemExit):
        certify(tmp_path / "run", pictures=[listed])
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("step", ["", "soon", "nan"])
def test_steps_are_numbers(
    step: str, certify: Callable[..., Path], others: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = manifest(tmp_path / "bad.csv", "path,image,step", f"{others[0]},0,{step}")
    with pytest.raises(SystemExit):
        certify(tmp_path / "run", sequence=listed)
    assert "'step' in line 2" in capsys.readouterr().err
