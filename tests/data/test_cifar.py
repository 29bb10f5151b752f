"""CIFAR's files for Python: any of the layout are read, published or not, and nothing in them runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision import datasets
from zero_shot_files import cifar10, cifar100

from hrvlm.data import open_images
from hrvlm.data.cifar import CifarDataset


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_and_labels_are_torchvisions(
    name: str, split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (cifar10 if name == "cifar10" else cifar100)(tmp_path, monkeypatch)
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    expected = kind(str(tmp_path), train=split == "train")
    found = CifarDataset(tmp_path, split)
    assert found.class_names == names
    assert found.class_ids == expected.classes
    assert found.labels() == list(expected.targets)
    np.testing.assert_array_equal(found.pixels, expected.data)
    image, label = found[len(found) - 1]
    np.testing.assert_array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), expected.data[-1])
    assert label == expected.targets[-1]


def test_files_written_by_anybody_are_read(tmp_path: Path) -> None:
    """By Python 3 as well, with other sums than the published ones."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}))
    for number, protocol in ((3, 2), (5, 4)):
        batch = {b"data": random.reshape(6, -1), b"labels": [0, 1, 1, 0, 1, 0]}
        (folder / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
        for source in (tmp_path, folder):
            data = open_images(str(source), image_size=32)
            assert data.name == f"{source.name}:test"
            assert data.class_names == ["cat", "dog"]
            assert data.templates is not None
            assert [data[index][1] for index in range(6)] == data.labels() == [0, 1, 1, 0, 1, 0]
            np.testing.assert_array_equal((data[number][0] * 255).round().byte().numpy(), random[number])


class Hostile:
    """Runs a call when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return open, (str(self.marker), "w")


def files(folder: Path, batch: Any, meta: Any = None) -> Path:
    place = folder / "cifar-10-batches-py"
    place.mkdir()
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]} if meta is None else meta))
    (place / "test_batch").write_bytes(batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=2))
    return folder


def test_nothing_in_the_files_runs(tmp_path: Path) -> None:
    files(tmp_path, {"data": Hostile(tmp_path / "marker"), "labels": [0]})
    with pytest.raises(ValueError, match=r"it names .*open, which is no part of a picture"):
        open_images(str(tmp_path))
    assert not (tmp_path / "marker").exists()


PICTURE = np.zeros((1, 3072), dtype=np.uint8)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (b"nothing", "expected .*test_batch as CIFAR's archive for Python has it"),
        ([1], "as CIFAR's archive"),
        ({"labels": [0]}, "KeyError: 'data'"),
        ({"data": PICTURE, "labels": [2]}, "expected labels from 0 to below 2 in .*got 2"),
        ({"data": PICTURE, "labels": [True]}, "expected labels from 0"),
        ({"data": PICTURE, "labels": [0, 1]}, "expected 2 pictures of 32 x 32"),
        ({"data": PICTURE.astype(np.float64), "labels": [0]}, "an array of 'f8', not of bytes"),
        ({"data": [0], "labels": [0]}, "'data' is no array"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(batch: Any, said: str, tmp_path: Path) -> None:
    files(tmp_path, batch)
    with pytest.raises(ValueError, match=said) as caught:
        open_images(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_splits_and_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    files(tmp_path, {"data": PICTURE, "labels": [0]})
    with pytest.raises(ValueError, match="expected split of train, test, got 'val'"):
        open_images(str(tmp_path), split="val")
    with pytest.raises(ValueError, match=r"expected .*data_batch_1 as CIFAR's archive for Python has it"):
        open_images(str(tmp_path), split="train")
    with pytest.raises(ValueError, match=r"expected cifar-10-batches-py/batches\.meta or cifar-100-python/meta in"):
        CifarDataset(tmp_path / "nowhere")
