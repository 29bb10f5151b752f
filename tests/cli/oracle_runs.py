"""Small runs of the packaged captioner under oracles, which several test files look at."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from hrvlm.cli.certify import main

ROWS = "certificates.jsonl"
NUM_IMAGES, N, SIGMA, ALPHA = 3, 60, 0.1, 0.05
ORACLES = "hrvlm.generative.oracles."
COMMAND: dict[str, Any] = {"class_path": ORACLES + "CommandOracle"}
SAME: dict[str, Any] = {
    "class_path": ORACLES + "EquivalenceOracle",
    "init_args": {"embedder": {"class_path": ORACLES + "BagOfWordsEmbedder"}, "threshold": 0.9},
}
SETTINGS: dict[str, Any] = {
    "data": {"class_path": "hrvlm.data.emoji_pack.datamodule.EmojiDataModule"},
    "split": "unseen_artist",
    "answers": {
        "prompt": "act",
        "references": "emoji",
        "questions": [{"oracle": COMMAND, "error": {"model": "overall", "rate": 0.02}}, {"oracle": SAME}],
    },
    "plan": {
        "num_images": NUM_IMAGES, "semantic": False, "sigma": SIGMA, "n0": 8, "n": N, "alpha": ALPHA,
        "radii": [0.0, 0.05], "batch_size": 64,
    },
}  # fmt: skip


class Breaking:
    """Scores of texts, and their vectors, whose own code breaks as soon as it is shown the word "follow"."""

    def scores(self, answers: Sequence[str]) -> NDArray[np.float64]:
        return np.tile([0.9, 0.1], (len(self._read(answers)), 1))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.tile([1.0, 0.0], (len(self._read(texts)), 1))

    def describe(self) -> dict[str, Any]:
        return {"breaks": "on one word"}

    def _read(self, texts: Sequence[str]) -> Sequence[str]:
        if any("follow" in text for text in texts):
            raise MemoryError("no room\nfor the network")
        return texts


def write_config(folder: Path, **changes: Any) -> Path:
    """The settings with parts of them replaced."""
    settings = copy.deepcopy(SETTINGS)
    for name, value in changes.items():
        settings[name] = settings.get(name, {}) | value if isinstance(value, dict) else value
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def command(name: str, config: Path, output: Path, *more: str, model: str | Path = "emoji-captioner") -> Path:
    main([name, "--config", str(config), "--checkpoint", str(model), "--output", str(output), *more])
    return output


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ROWS).read_text(encoding="utf-8").splitlines()]


def by_claim(folder: Path, oracle: str) -> dict[str, dict[int, dict[str, Any]]]:
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows_of(folder):
        if row["oracle"] == oracle:
            assert row["index"] not in found[row["claim"]]
            found[row["claim"]][row["index"]] = row
    return found
