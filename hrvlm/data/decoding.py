"""Any picture file becomes upright RGB of 8 bits: one way for folders, shards, zero-shot sets and pictures of targets.

Only formats of an explicit list are opened, none of which runs another program (as PostScript would). Modes without
a range of values of their own are refused by name, never guessed at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Colour: TypeAlias = tuple[int, int, int]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "QOI")
# The usual ones first: of two pictures of one sample in a shard the first kind counts.
SUFFIXES = (
    "jpg", "jpeg", "png", "webp", "ppm", "bmp", "gif", "tif", "tiff", "pgm", "pbm", "pnm", "pfm", "jfif", "jpe", "mpo",
    "apng", "dib", "avif", "avifs", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "qoi",
)  # fmt: skip
WHITE: Colour = (255, 255, 255)
MAX_ASPECT = 64  # longer side over shorter: resizing by the shorter one makes pictures so much larger
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF


def colour(background: Sequence[float]) -> Colour:
    """The colour of 8 bits for three numbers in [0, 1].

    Raises:
        ValueError: If there are not three, or one is outside.
    """
    if len(background) != 3 or not all(0.0 <= channel <= 1.0 for channel in background):
        raise ValueError(f"expected background as three numbers in [0, 1], got {list(background)}")
    red, green, blue = (round(255 * float(channel)) for channel in background)
    return red, green, blue


def read_image(path: str, background: Colour = WHITE) -> Image.Image:
    """Opens an image file completely, as upright RGB.

    Args:
        path: Where the picture lies, for messages.
        background: What transparent pixels are blended onto.

    Raises:
        ValueError: If the file is missing, damaged, or its pixels have no defined range; the message names it.
    """
    return _decoded(path, f"file at {path}", background)


def decode_image(content: bytes, where: str, background: Colour = WHITE) -> Image.Image:
    """Decodes the bytes of an image file completely, as upright RGB.

    Args:
        content: A JPEG, PNG, … file.
        where: What the message calls it.
        background: What transparent pixels are blended onto.

    Raises:
        ValueError: If the bytes are no image or damaged, or its pixels have no defined range.
    """
    return _decoded(BytesIO(content), where, background)


def _decoded(source: str | BinaryIO, where: str, background: Colour) -> Image.Image:
    try:
        with _opened(source) as image:
            return to_rgb(image, background)
    except Exception as error:  # Pillow raises many kinds for damaged files; all mean the same to the user
        raise ValueError(f"expected a readable image {where}: {error}; replace or remove it") from error


def _opened(source: str | BinaryIO) -> Image.Image:
    with warnings.catch_warnings():  # a picture that may be a bomb is refused, not warned of
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(source, formats=_formats())


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those of the list that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """RGB of 8 bits: turned as EXIF says, transparency blended, grey of more than 8 bits scaled by its depth.

    Args:
        image: As Pillow opened it; of several frames the first counts.
        background: What transparent pixels are blended onto.

    Raises:
        ValueError: If it is a sliver, or its mode has no defined range.
    """
    short, long = sorted(image.size)
    if long > MAX_ASPECT * short:
        width, height = image.size
        raise ValueError(f"its longer side may be {MAX_ASPECT} times its shorter one at most, not {width} x {height}")
    highest, raw = _highest(image), _raw_mode(image)  # Pillow forgets the raw mode once pixels are read
    image.load()
    with suppress(Exception):  # EXIF that cannot be read states no rotation
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _DEEP:
        image = _scaled(image, highest)
    elif isinstance(image.info.get("transparency"), int | tuple):
        image.info["transparency"] = _key(image.info["transparency"], raw)
    return _blended(image, background) if image.has_transparency_data else image.convert("RGB")


def _highest(image: Image.Image) -> int:
    """The value that means white.

    Raises:
        ValueError: If the mode has no defined range.
    """
    mode, tags = image.mode, getattr(image, "tag_v2", {})
    if mode in (*_PLAIN, *_WITH_ALPHA):
        return 255
    bits = int(tags[_BITS_PER_SAMPLE][0]) if _BITS_PER_SAMPLE in tags else 16  # other formats fill 16 bits
    unsigned = tuple(tags.get(_SAMPLE_FORMAT, (1,))) == (1,)
    # Pillow reads grey of 16 bits of PPM and (older ones) of PNG as 32-bit integers.
    if mode not in _DEEP or bits > 16 or not unsigned or (mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError(
            f"its pixels ({image.format or 'image'} of mode {mode}) have no defined range of values; "
            "store 8 or 16 bits per channel, unsigned"
        )
    return int(2**bits - 1)


def _raw_mode(image: Image.Image) -> str:
    """How pixels lie in the file, in Pillow's words; empty if unknown."""
    tiles: list[Any] = getattr(image, "tile", [])
    found = tiles[0][3] if tiles else ""
    return str(found[0] if isinstance(found, tuple) and found else found)


def _scaled(image: Image.Image, highest: int) -> Image.Image:
    """Grey of 8 bits from deeper grey; with transparency if one of its values means that."""
    values: NDArray[Any] = np.asarray(image).astype(np.int64)
    grey = (values * 255 + highest // 2) // highest
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        grey = 255 - grey  # white is zero
    found = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if "transparency" not in image.info:
        return found
    alpha = np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)
    return Image.merge("LA", (found, Image.fromarray(alpha)))


def _key(value: int | tuple[int, ...], raw: str) -> int | tuple[int, ...]:
    """The transparent colour, in the 8 bits of the pixels that Pillow gives out.

    Raises:
        ValueError: If colours of 16 bits have lost what tells the transparent one apart.
    """
    if isinstance(value, tuple) and ";16" in raw:
        raise ValueError("one colour of 16 bits per channel is transparent in it: store transparency as a channel")
    return value * {"L;2": 85, "L;4": 17}.get(raw, 1) if isinstance(value, int) else value


def _blended(image: Image.Image, background: Colour) -> Image.Image:
    plain = image.convert("LA") if image.mode == "La" else image  # Pillow goes no further in one step
    shown = plain.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, (*background, 255)), shown).convert("RGB")
