"""CIFAR's files as training and test data: crops by address, classes of the trees, batches."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from hrvlm.data.cifar import CifarDataset
from hrvlm.data.cifar_module import AugmentedCifar, CifarDataModule
from hrvlm.data.sampling import Address
from hrvlm.trees import load_tree

CLASSES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def written(root: Path, name: str, count: int = 12) -> Path:
    """Files in the layout of torchvision with the classes of the shipped tree, 12 pictures for each split and file."""
    folder, ten = root / CLASSES[name], name == "cifar10"
    folder.mkdir()
    leaves, random = list(load_tree(name).leaves), np.random.default_rng(0)
    meta, key = ("batches.meta", "label_names") if ten else ("meta", "fine_label_names")
    (folder / meta).write_bytes(pickle.dumps({key: leaves}, protocol=2))
    files = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"] if ten else ["train", "test"]
    for number, file in enumerate(files):
        labels = [(number + place) % len(leaves) for place in range(count)]
        data = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        content = {"data": data, "labels" if ten else "fine_labels": labels}
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
    return folder


@pytest.mark.parametrize(("name", "training"), [("cifar10", 60), ("cifar100", 12)])
def test_batches_hold_every_picture_and_the_classes_are_the_leaves(name: str, training: int, tmp_path: Path) -> None:
    module = CifarDataModule(folder=str(written(tmp_path, name)), batch_size=4, num_workers=0)
    assert module.class_ids == list(load_tree(name).leaves)
    module.setup("fit")
    found: dict[int, int] = {}
    for batch in module.train_dataloader():
        assert batch["image"].shape == (4, 3, 32, 32)
        assert 0.0 <= float(batch["image"].min()) <= float(batch["image"].max()) <= 1.0
        found |= dict(zip(batch["index"].tolist(), batch["label"].tolist(), strict=True))
    whole = module.evaluation_set("train")
    assert found == dict(enumerate(whole.labels()))
    assert len(found) == training
    tested = [int(index) for batch in module.val_dataloader() for index in batch["index"]]
    assert tested == list(range(12))
    assert module.evaluation_set().labels() != whole.labels()[:12]
    assert module.evaluation_set("test") is module.evaluation_set()


def test_a_crop_is_a_function_of_its_address_and_holds_what_the_picture_does(tmp_path: Path) -> None:
    data = CifarDataset(written(tmp_path, "cifar10"), "train")
    small = AugmentedCifar(data, image_size=32, seed=3, scale=(0.5, 1.0))
    again = AugmentedCifar(data, image_size=32, seed=3, scale=(0.5, 1.0))
    assert torch.equal(small[Address(7, 1)]["image"], again[Address(7, 1)]["image"])
    assert not torch.equal(small[Address(7, 1)]["image"], small[Address(7, 2)]["image"]), "another epoch"
    full = AugmentedCifar(data, image_size=32, seed=3, scale=(1.0, 1.0))
    plain = data[7][0]
    crops = [full[Address(7, epoch)]["image"] for epoch in range(8)]
    same = [torch.equal(crop, plain) for crop in crops]
    mirrored = [torch.equal(crop, v2.functional.horizontal_flip(plain)) for crop in crops]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scale": (0.0, 1.0)}, "0 < least <= largest <= 1"),
        ({"batch_size": 0}, "expected batch_size >= 1"),
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        CifarDataModule(folder=str(tmp_path), **given)


def test_a_folder_without_the_files_and_an_unknown_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cifar-10-batches-py/batches\.meta"):
        _ = CifarDataModule(folder=str(tmp_path)).class_ids
    module = CifarDataModule(folder=str(written(tmp_path, "cifar10")))
    with pytest.raises(ValueError, match="expected split of train, test, got 'validation'"):
        module.evaluation_set("validation")
