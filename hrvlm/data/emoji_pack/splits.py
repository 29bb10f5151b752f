"""Which classes and which artists' pictures belong to which split."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from hrvlm.data.emoji_pack.pack import EmojiClass, all_classes, read_index

UNSEEN_ARTIST = "twemoji"
GROUPS = ("animals-nature", "food-drink", "travel-places", "activities")
LEFT_OUT_SUBGROUPS = ("time",)  # clock faces differ in the direction of a hand only
UNSEEN_CLASS_SHARE = 0.1
VALIDATION_SHARE = 0.05
SEEN_CLASS_SPLITS = ("train", "validation", "unseen_artist")
SPLITS = (*SEEN_CLASS_SPLITS, "unseen_classes")


def _rank(text: str) -> int:
    """A fixed pseudo-random order that no later change of the class list disturbs."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@lru_cache(maxsize=1)
def default_classes() -> tuple[EmojiClass, ...]:
    """Concrete things that the unseen artist draws: animals, plants, food, drink, places, vehicles, weather, games."""
    return tuple(
        entry
        for entry in all_classes()
        if entry.group in GROUPS and entry.subgroup not in LEFT_OUT_SUBGROUPS and UNSEEN_ARTIST in entry.artists
    )


@lru_cache(maxsize=1)
def unseen_names() -> frozenset[str]:
    """Names of the classes of which no picture is ever used in training."""
    ordered = sorted(default_classes(), key=lambda entry: _rank(entry.hexcode))
    return frozenset(entry.name for entry in ordered[: round(len(ordered) * UNSEEN_CLASS_SHARE)])


def _is_validation(entry: EmojiClass, artist: str) -> bool:
    return _rank(f"{artist}/{entry.hexcode}") < VALIDATION_SHARE * 2**64


def split_items(split: str) -> tuple[tuple[EmojiClass, ...], list[tuple[int, str]]]:
    """Classes and pictures of a split.

    Args:
        split: "train": seen classes by five artists; "validation": some of these artists' pictures, left out of
            training, for tuning; "unseen_artist": seen classes by the sixth artist; "unseen_classes": the classes
            left out of training, by all artists.

    Returns:
        The split's classes, in Unicode order, and its items (position in the classes, artist).

    Raises:
        ValueError: For an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"expected split of {SPLITS}, got {split!r}")
    unseen = unseen_names()
    classes = tuple(entry for entry in default_classes() if (entry.name in unseen) == (split == "unseen_classes"))
    items = [
        (label, artist)
        for artist in read_index()["artists"]
        for label, entry in enumerate(classes)
        if artist in entry.artists and _belongs(split, entry, artist)
    ]
    return classes, items


def _belongs(split: str, entry: EmojiClass, artist: str) -> bool:
    """Whether a picture of one of the split's classes is in the split."""
    if split == "unseen_classes":
        return True
    if artist == UNSEEN_ARTIST or split == "unseen_artist":
        return artist == UNSEEN_ARTIST and split == "unseen_artist"
    return _is_validation(entry, artist) == (split == "validation")
