"""How the objective's memory grows with trees, levels, batch and width, measured from what torch allocates.

The law: bytes <= C · (N·D + R·(D + T)), with N nodes of the forest, D the width, T nodes and R rows of one tree, the
largest. A tree's rows are the images and the groups present in the batch, R <= B + T. So batch and levels are paid for
once, not once per tree, and a further tree costs its text points alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hrvlm.objectives.groups import TreeTable, group_batch

LEAVES, WIDTH, FLOAT64 = 150, 48, 8
CONSTANT = 8.0  # copies of every number in 64 bits


@pytest.fixture(scope="module")
def benchmark() -> Any:
    """The module that generates forests and measures, which is no part of the package."""
    path = Path(__file__).parents[2] / "benchmarks" / "generated_forest.py"
    spec = importlib.util.spec_from_file_location("generated_forest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def measured(benchmark: Any, trees: int, levels: int, batch: int, width: int = WIDTH) -> tuple[int, float]:
    """Peak bytes, and the law's count of numbers times 8 bytes."""
    alone = benchmark.ObjectiveAlone(benchmark.generated_forest(trees, LEAVES, levels), batch, width)
    tables: list[TreeTable] = list(alone.objective.tables)
    rows = max(len(group_batch(table, alone.labels).targets) for table in tables)
    nodes = max(sum(table.sizes) for table in tables)
    assert rows <= batch + nodes
    return benchmark.peak_memory(alone), FLOAT64 * (alone.nodes * width + rows * (width + nodes))


def test_peak_memory_keeps_the_law_over_trees_levels_batch_and_width(benchmark: Any) -> None:
    grid = [(1, 2, 32, 48), (1, 5, 32, 48), (5, 2, 32, 48), (5, 5, 32, 48), (1, 5, 256, 48), (5, 5, 256, 48)]
    shares = {}
    for trees, levels, batch, width in [*grid, (5, 5, 64, 192), (2, 5, 64, 192)]:
        peak, numbers = measured(benchmark, trees, levels, batch, width)
        shares[trees, levels, batch, width] = peak / numbers
    assert max(shares.values()) < CONSTANT, shares
    assert min(shares.values()) > 1.0, shares  # the measurement sees the objective's tensors


@pytest.mark.slow
def test_a_further_tree_costs_the_same_whatever_the_batch(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def growth(batch: int) -> int:
        one, five = (measured(benchmark, trees, 5, batch)[0] for trees in (1, 5))
        return five - one

    small, large = growth(32), growth(256)
    alone = measured(benchmark, 1, 5, 256)[0]
    assert abs(large - small) < 0.15 * alone

    def one_graph(parts: Any, inputs: Any, parameters: Any) -> Tensor:
        return torch.stack([part(*inputs) for part in parts]).sum()

    monkeypatch.setattr("hrvlm.objectives.forest_loss.sum_parts", one_graph)
    assert growth(256) - growth(32) > 2.0 * alone  # kept as one graph, every tree pays for the batch again
