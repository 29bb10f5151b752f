"""Reads the packaged pictures: one WebP sheet per artist, a tile per class, with transparency."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class EmojiClass:
    """One class of the pack.

    Attributes:
        name: Unicode name in English, for example "red apple"; unique.
        hexcode: Code points, for example "1F34E".
        group: Unicode group, for example "food-drink".
        subgroup: Unicode subgroup, for example "food-fruit".
        tags: Keywords from emojibase.
        artists: The artists who draw it.
        tile: Position in the sheets.
    """

    name: str
    hexcode: str
    group: str
    subgroup: str
    tags: tuple[str, ...]
    artists: tuple[str, ...]
    tile: int


@lru_cache(maxsize=1)
def read_index() -> dict[str, Any]:
    """The pack's index: tile size, columns, artists with licences, package versions, classes."""
    index: dict[str, Any] = json.loads((FILES / "index.json").read_text(encoding="utf-8"))
    return index


@lru_cache(maxsize=1)
def all_classes() -> tuple[EmojiClass, ...]:
    """Every class of the pack, in Unicode order."""
    return tuple(
        EmojiClass(
            name=entry["name"],
            hexcode=entry["hexcode"],
            group=entry["group"],
            subgroup=entry["subgroup"],
            tags=tuple(entry["tags"]),
            artists=tuple(entry["artists"]),
            tile=tile,
        )
        for tile, entry in enumerate(read_index()["classes"])
    )


@lru_cache(maxsize=8)
def artist_tiles(artist: str) -> Tensor:
    """All tiles of one artist.

    Args:
        artist: A key of the index's "artists".

    Returns:
        uint8 tensor (classes, 4, 64, 64), RGBA; zero where the artist has not drawn the class.

    Raises:
        ValueError: For an unknown artist or an unreadable sheet.
    """
    index = read_index()
    if artist not in index["artists"]:
        raise ValueError(f"expected an artist of {sorted(index['artists'])}, got {artist!r}")
    path = FILES / f"{artist}.webp"
    try:
        sheet = np.asarray(Image.open(path).convert("RGBA"))
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"expected a readable WebP sheet at {path}; reinstall the package ({error})") from error
    tile, columns = index["tile"], index["columns"]
    rows = sheet.shape[0] // tile
    grid = sheet.reshape(rows, tile, columns, tile, 4).transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(grid.reshape(rows * columns, 4, tile, tile)[: len(index["classes"])].copy())
