"""Data sets and Lightning data modules; the packaged emoji data."""

from hrvlm.data.appearance import Appearance, render, sequence
from hrvlm.data.emoji_pack.dataset import EmojiDataset, emoji

__all__ = ["Appearance", "EmojiDataset", "emoji", "render", "sequence"]
