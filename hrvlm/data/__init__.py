"""Data sets and Lightning data modules; the packaged emoji data; pictures of any source."""

from hrvlm.data import zero_shot
from hrvlm.data.appearance import Appearance, render, sequence
from hrvlm.data.emoji_pack.dataset import EmojiDataset, emoji
from hrvlm.data.sources import ImageCollection, chosen_classes, chosen_templates, open_images

__all__ = [
    "Appearance",
    "EmojiDataset",
    "ImageCollection",
    "chosen_classes",
    "chosen_templates",
    "emoji",
    "open_images",
    "render",
    "sequence",
    "zero_shot",
]
