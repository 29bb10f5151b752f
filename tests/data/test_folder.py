"""Image folders against direct Pillow computations, and broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from hrvlm.data.decoding import read_image
from hrvlm.data.folder import AugmentedFolder, FolderDataModule, FolderDataset
from hrvlm.data.images import evaluation_transform
from hrvlm.data.sampling import Address

FORMATS = ("png", "jpg", "webp", "bmp")


def picture(seed: int, width: int = 40, height: int = 28) -> Image.Image:
    """Smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write_folder(folder: Path, classes: int = 8, images: int = 4) -> Path:
    for label in range(classes):
        (folder / f"class_{label}").mkdir(parents=True)
        for position in range(images):
            seed = label * images + position
            name = f"{position}.{FORMATS[position % len(FORMATS)]}"
            picture(seed, 30 + 3 * label, 24 + 5 * position).save(folder / f"class_{label}" / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images") / "train")


def test_pictures_are_resized_and_cut_as_with_pillow(folder: Path) -> None:
    data = FolderDataset(folder, image_size=16)
    files = sorted(folder.glob("*/*"))
    assert data.class_ids == [f"class_{label}" for label in range(8)]
    assert len(data) == len(files) == 32
    for index, path in enumerate(files):
        with Image.open(path) as image:
            width, height = image.size
            scale = 16 / min(width, height)
            size = (16, int(height * scale)) if width <= height else (int(width * scale), 16)
            resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        left, top = round((size[0] - 16) / 2), round((size[1] - 16) / 2)
        expected = np.asarray(resized.crop((left, top, left + 16, top + 16))).astype(np.float32) / 255
        found, label = data[index]
        np.testing.assert_allclose(found.numpy(), expected.transpose(2, 0, 1), rtol=0, atol=1e-6)
        assert data.class_ids[label] == path.parent.name


def test_training_crops_are_squares_of_the_picture(tmp_path: Path) -> None:
    """Pictures of their own coordinates: a crop's corners tell where it was cut, and that nothing was stretched."""
    (tmp_path / "a").mkdir()
    x, y = np.meshgrid(np.linspace(0, 255, 120), np.linspace(0, 255 / 2, 60))
    Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).round().astype(np.uint8)).save(tmp_path / "a" / "0.png")
    data = AugmentedFolder(tmp_path, image_size=24, seed=0, scale=(0.1, 0.4))
    shares, mirrored, lefts = [], 0, []
    for epoch in range(200):
        image = data[Address(0, epoch)]["image"]
        across, down = (image[0, :, 20] - image[0, :, 4]).mean(), (image[1, 20] - image[1, 4]).mean()
        mirrored += int(across < 0)
        assert float(across.abs()) == pytest.approx(float(down), abs=0.01)
        side = float(down) * 24 / 16 * 120
        shares.append(side**2 / (120 * 60))
        lefts.append(float(image[0].min()) * 120)
    assert 60 < mirrored < 140
    assert 0.09 < min(shares) < 0.14
    assert 0.34 < max(shares) < 0.44  # crops are of 8 bits: a side is read off within about 1.5 percent
    assert min(lefts) < 8
    assert max(lefts) > 50


def test_training_samples_are_drawn_from_the_address(folder: Path) -> None:
    data, other = (AugmentedFolder(folder, image_size=16, seed=seed, scale=(0.3, 1.0)) for seed in (0, 1))
    first = data[Address(5, 0)]
    assert first.keys() == {"image", "label", "index"}
    assert (first["label"], first["index"]) == (1, 5)
    assert first["image"].shape == (3, 16, 16)
    assert 0 <= first["image"].min() < first["image"].max() <= 1
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    assert torch.equal(data[Address(5, 0)]["image"], first["image"])
    assert not torch.equal(data[Address(5, 1)]["image"], first["image"])
    assert not torch.equal(other[Address(5, 0)]["image"], first["image"])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_files_are_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    picture(0, 200, 160).save(path)
    content = path.read_bytes()
    assert read_image(str(path)).size == (200, 160)
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=rf"expected a readable image file at .*cut\.{suffix}: .*replace or remove it"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_raise_nothing_but_a_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"damaged.{suffix}"
    picture(1).save(path)
    content, generator = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for position in generator.integers(0, min(len(content), 120), 4):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_image(str(path))
        except ValueError as error:  # any other kind fails this test
            refused += f"damaged.{suffix}" in str(error)
    assert refused > 10


def test_one_damaged_file_of_a_folder_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", classes=2, images=2)
    (folder / "class_1" / "0.png").write_bytes(b"no image")
    data = FolderDataset(folder, image_size=8)
    assert data[0][1] == 0
    with pytest.raises(ValueError, match=r"readable image file at .*class_1.0\.png"):
        data[2]
    with pytest.raises(ValueError, match=r"readable image file at .*class_1.0\.png"):
        AugmentedFolder(folder, image_size=8, seed=0, scale=(0.5, 1.0))[Address(2, 0)]


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one sub-folder of images per class in .*nowhere"):
        FolderDataset(tmp_path / "nowhere", image_size=8)
    (tmp_path / "images" / "fox").mkdir(parents=True)
    with pytest.raises(ValueError, match="one sub-folder of images per class"):
        FolderDataset(tmp_path / "images", image_size=8)
    data = FolderDataModule(train_folder=str(tmp_path / "nowhere"), evaluation_folders={"validation": "x"})
    with pytest.raises(ValueError, match=r"train_folder .*nowhere"):
        data.class_ids  # noqa: B018 - a property that raises


def test_folders_with_other_classes_are_refused(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", classes=3, images=1)
    held_out = write_folder(tmp_path / "held_out", classes=2, images=1)
    write_folder(tmp_path / "val", classes=3, images=2)
    data = FolderDataModule(
        train_folder=str(train),
        evaluation_folders={"validation": str(tmp_path / "val"), "held_out": str(held_out)},
        image_size=8,
    )
    assert data.class_ids == ["class_0", "class_1", "class_2"] == data.evaluation_set().class_ids
    assert len(data.evaluation_set()) == 6
    with pytest.raises(ValueError, match=r"same classes in .*held_out as in .*train; only one of them has class_2$"):
        data.evaluation_set("held_out")
    with pytest.raises(ValueError, match=r"expected split of .*got 'test'"):
        data.evaluation_set("test")


def test_settings_out_of_range_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="image_size >= 1"):
        FolderDataset(folder, image_size=0)
    for scale in ((0.0, 1.0), (0.6, 0.5), (0.5, 1.5)):
        with pytest.raises(ValueError, match="expected scale"):
            AugmentedFolder(folder, image_size=8, seed=0, scale=scale)
    with pytest.raises(ValueError, match="expected validation_split"):
        FolderDataModule(train_folder=str(folder), evaluation_folders={"test": str(folder)})


def test_classes_are_named_by_a_tree_or_else_by_their_folders(folder: Path, tree_file: Path, pictures: Path) -> None:
    assert FolderDataset(folder, image_size=8).class_names == [f"class {label}" for label in range(8)]
    text = (
        tree_file.read_text(encoding="utf-8")
        .replace("hat: {", "hat: {name: sun hat, ")
        .replace("hat:\n", "hat:\n    name: sun hat\n")
    )
    named = folder / ".." / "named.yaml"
    named.write_text(text, encoding="utf-8")
    data = FolderDataModule(
        train_folder=str(pictures), evaluation_folders={"validation": str(pictures)}, names_tree=str(named)
    ).evaluation_set()
    assert data.class_ids[-1] == "hat"
    assert data.class_names == [*data.class_ids[:-1], "sun hat"]
    with pytest.raises(ValueError, match="no leaf for 8 of 8 classes"):
        FolderDataset(folder, image_size=8, names_tree=str(named))


def test_grey_palette_and_transparent_pictures_are_shown_in_colour(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        suffix = "jpg" if mode == "CMYK" else "png"
        picture(2).convert(mode).save(tmp_path / "a" / f"{mode}.{suffix}")
    data = FolderDataset(tmp_path, image_size=16)
    training = AugmentedFolder(tmp_path, image_size=16, seed=0, scale=(0.5, 1.0))
    for index in range(5):
        for image in (data[index][0], training[Address(index, 0)]["image"]):
            assert image.shape == (3, 16, 16)
            assert image.dtype == torch.float32
            assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("size", [(37, 53), (53, 37), (64, 64), (20, 91), (8, 8)])
@pytest.mark.parametrize("side", [8, 33, 64])
def test_pictures_are_resized_and_cut_as_torchvision_does(size: tuple[int, int], side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    steps = [v2.Resize(side, v2.InterpolationMode.BICUBIC), v2.CenterCrop(side), v2.ToImage()]
    expected = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True)])(image)
    found = evaluation_transform(side)(image)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert torch.equal(found, expected.as_subclass(torch.Tensor))
