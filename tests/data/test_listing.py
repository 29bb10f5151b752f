"""What of a folder is read, and what is left out: counted, named, and never silently."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hrvlm.data.folder import FolderDataModule, FolderDataset
from hrvlm.data.listing import picture_files
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.data.zero_shot import load
from hrvlm.trees.class_lists import read_classes


def save(path: Path, colour: tuple[int, ...] = (10, 20, 30), kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if len(colour) == 3 else "RGBA", (8, 8), colour).save(path, kind)
    return path


def test_every_format_is_read_and_the_rest_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, suffix in enumerate((".jfif", ".gif", ".avif", ".jpe", ".jp2", ".PNG", ".tiff")):
        save(tmp_path / "fox" / f"{number}{suffix}")
    (tmp_path / "fox" / "notes.txt").write_text("no picture")
    (tmp_path / "fox" / "more.txt").write_text("no picture")
    (tmp_path / "fox" / "drawing.eps").write_text("%!PS")
    save(tmp_path / "fox" / "deeper" / "8.webp")
    data = FolderDataset(tmp_path, image_size=4)
    assert [Path(path).name for path, _ in data.items] == [
        "0.jfif", "1.gif", "2.avif", "3.jpe", "4.jp2", "5.PNG", "6.tiff", "8.webp",
    ]  # fmt: skip
    for index in range(len(data)):
        shown = torch.tensor([10.0, 20.0, 30.0])[:, None, None].expand(3, 4, 4) / 255
        torch.testing.assert_close(data[index][0], shown, rtol=0, atol=3 / 255)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"{tmp_path}: left out 2 of suffix '.txt' (such as fox/more.txt), 1 of suffix '.eps' (such as fox/drawing.eps)"
    )


def test_hidden_files_and_folders_are_no_classes_and_no_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ant/0.png", "bee/0.png", "bee/.ipynb_checkpoints/0-checkpoint.png", ".ipynb_checkpoints/0.png"):
        save(tmp_path / name)
    (tmp_path / "ant" / "._0.png").write_bytes(b"\0\5\x16\7 a resource fork")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    save(tmp_path / "beside.png")
    module = FolderDataModule(train_folder=str(tmp_path), evaluation_folders={"validation": str(tmp_path)})
    assert module.class_ids == ["ant", "bee"] == list(read_classes(tmp_path).ids)
    data = module.evaluation_set()
    assert [(Path(path).relative_to(tmp_path).as_posix(), label) for path, label in data.items] == [
        ("ant/0.png", 0),
        ("bee/0.png", 1),
    ]
    (record,) = caplog.records
    assert "left out 4 hidden (such as .DS_Store), 1 beside the class folders (such as beside.png)" in record.message


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "ant" / "0.png")
    assert len(FolderDataset(tmp_path, image_size=4)) == 1
    assert caplog.records == []


def test_names_of_files_do_not_steer_the_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "ant" / "0.png")
    (tmp_path / "ant" / "\x1b[31mred.txt").write_text("")
    FolderDataset(tmp_path, image_size=4)
    assert r"\x1b[31mred.txt" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_class_has_one_name_whatever_form_its_letters_have(tmp_path: Path) -> None:
    names = [unicodedata.normalize("NFC", name) for name in ("ágata", "zebra", "über")]
    for name in names:
        save(tmp_path / "train" / unicodedata.normalize("NFD", name) / "0.png")
        save(tmp_path / "val" / name / "0.png", (1, 2, 3))
    folders = {"train_folder": str(tmp_path / "train"), "evaluation_folders": {"validation": str(tmp_path / "val")}}
    module = FolderDataModule(**folders)  # type: ignore[arg-type]
    assert module.class_ids == sorted(names) == module.evaluation_set().class_ids
    training = module.build_training().data
    assert [label for _, label in training.items] == [0, 1, 2]
    assert [unicodedata.normalize("NFC", Path(path).parent.name) for path, _ in training.items] == module.class_ids
    tree = tmp_path / "tree.yaml"
    leaves = "".join(f"  {name}: {{parent: top, name: a {name}}}\n" for name in names)
    tree.write_text(f"name: t\nsource: s\nlicence: l\nnodes:\n  top: {{parent: null}}\n{leaves}", encoding="utf-8")
    named = FolderDataset(tmp_path / "train", image_size=4, names_tree=str(tree))
    assert named.class_names == [f"a {name}" for name in module.class_ids]
    save(tmp_path / "val" / unicodedata.normalize("NFD", names[0]) / "0.png")
    with pytest.raises(ValueError, match="expected folders with different names, got the same letters twice"):
        module.evaluation_set()


def test_pictures_of_targets_are_read_in_the_same_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "shown"
    files = [save(folder / "a.jfif", kind="JPEG"), save(folder / "b.avif"), save(folder / "c.png", (255, 0, 0, 0))]
    (folder / "._a.jfif").write_bytes(b"\0")
    (folder / "readme.md").write_text("")
    save(folder / "deep.png" / "x.png")  # a folder that is called like a picture
    assert picture_files([str(folder)]) == files
    assert caplog.records == []
    change = SimpleNamespace(name="x", pictures=[str(folder)], appearances=[], sequence=None)
    assert pictures_identity([change])["target_pictures"]
    assert "left out 1 hidden (such as ._a.jfif), 1 of suffix '.md' (such as readme.md)" in caplog.text
    data = FolderDataset(folder, image_size=4, background=(0, 0, 255))
    found = TargetPictures(data)(change, 0)
    torch.testing.assert_close(found[2], torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 4, 4))


def test_zero_shot_sets_are_read_in_the_same_way(tmp_path: Path) -> None:
    land = tmp_path / "eurosat" / "2750"
    save(land / "Forest" / "a.png", (255, 0, 0, 0))
    (land / "River").mkdir()
    Image.fromarray(np.full((8, 8), 50_000, np.uint16)).save(land / "River" / "b.png")
    save(land / ".ipynb_checkpoints" / "c.png")
    save(land / "Forest" / ".ipynb_checkpoints" / "d.png")
    data = load("eurosat", tmp_path, image_size=4)
    assert data.class_names == ["forest", "river"]
    assert len(data) == 2
    torch.testing.assert_close(data[0][0], torch.ones(3, 4, 4))
    torch.testing.assert_close(data[1][0], torch.full((3, 4, 4), 195 / 255))
    caltech = tmp_path / "caltech256" / "256_ObjectCategories" / "001.ak47"
    exif = Image.Exif()
    exif[0x0112] = 6
    caltech.mkdir(parents=True)
    Image.new("L", (64, 32), 200).save(caltech / "001_0001.jpg", exif=exif)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(caltech / "001_0002.jpg", "PNG")
    guns = load("caltech256", tmp_path, image_size=4)
    torch.testing.assert_close(guns[0][0], torch.full((3, 4, 4), 200 / 255))
    torch.testing.assert_close(guns[1][0], torch.ones(3, 4, 4))
