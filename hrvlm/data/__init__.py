"""Data sets and Lightning data modules; the packaged emoji data."""

from hrvlm.data import zero_shot
from hrvlm.data.appearance import Appearance, render, sequence
from hrvlm.data.emoji_pack.dataset import EmojiDataset, emoji

__all__ = ["Appearance", "EmojiDataset", "emoji", "render", "sequence", "zero_shot"]
