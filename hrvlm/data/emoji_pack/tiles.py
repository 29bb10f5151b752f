"""Reads the packaged pictures: one WebP sheet per artist, a tile per class, with transparency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hrvlm.data.emoji_pack.pack import FILES, read_index


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
