"""Files of labels of the captioner's answers under noise: what `generative_draws.py` writes and others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("runs/generative-scaling")
SPLIT, SEED, IMAGES, SIGMAS = "unseen_artist", 0, 40, (0.1, 0.25)
PILOT, WIDE, DEEP, DEEPEST = 100, 1_000, 10_000, 100_000
"""Samples; the numbers of the pilot come first, the others count from its end."""
FIRST = 12  # pictures that are drawn deep
BATCH = 100


def mode(labels: NDArray[np.int8]) -> int:
    """The most frequent label; the least one of several."""
    return int(np.bincount(labels).argmax())


def label_file(folder: Path, sigma: float, index: int) -> Path:
    return folder / f"sigma-{sigma:g}-image-{index:04d}.npy"


def read_labels(path: Path) -> NDArray[np.int8]:
    """Labels drawn so far, of the pilot first."""
    return np.load(path) if path.exists() else np.empty(0, dtype=np.int8)


def read_setting(folder: Path) -> dict[str, Any]:
    """What was drawn from."""
    found: dict[str, Any] = json.loads((folder / "setting.json").read_text(encoding="utf-8"))
    return found
