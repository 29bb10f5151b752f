"""Writes every zero-shot set in its published layout: a few tiny pictures, each of its class's colour."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets


def colour(label: int) -> tuple[int, int, int]:
    """A colour that tells a class from those near it."""
    return (40 + 67 * label) % 256, (200 + 131 * label) % 256, (90 + 29 * label) % 256


def pixels(label: int, side: int) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.array(colour(label), dtype=np.uint8), (side, side, 3))


def save(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour(label)).save(path, "JPEG", quality=95)


def lines(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def pickled(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def cifar_batch(labels: list[int], field: str) -> dict[str, Any]:
    rows = np.stack([pixels(label, 32).transpose(2, 0, 1).reshape(-1) for label in labels])
    return {"batch_label": "of 1", field: labels, "data": rows, "filenames": [f"{label}.png" for label in labels]}


def cifar(
    patch: pytest.MonkeyPatch, kind: Any, folder: Path, files: tuple[list[str], list[str]], names: list[str], field: str
) -> None:
    """CIFAR's pickles; torchvision's md5 sums become those of the files made here."""
    train, test = files
    for name in train + test:
        labels = [2, 0, 1, 1] if name in test else [0]
        pickled(folder / name, cifar_batch(labels, field))
    pickled(folder / kind.meta["filename"], {kind.meta["key"]: names, "num_vis": 3072})
    patch.setattr(kind, "train_list", [[name, md5(folder / name)] for name in train])
    patch.setattr(kind, "test_list", [[name, md5(folder / name)] for name in test])
    patch.setattr(kind, "meta", kind.meta | {"md5": md5(folder / kind.meta["filename"])})


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    names = ["airplane", "automobile", "bird"]
    train = [f"data_batch_{number}" for number in range(1, 6)]
    cifar(patch, datasets.CIFAR10, root / "cifar-10-batches-py", (train, ["test_batch"]), names, "labels")
    return names


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    names = ["apple", "aquarium_fish", "baby"]
    cifar(patch, datasets.CIFAR100, root / "cifar-100-python", (["train"], ["test"]), names, "fine_labels")
    return ["apple", "aquarium fish", "baby"]


def stl10(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, names = root / "stl10_binary", ["airplane", "bird", "car"]
    lines(folder / "class_names.txt", names)
    for split, labels in (("train", [0]), ("unlabeled", [0]), ("test", [1, 2, 0])):
        # The published files hold columns first.
        (folder / f"{split}_X.bin").write_bytes(np.stack([pixels(x, 96).transpose(2, 1, 0) for x in labels]).tobytes())
        if split != "unlabeled":
            (folder / f"{split}_y.bin").write_bytes(bytes(label + 1 for label in labels))
    for name in ("train_list", "test_list"):
        patch.setattr(datasets.STL10, name, [[file, md5(folder / file)] for file, _ in getattr(datasets.STL10, name)])
    return names


def caltech101(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder = root / "caltech101" / "101_ObjectCategories"
    for label, name in enumerate(["Faces", "Faces_easy", "accordion", "water_lilly"]):
        for number in (1, 2):
            save(folder / name / f"image_{number:04d}.jpg", label)
    save(folder / "BACKGROUND_Google" / "image_0001.jpg", 9)
    return ["off-center face", "centered face", "accordion", "water lilly"]


def caltech256(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder = root / "caltech256" / "256_ObjectCategories"
    for label, name in enumerate(["001.ak47", "002.american-flag", "003.airplanes-101"]):
        save(folder / name / f"{label + 1:03d}_0001.jpg", label)
    (folder / "002.american-flag" / "RENAME2").write_text("no picture")
    return ["ak47", "american flag", "airplanes"]


def oxford_pets(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder = root / "oxford-iiit-pet"
    listed = [("Abyssinian_201", 0, 1), ("american_bulldog_203", 1, 2), ("Abyssinian_202", 0, 1)]
    for name, label, _ in listed:
        save(folder / "images" / f"{name}.jpg", label)
    lines(folder / "annotations" / "test.txt", [f"{name} {label + 1} {kind} 1" for name, label, kind in listed])
    return ["Abyssinian", "American Bulldog"]


def flowers102(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, labels = root / "flowers-102", [0, 59, 101, 59]
    for number, label in enumerate(labels, start=1):
        save(folder / "jpg" / f"image_{number:05d}.jpg", label)
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels]) + 1})
    savemat(
        folder / "setid.mat", {"trnid": np.array([[1, 2]]), "valid": np.array([[1, 2]]), "tstid": np.array([[4, 3, 1]])}
    )
    files = {name: (file, md5(folder / file)) for name, file in (("label", "imagelabels.mat"), ("setid", "setid.mat"))}
    patch.setattr(datasets.Flowers102, "_file_dict", datasets.Flowers102._file_dict | files)
    expected = list(datasets.Flowers102.classes)
    expected[15], expected[59], expected[92] = "globe flower", "pink and yellow dahlia", "air plant"
    return expected


def food101(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, found = root / "food-101", {"apple_pie": [101, 102], "baby_back_ribs": [7]}
    for label, (name, numbers) in enumerate(found.items()):
        for number in numbers:
            save(folder / "images" / name / f"{number}.jpg", label)
    listing = {name: [f"{name}/{number}" for number in numbers] for name, numbers in found.items()}
    lines(folder / "meta" / "test.json", [json.dumps(listing)])
    return ["apple pie", "baby back ribs"]


def fgvc_aircraft(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, names = root / "fgvc-aircraft-2013b" / "data", ["707-320", "F-16A/B", "Global Express"]
    lines(folder / "variants.txt", names)
    numbers = {"0034309": 0, "0062765": 2, "0056978": 1}
    lines(folder / "images_variant_test.txt", [f"{number} {names[label]}" for number, label in numbers.items()])
    for number, label in numbers.items():
        save(folder / "images" / f"{number}.jpg", label)
    return names


def stanford_cars(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, names = (
        root / "stanford_cars",
        ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"],
    )
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    rows = []
    for number, label in enumerate([2, 0, 1], start=1):
        save(folder / "cars_test" / f"{number:05d}.jpg", label)
        rows.append((1, 1, 39, 29, np.uint8(label + 1), f"{number:05d}.jpg"))
    fields = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": np.array([rows], dtype=fields)})
    return names


def sun397(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, names = root / "SUN397", ["/a/abbey", "/a/airplane_cabin", "/a/apse/indoor"]
    lines(folder / "ClassName.txt", names)
    for label in (2, 0, 1):  # another order than the names'
        for word in ("sun_bzz", "sun_aaa"):
            save(folder / names[label][1:] / f"{word}.jpg", label)
    return ["abbey", "airplane cabin", "apse indoor"]


def eurosat(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    for label, name in enumerate(["AnnualCrop", "Forest", "SeaLake"]):
        save(root / "eurosat" / "2750" / name / f"{name}_1.jpg", label)
    return ["annual crop land", "forest", "lake or sea"]


def dtd(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    folder, found = root / "dtd" / "dtd", {"banded": 0, "polka-dotted": 1}
    for name, label in found.items():
        save(folder / "images" / name / f"{name}_0002.jpg", label)
    lines(folder / "labels" / "test1.txt", [f"{name}/{name}_0002.jpg" for name in found])
    return list(found)


def pcam(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    labels = [1, 0, 1]
    (root / "pcam").mkdir(parents=True)
    with h5py.File(root / "pcam" / "camelyonpatch_level_2_split_test_x.h5", "w") as file:
        file["x"] = np.stack([pixels(label, 96) for label in labels])
    with h5py.File(root / "pcam" / "camelyonpatch_level_2_split_test_y.h5", "w") as file:
        file["y"] = np.array(labels, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ["lymph node", "lymph node containing metastatic tumor tissue"]


def imagenet(root: Path, patch: pytest.MonkeyPatch) -> list[str]:
    for label, name in enumerate(["n01440764", "n04008634", "n09999999"]):
        save(root / "imagenet" / "val" / name / f"ILSVRC2012_val_{label:08d}.JPEG", label)
    return ["tench", "projectile", "n09999999"]


WRITERS: dict[str, Callable[[Path, pytest.MonkeyPatch], list[str]]] = {
    writer.__name__: writer
    for writer in (
        caltech101, caltech256, cifar10, cifar100, dtd, eurosat, fgvc_aircraft, flowers102, food101, imagenet,
        oxford_pets, pcam, stanford_cars, stl10, sun397,
    )
}  # fmt: skip
