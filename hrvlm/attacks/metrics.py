"""Accuracies under attack as a torchmetrics metric, exact over processes that hold unequal shares of the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from hrvlm.attacks.records import CLEAN, RobustnessRecord

Level = tuple[str, int]
Cell = tuple[str, Level | None, Level]


class RobustAccuracy(Metric):
    """Accuracy per attack, attacked level and evaluated level; clean accuracy per level.

    All states are sums over images, so processes may have seen different numbers of images, even none.
    """

    full_state_update = False
    higher_is_better = True
    images: Tensor
    correct: Tensor

    def __init__(self, attacks: Sequence[str], levels: Sequence[Level], **options: Any) -> None:
        """Fixes what is counted.

        Args:
            attacks: Names, without "clean".
            levels: (tree, level) of every level, each once.
            options: Of `torchmetrics.Metric`.
        """
        super().__init__(**options)
        levels = list(levels)
        own: list[Cell] = [(CLEAN, None, level) for level in levels]
        self.cells = own + [(name, source, level) for name in attacks for source in levels for level in levels]
        self._positions = {cell: position for position, cell in enumerate(self.cells)}
        for name in ("images", "correct"):
            self.add_state(name, torch.zeros(len(self.cells), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, records: Iterable[RobustnessRecord]) -> None:
        """Counts rows."""
        records = list(records)
        places = torch.tensor([self._positions[_cell(record)] for record in records], dtype=torch.int64)
        correct = torch.tensor([record.correct for record in records], dtype=torch.int64)
        places, correct = places.to(self.images.device), correct.to(self.images.device)
        self.images.index_add_(0, places, torch.ones_like(correct))
        self.correct.index_add_(0, places, correct)

    def compute(self) -> dict[str, Tensor]:
        """Accuracies by name, see `cell_name`; cells without images are left out."""
        found = zip(self.cells, self.correct / self.images, self.images, strict=True)
        return {cell_name(cell): share for cell, share, count in found if count}


def _cell(record: RobustnessRecord) -> Cell:
    level = (record.tree, record.level)
    if record.attacked_tree is None or record.attacked_level is None:
        return CLEAN, None, level
    return record.attack, (record.attacked_tree, record.attacked_level), level


def cell_name(cell: Cell) -> str:
    """Such as "clean/TREE/0", "pgd20/TREE/1" for the attacked level itself, "pgd20/TREE/1/on/TREE/0" for transfer."""
    attack, source, level = cell
    if source is None or source == level:
        return f"{attack}/{level[0]}/{level[1]}"
    return f"{attack}/{source[0]}/{source[1]}/on/{level[0]}/{level[1]}"
