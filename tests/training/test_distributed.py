"""Two processes under DDP give the loss and the gradients of one process on the global batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from distributed_cases import CASES, LABELS, Step, run, work

PROCESSES = 2


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two real processes found, by case."""
    folder = tmp_path_factory.mktemp("processes")
    arguments = (PROCESSES, str(folder))
    torch.multiprocessing.start_processes(work, arguments, nprocs=PROCESSES, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def largest_difference(case: str, shares: list[dict[str, Any]]) -> tuple[float, float]:
    """Of the logged numbers, and of the gradients relative to the largest entry of each."""
    alone = run(Step(case), range(len(LABELS)))
    logs, gradients = [], []
    for name, value in alone["logs"].items():
        logs.append((torch.stack([share[case]["logs"][name] for share in shares]).mean() - value).abs().item())
    for name, value in alone["gradients"].items():
        if value is None:
            assert all(share[case]["gradients"][name] is None for share in shares), name
            continue
        assert value.abs().max() > 0, name
        for share in shares:
            gradients.append(((share[case]["gradients"][name] - value).abs().max() / value.abs().max()).item())
    return max(logs), max(gradients)


@pytest.mark.parametrize("case", [case for case in CASES if case != "local"])
def test_loss_and_gradients_are_those_of_the_global_batch(case: str, shares: list[dict[str, Any]]) -> None:
    logs, gradients = largest_difference(case, shares)
    assert logs < 1e-5
    assert gradients < 1e-5


def test_averages_of_each_process_alone_are_another_loss(shares: list[dict[str, Any]]) -> None:
    logs, gradients = largest_difference("local", shares)
    assert logs > 1e-3
    assert gradients > 1e-3
