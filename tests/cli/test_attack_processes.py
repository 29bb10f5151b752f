"""`certify.py attack` in 1 and 2 processes, killed and resumed: always the same file, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_runs import command_line, kill_two_processes
from hypothesis import given
from hypothesis import strategies as st

from hrvlm.attacks.records import robustness_order
from hrvlm.cli.certify import main
from hrvlm.evaluation.robustness import share_of_batches
from hrvlm.models import export_model, load
from hrvlm.rows.shards import merge_shards, run_rows, shard_files, shard_path

ROWS = "robustness.jsonl"
PLAN = {"attacks": ["pgd2", "cw"], "threat_model": {"eps": 0.1}, "batch_size": 5, "settings": {"cw_steps": 3}}
NUM_IMAGES = 32
NUM_ROWS = NUM_IMAGES * (2 + 2 * 2 * 2)


@pytest.fixture(scope="module")
def shaken_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model whose weights are large enough for pictures, and attacks on them, to matter."""
    model = load(tiny_model).model
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return export_model(model, tmp_path_factory.mktemp("shaken"))


@pytest.fixture(scope="module")
def arguments(
    shaken_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., list[str]]:
    """Command line of attacks on all pictures that writes to a folder."""
    folder = tmp_path_factory.mktemp("attacks")
    return command_line("attack", shaken_model, pictures=pictures, tree=tree_file, plan=PLAN, folder=folder)


@pytest.fixture(scope="module")
def whole(arguments: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of attacks by one process that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    main(arguments(folder))
    return folder


def test_every_picture_has_its_rows_once(whole: Path) -> None:
    found = run_rows(whole / ROWS, robustness_order)
    assert Counter(row["index"] for row in found) == dict.fromkeys(range(NUM_IMAGES), NUM_ROWS // NUM_IMAGES)
    assert any(row["broken_by"] for row in found)
    assert [path.name for path in shard_files(whole / ROWS)] == [ROWS]


def test_two_processes_write_the_same_file(arguments: Callable[..., list[str]], whole: Path, tmp_path: Path) -> None:
    main(arguments(tmp_path, "--devices", "2", "--strategy", "ddp_fork"))
    for name in (ROWS, "summary.json", "settings.json"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_two_processes_of_the_script_killed_are_resumed_by_one(
    arguments: Callable[..., list[str]], whole: Path, tmp_path: Path
) -> None:
    said = kill_two_processes(arguments, tmp_path, ROWS)
    written = sum(path.read_bytes().count(b"\n") for path in shard_files(tmp_path / ROWS))
    assert 0 < written < NUM_ROWS, said
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == (whole / ROWS).read_bytes()


def test_a_run_killed_while_merging_is_merged_again(
    arguments: Callable[..., list[str]], whole: Path, tmp_path: Path
) -> None:
    rows = (whole / ROWS).read_bytes().splitlines(keepends=True)
    (tmp_path / "settings.json").write_bytes((whole / "settings.json").read_bytes())
    (tmp_path / ROWS).write_bytes(b"".join(rows))
    for rank in range(3):  # as if parts had been merged, but not yet removed
        part = shard_path(tmp_path / ROWS, rank)
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"".join(rows[rank::3]) + b'{"kind": "rob')
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == b"".join(rows)
    assert [path.name for path in shard_files(tmp_path / ROWS)] == [ROWS]


def test_two_rows_that_contradict_each_other_are_refused(whole: Path, tmp_path: Path) -> None:
    row = (whole / ROWS).read_text().splitlines()[0]
    for rank, line in enumerate((row, row.replace('"clean_correct": ', '"clean_correct":  '))):
        part = shard_path(tmp_path / ROWS, rank)
        part.parent.mkdir(exist_ok=True)
        part.write_text(line + "\n")
    with pytest.raises(ValueError, match="got two different ones"):
        merge_shards(tmp_path / ROWS, robustness_order)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 6))
def test_processes_share_whole_batches(size: int, batch_size: int, processes: int) -> None:
    indices = [3 * position for position in range(size)]
    batches = [indices[start : start + batch_size] for start in range(0, size, batch_size)]
    found = []
    for rank in range(processes):
        mine = share_of_batches(indices, batch_size, num_replicas=processes, rank=rank)
        found += [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    assert sorted(found) == batches
