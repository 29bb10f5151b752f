"""What the packaged pictures show: classes, artists and licences, without the pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

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
