"""Which images have pictures of all changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrvlm.certificates import Attribute
from hrvlm.data.folder import FolderDataset
from hrvlm.training.pictured_changes import PicturedChanges, SequencePictures


def change(folder: Path, pictures: Path, name: str, classes: list[str]) -> Attribute:
    """A change in two steps, of some classes; pictures of other images of the class serve as steps."""
    rows = [f"{pictures / each / f'{step}.png'},{each},{step}" for each in classes for step in range(3)]
    manifest = folder / f"{name}.csv"
    manifest.write_text("\n".join(["path,label,step", *rows]) + "\n", encoding="utf-8")
    return Attribute(name=name, source="a picture of a {}", target="a dark picture of a {}", sequence=str(manifest))


def test_images_are_complete_with_pictures_of_all_changes(pictures: Path, tmp_path: Path) -> None:
    data = FolderDataset(pictures, image_size=32)
    changes = [change(tmp_path, pictures, "one", ["ant", "bee"]), change(tmp_path, pictures, "other", ["ant"])]
    shown = SequencePictures(data, PicturedChanges(attributes=changes))
    assert shown.complete(range(len(data))) == [0, 1, 2, 3]  # ants; of bees one change has no pictures
    with pytest.raises(ValueError, match="expected images with pictures of all changes, got none among 2"):
        shown.complete([4, 5])
