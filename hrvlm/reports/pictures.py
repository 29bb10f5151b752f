"""Small pictures of a page, as links that hold their own data."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from hrvlm.evaluation.progress import followed

SIZES = ((64, 192), (2_000, 64), (10_000, 40))
"""Sides in pixels, by the number of pictures up to which each is used; beyond the last no further picture is shown."""
_HELD = re.compile(r"data:image/(?:png|webp);base64,[A-Za-z0-9+/]+=*")
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def small_pictures(indices: Iterable[int], picture: Callable[[int], Any] | None) -> dict[int, str]:
    """Pictures of some images by index, smaller the more there are; of at most 10,000 of them.

    Args:
        indices: of the images.
        picture: image `(3, H, W)` in [0, 1] of an index; None where the data is not at hand.
    """
    if picture is None:
        return {}
    order = sorted(indices)
    side = next((side for most, side in SIZES if len(order) <= most), SIZES[-1][1])
    shown = order[: SIZES[-1][0]]
    return {index: data_uri(picture(index), side) for index in followed(shown, "drawing pictures", len(shown))}


def data_uri(image: Any, side: int | None = 256) -> str:
    """An image `(3, H, W)` in [0, 1] as a picture inside a link, at most so many pixels wide and high.

    Without a side it keeps its size and every pixel, to 8 bits.
    """
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    small = Image.fromarray(pixels)
    out = io.BytesIO()
    if side is None:
        small.save(out, format="PNG")
    else:
        small.thumbnail((side, side))
        small.save(out, format="WEBP", quality=72, method=3)
    kind = "png" if side is None else "webp"
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Held:
    """What a page that was made before shows of its data.

    Attributes:
        pictures: small pictures by index.
        names: classes in words, by "TREE/LEVEL" and number.
        parents: per "TREE/LEVEL" the node of the next level that each node lies in.
        paths: files by index.
    """

    pictures: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parents: Mapping[str, Sequence[int]] = field(default_factory=dict)
    paths: Mapping[int, str] = field(default_factory=dict)


def held_of(page: Path) -> Held:
    """What a page shows of its data; nothing where it is no such page. It may be a stranger's: nothing else is kept."""
    try:
        found = _DATA.search(page.read_text(encoding="utf-8"))
        data = json.loads(found.group(1)) if found else {}
        pairs = list(zip(data["index"], data["pictures"] or [0] * len(data["index"]), strict=True))
        paths = {index: str(path) for index, path in zip(data["index"], data["path"] or (), strict=False)}
        names = {str(key): {str(k): str(v) for k, v in words.items()} for key, words in data["names"].items()}
        parents = {str(key): [int(node) for node in nodes] for key, nodes in data["parents"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Held()
    pictures = {i: link for i, link in pairs if isinstance(i, int) and isinstance(link, str) and _HELD.fullmatch(link)}
    return Held(pictures, names, parents, paths)
