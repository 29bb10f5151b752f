"""Data modules by their names alone: a parser knows those that are imported, and imports take seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any

DATA_MODULES = {
    "FolderDataModule": "hrvlm.data.folder",
    "ShardDataModule": "hrvlm.data.shards",
    "EmojiDataModule": "hrvlm.data.emoji_pack.datamodule",
    "CifarDataModule": "hrvlm.data.cifar_module",
    "CaptionShardDataModule": "hrvlm.data.caption_shards",
}
"""Where the data modules lie that configurations and help may name without their modules."""


def import_named(settings: Any) -> None:
    """Imports the data modules that settings name, so that a parser finds them.

    Args:
        settings: A configuration, or a word of a command line.
    """
    text = str(settings)
    for name, module in DATA_MODULES.items():
        if name in text:
            import_module(module)
