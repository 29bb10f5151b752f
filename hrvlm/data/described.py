"""Data sets say in a line what they hold, where Python would print an address."""

from __future__ import annotations

from typing import Any


class Described:
    """A map-style data set whose `repr` tells its size: `EmojiDataset('unseen_artist', 501 images of 501 classes)`."""

    def __repr__(self) -> str:
        kept = vars(self)
        name = kept.get("name") or kept.get("split")
        size: Any = len(self) if hasattr(self, "__len__") else "?"
        classes = kept.get("class_names") or kept.get("class_ids")
        told = f"{size} images" + (f" of {len(classes)} classes" if classes else "")
        return f"{type(self).__name__}({f'{name!r}, ' if isinstance(name, str) else ''}{told})"
