"""Pixel values of every kind of picture file, computed by hand; and what is refused."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_files import png, tiff
from PIL import Image

from hrvlm.data.decoding import FORMATS, SUFFIXES, colour, decode_image, read_image
from hrvlm.data.folder import AugmentedFolder, FolderDataModule, FolderDataset
from hrvlm.data.sampling import Address
from hrvlm.evaluation.subject import data_identity

DEEP = np.array([[0, 1000, 32768], [40000, 65000, 65535]], dtype=np.uint16)
DEEP_SHOWN = [[0, 4, 128], [156, 253, 255]]  # 255 * value / 65535, rounded
COLOURS = np.array([[[255, 0, 0], [0, 128, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [200, 100, 50]]], np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(content: bytes, *background: Any) -> list[Any]:
    image = decode_image(content, "x", *background)
    assert image.mode == "RGB"
    found: list[Any] = np.asarray(image).tolist()
    return found


def grey(values: list[list[int]]) -> list[Any]:
    return [[[value] * 3 for value in row] for row in values]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_grey_of_16_bits_is_scaled(kind: str) -> None:
    options = {"irreversible": False} if kind == "JPEG2000" else {}
    assert shown(saved(Image.fromarray(DEEP), kind, **options)) == grey(DEEP_SHOWN)


def test_grey_of_16_bits_of_other_forms_is_scaled() -> None:
    big = b"P5 3 2 65535\n" + DEEP.astype(">u2").tobytes()
    assert shown(big) == grey(DEEP_SHOWN)
    twelve = np.array([0, 1000, 2048, 4095], dtype=">u2")
    assert shown(b"P5 4 1 4095\n" + twelve.tobytes()) == grey([[0, 62, 128, 255]])
    inverted = tiff(3, 2, DEEP.astype("<u2").tobytes(), bits=16, photometric=0)
    assert shown(inverted) == grey([[255 - value for value in row] for row in DEEP_SHOWN])
    packed = bytes([0x00, 0x03, 0xE8, 0x80, 0x0F, 0xFF])  # 0, 1000, 2048, 4095 in 12 bits each
    assert shown(tiff(4, 1, packed, bits=12)) == grey([[0, 62, 128, 255]])
    colours = struct.pack(">6H", 0, 32768, 65535, 1000, 65000, 40000)
    found = shown(png(2, 1, 16, 2, [colours]))
    np.testing.assert_allclose(found, [[[0, 128, 255], [4, 253, 156]]], atol=1)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (tiff(2, 1, np.array([0.0, 1.0], "<f4").tobytes(), bits=32, sample_format=3), "TIFF of mode F"),
        (tiff(2, 1, np.array([0, 7], "<u4").tobytes(), bits=32), "TIFF of mode I"),
        (tiff(2, 1, np.array([-5, 7], "<i2").tobytes(), bits=16, sample_format=2), "TIFF of mode I"),
        (b"Pf\n2 1\n-1.0\n" + np.array([0.0, 1.0], "<f4").tobytes(), "PPM of mode F"),
    ],
)
def test_pixels_without_a_range_are_refused_by_name(content: bytes, what: str) -> None:
    message = rf"expected a readable image here: its pixels \({what}\) have no defined range of values; store 8 or 16"
    with pytest.raises(ValueError, match=message):
        decode_image(content, "here")


def transparent(mode: str) -> bytes:
    """Two by one: the left pixel hides red (or dark grey) and is transparent, the right one is opaque."""
    if mode == "P":
        return png(2, 1, 8, 3, [bytes([0, 1])], (b"PLTE", bytes([255, 0, 0, 0, 128, 0])), (b"tRNS", bytes([0])))
    if mode == "LA":
        return png(2, 1, 8, 4, [bytes([40, 0, 90, 255])])
    if mode == "L":
        return png(2, 1, 8, 0, [bytes([40, 90])], (b"tRNS", struct.pack(">H", 40)))
    if mode == "L of 4 bits":
        return png(2, 1, 4, 0, [bytes([0x26])], (b"tRNS", struct.pack(">H", 2)))
    if mode == "I;16":
        return png(2, 1, 16, 0, [struct.pack(">HH", 1000, 23130)], (b"tRNS", struct.pack(">H", 1000)))
    if mode == "RGB":
        return png(2, 1, 8, 2, [bytes([255, 0, 0, 0, 128, 0])], (b"tRNS", struct.pack(">3H", 255, 0, 0)))
    if mode == "GIF":
        picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
        picture.putpalette([255, 0, 0, 0, 128, 0])
        return saved(picture, "GIF", transparency=0)
    return saved(Image.fromarray(np.array([[[255, 0, 0, 0], [0, 128, 0, 255]]], dtype=np.uint8)), mode, lossless=True)


@pytest.mark.parametrize("mode", ["P", "LA", "L", "L of 4 bits", "I;16", "RGB", "GIF", "PNG", "WEBP"])
def test_transparent_pixels_show_the_background(mode: str) -> None:
    right = {"LA": [90] * 3, "L": [90] * 3, "L of 4 bits": [102] * 3, "I;16": [90] * 3}.get(mode, [0, 128, 0])
    assert shown(transparent(mode)) == [[[255, 255, 255], right]]
    assert shown(transparent(mode), (10, 20, 30)) == [[[10, 20, 30], right]]


def test_half_transparent_pixels_are_mixed() -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    for background in ((255, 255, 255), (0, 0, 0), (200, 10, 90)):
        share = values[..., 3:].astype(float) / 255
        expected = values[..., :3] * share + np.array(background) * (1 - share)
        np.testing.assert_allclose(shown(saved(Image.fromarray(values), "PNG"), background), expected, atol=0.51)
    keyed = png(1, 1, 16, 2, [struct.pack(">3H", 1, 2, 4)], (b"tRNS", struct.pack(">3H", 1, 2, 3)))
    with pytest.raises(ValueError, match="one colour of 16 bits per channel is transparent"):
        decode_image(keyed, "x")


def test_other_modes_have_their_colours() -> None:
    picture = Image.fromarray(COLOURS)
    assert shown(saved(picture, "PNG")) == COLOURS.tolist()
    assert shown(saved(picture.quantize(6), "PNG")) == COLOURS.tolist()
    ink = np.array([[[0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]]], dtype=np.uint8)
    assert shown(saved(Image.fromarray(ink, "CMYK"), "TIFF")) == [[[255, 0, 0], [0, 0, 0], [255, 255, 255]]]
    blocks = np.asarray(Image.fromarray(ink, "CMYK").resize((24, 8), Image.Resampling.NEAREST))
    found = np.array(shown(saved(Image.fromarray(blocks, "CMYK"), "JPEG", quality=100)))
    np.testing.assert_allclose(found[4, 4::8], [[255, 0, 0], [0, 0, 0], [255, 255, 255]], atol=4)
    bits = Image.fromarray(np.array([[0, 255, 255, 0]], dtype=np.uint8)).convert("1")
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert shown(saved(bits, kind)) == grey([[0, 255, 255, 0]])


def test_pictures_stand_as_exif_says(tmp_path: Path) -> None:
    picture = Image.fromarray(COLOURS)
    turns = {
        1: COLOURS, 2: COLOURS[:, ::-1], 3: COLOURS[::-1, ::-1], 4: COLOURS[::-1], 5: COLOURS.transpose(1, 0, 2),
        6: np.rot90(COLOURS, -1), 7: COLOURS[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(COLOURS),
    }  # fmt: skip
    for orientation, expected in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("PNG", "TIFF"):
            assert shown(saved(picture, kind, exif=exif)) == expected.tolist()
    exif[0x0112] = 6
    deep = shown(saved(Image.fromarray(DEEP), "PNG", exif=exif))
    assert deep == np.rot90(np.array(grey(DEEP_SHOWN)), -1).tolist()
    wide = Image.new("RGB", (64, 32), (250, 0, 0))
    wide.paste((0, 0, 250), (32, 0, 64, 32))
    wide.save(tmp_path / "x.jpg", exif=exif, quality=95)
    found = read_image(str(tmp_path / "x.jpg"))
    assert found.size == (32, 64)  # turned right: red above blue
    np.testing.assert_allclose(found.getpixel((16, 16)), (250, 0, 0), atol=8)
    np.testing.assert_allclose(found.getpixel((16, 48)), (0, 0, 250), atol=8)
    assert shown(png(1, 1, 8, 0, [b"\x07"], (b"eXIf", b"II*\0\x08\0\0\0\xff\xff"))) == grey([[7]])


def test_the_lists_are_those_of_pillow() -> None:
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)
    known = {ending.removeprefix(".") for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert set(SUFFIXES) == known | {"mpo"}  # two JPEG files in one


def test_other_programs_are_not_called(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(saved(Image.new("RGB", (4, 4)), "EPS"))
    with pytest.raises(ValueError, match=r"expected a readable image file at .*x\.png: cannot identify image file"):
        read_image(str(tmp_path / "x.png"))


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (60_000, 1), (650, 10)])
def test_slivers_are_refused(size: tuple[int, int]) -> None:
    content = saved(Image.new("L", size), "PNG")
    with pytest.raises(ValueError, match=rf"image x: its longer side .* 64 times .* not {size[0]} x {size[1]}"):
        decode_image(content, "x")
    decode_image(saved(Image.new("L", (640, 10)), "PNG"), "x")


def test_pictures_of_too_many_pixels_are_refused_by_name() -> None:
    for side in (10_000, 50_000):
        content = png(side, side, 8, 0, [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=rf"a readable image big one: Image size \({side**2} pixels\)"):
                decode_image(content, "big one")


def test_the_background_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a" / "0.png")
    given: dict[str, Any] = {"train_folder": str(tmp_path), "evaluation_folders": {"validation": str(tmp_path)}}
    for background, expected in (({}, [1.0, 1.0, 1.0]), ({"background": [0.0, 0.2, 1.0]}, [0.0, 0.2, 1.0])):
        module = FolderDataModule(**given, **background, image_size=4)
        images = module.evaluation_set()[0][0], module.build_training()[Address(0, 0)]["image"]
        for image in images:
            torch.testing.assert_close(image, torch.tensor(expected)[:, None, None].expand(3, 4, 4))
    assert "background" not in data_identity(FolderDataModule(**given).evaluation_set())
    assert data_identity(module.evaluation_set())["background"] == [0, 51, 255]
    for wrong in ([0.0, 0.0], [0.0, 0.0, 1.5], [float("nan")] * 3):
        with pytest.raises(ValueError, match="expected background as three numbers in"):
            FolderDataModule(**given, background=wrong)
    assert colour((0.0, 0.5, 1.0)) == (0, 128, 255)


def test_pixels_reach_the_model_as_they_are(tmp_path: Path) -> None:
    """Data set and training crop of pictures without structure: every value is the file's, of any mode."""
    (tmp_path / "a").mkdir()
    contents = {
        "0.png": png(8, 8, 16, 0, [struct.pack(">8H", *[10_000] * 8)] * 8),
        "1.tif": tiff(8, 8, np.full(64, 50_000, "<u2").tobytes(), bits=16),
        "2.jp2": saved(Image.fromarray(np.full((8, 8), 60_000, np.uint16)), "JPEG2000", irreversible=False),
        "3.gif": saved(Image.new("P", (8, 8), 3), "GIF"),
        "4.png": saved(Image.new("LA", (8, 8), (0, 51)), "PNG"),
    }
    for name, content in contents.items():
        (tmp_path / "a" / name).write_bytes(content)
    Image.new("RGB", (8, 8), (9, 80, 200)).save(tmp_path / "a" / "3.gif")
    expected = [[39] * 3, [195] * 3, [233] * 3, [9, 80, 200], [204] * 3]
    data = FolderDataset(tmp_path, image_size=4)
    training = AugmentedFolder(tmp_path, image_size=4, seed=0, scale=(0.5, 1.0))
    assert len(data) == 5
    for index, values in enumerate(expected):
        for image in (data[index][0], training[Address(index, 0)]["image"]):
            wanted = (torch.tensor(values) / 255)[:, None, None].expand(3, 4, 4)
            torch.testing.assert_close(image, wanted)
