"""Zero-shot sets on generated files in their published layouts: labels, names and pixels agree; no downloads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from zero_shot_files import WRITERS, colour, lines

from hrvlm.data import open_images
from hrvlm.data.zero_shot import SETS, load, missing_files

TEMPLATE_COUNTS = {
    "caltech101": 34, "caltech256": 34, "cifar10": 18, "cifar100": 18, "dtd": 8, "eurosat": 3, "fgvc_aircraft": 2,
    "flowers102": 1, "food101": 1, "imagenet": 80, "oxford_pets": 1, "pcam": 1, "stanford_cars": 8, "stl10": 2,
    "sun397": 2,
}  # fmt: skip


def test_every_set_is_tested() -> None:
    assert set(WRITERS) == set(SETS) == set(TEMPLATE_COUNTS)
    assert len(SETS) == 15


@pytest.mark.parametrize("name", SETS)
def test_labels_names_and_pixels_agree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = WRITERS[name](tmp_path, monkeypatch)
    assert missing_files(name, tmp_path) == []
    data = load(name, tmp_path, image_size=16)
    assert data.class_names == expected
    labels = []
    for index in range(len(data)):
        image, label = data[index]
        assert image.shape == (3, 16, 16)
        assert image.dtype == torch.float32
        assert type(label) is int
        found = image.mean(dim=(1, 2)).numpy() * 255
        np.testing.assert_allclose(found, colour(label), atol=4)
        labels.append(label)
    assert len(set(labels)) >= 2
    assert data.labels() == labels
    assert len(data.templates) == TEMPLATE_COUNTS[name]
    assert all(template.count("{}") == 1 for template in data.templates)
    assert len(set(data.templates)) == len(data.templates)


def test_labels_are_known_without_reading_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["food101"](tmp_path, monkeypatch)
    data = open_images("food101", root=str(tmp_path), image_size=16)
    expected = [data[index][1] for index in range(len(data))]
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(b"")
    assert data.labels() == expected


def test_templates_are_the_published_ones() -> None:
    texts = {name: entry.templates() for name, entry in SETS.items()}
    assert texts["cifar10"][0] == "a photo of a {}."
    assert texts["cifar10"][-1] == "a photo of the big {}."
    assert {"a origami {}.", "the plastic {}.", "a {} in a video game.", "art of the {}."} <= set(texts["caltech101"])
    assert {"a photo of a {} texture.", "a photo of the {} object."} <= set(texts["dtd"])
    assert texts["oxford_pets"] == ("a photo of a {}, a type of pet.",)
    assert texts["food101"] == ("a photo of {}, a type of food.",)
    assert texts["pcam"] == ("this is a photo of {}",)
    assert [text.replace("{}", "crane") for text in texts["imagenet"]] == [
        template("crane") for template in open_clip.OPENAI_IMAGENET_TEMPLATES
    ]


@pytest.mark.parametrize("name", SETS)
def test_missing_sets_are_refused_and_nothing_is_made(name: str, tmp_path: Path) -> None:
    title = SETS[name].title
    with pytest.raises(ValueError, match=rf"expected {title} unpacked as .* under .*, missing .*nothing is downloaded"):
        load(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert missing_files(name, tmp_path) == list(SETS[name].files)


def test_one_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["stl10"](tmp_path, monkeypatch)
    (tmp_path / "stl10_binary" / "test_y.bin").unlink()
    with pytest.raises(ValueError, match=r"missing stl10_binary/test_y\.bin; nothing is downloaded"):
        load("stl10", tmp_path)


def test_other_files_than_the_published_are_refused(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        WRITERS["cifar10"](tmp_path, patch)
    with pytest.raises(ValueError, match=r"expected the published files of CIFAR-10 under .*not the published ones"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "file"), [("stanford_cars", "stanford_cars/devkit/cars_meta.mat"), ("food101", "food-101/meta/test.json")]
)
def test_damaged_lists_are_refused(name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[name](tmp_path, monkeypatch)
    (tmp_path / file).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=rf"expected the published files of {SETS[name].title} under .*unpack"):
        load(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("food101", "food-101/images/apple_pie/102.jpg"),
        ("caltech101", "caltech101/101_ObjectCategories/Faces/image_0002.jpg"),
        ("oxford_pets", "oxford-iiit-pet/images/american_bulldog_203.jpg"),
        ("eurosat", "eurosat/2750/Forest/Forest_1.jpg"),
        ("stanford_cars", "stanford_cars/cars_test/00002.jpg"),
    ],
)
@pytest.mark.parametrize("kept", [0, 400])
def test_damaged_images_are_named(
    name: str, file: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path, monkeypatch)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:kept])
    named = r"Faces/\*_0002\.jpg" if name == "caltech101" else path.name
    data = load(name, tmp_path, image_size=8)
    with pytest.raises(ValueError, match=rf"expected a readable image .*{named}.* of {data.title}: .*replace it"):
        [data[index] for index in range(len(data))]


def test_grey_pictures_are_shown_in_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["caltech101"](tmp_path, monkeypatch)
    Image.new("L", (30, 20), 77).save(tmp_path / "caltech101/101_ObjectCategories/Faces/image_0001.jpg")
    image, label = load("caltech101", tmp_path, image_size=8)[0]
    assert label == 0
    assert image.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("oxford_pets", "oxford-iiit-pet/images/Abyssinian_201.jpg"),
        ("caltech101", "caltech101/101_ObjectCategories/Faces/image_0001.jpg"),
    ],
)
def test_pictures_are_read_as_everywhere(name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is transparent is white, grey of 16 bits is scaled, and only listed formats are opened, whatever suffix."""
    WRITERS[name](tmp_path, monkeypatch)
    data = load(name, tmp_path, image_size=8)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / file, format="PNG")
    assert data[0][0].min() == 1
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / file, format="PNG")
    assert data[0][0].unique().tolist() == pytest.approx([128 / 255])
    Image.new("RGB", (8, 8)).save(tmp_path / file, format="EPS")
    with pytest.raises(ValueError, match="cannot identify image file"):
        data[0]


def test_sun397_comes_in_the_same_order_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["sun397"](tmp_path, monkeypatch)
    data = load("sun397", tmp_path, image_size=8)
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(sorted(self.glob(f"**/{pattern}"))))
    other = load("sun397", tmp_path, image_size=8)
    assert [data[i][1] for i in range(6)] == [other[i][1] for i in range(6)] == [0, 0, 1, 1, 2, 2]


def test_classes_that_cannot_be_told_apart_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["sun397"](tmp_path, monkeypatch)
    lines(tmp_path / "SUN397" / "ClassName.txt", ["/a/abbey", "/a/airplane_cabin", "/a/apse/indoor", "/a/apse_indoor"])
    with pytest.raises(ValueError, match="every class of SUN397 to have a name of its own, got twice: apse indoor"):
        load("sun397", tmp_path)


def test_labels_without_a_class_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["stl10"](tmp_path, monkeypatch)
    lines(tmp_path / "stl10_binary" / "class_names.txt", ["airplane", "bird"])
    data = load("stl10", tmp_path, image_size=8)
    with pytest.raises(ValueError, match="expected labels below 2 in STL10, got 2 of item 1"):
        data[1]


def test_unknown_names_and_a_missing_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"expected a zero-shot set of caltech101, .*got 'mnist'"):
        load("mnist", tmp_path)
    WRITERS["pcam"](tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "h5py", None)  # as Python has it for a package that is not there
    with pytest.raises(
        ValueError, match=r'the package h5py to read PCAM; install it with: pip install "hrvlm\[pcam\]"'
    ):
        load("pcam", tmp_path)
