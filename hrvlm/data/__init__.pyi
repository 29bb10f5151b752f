from . import zero_shot
from .appearance import Appearance, render, sequence
from .emoji_pack.dataset import EmojiDataset, emoji
from .sources import ImageCollection, chosen_classes, chosen_templates, open_images

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
