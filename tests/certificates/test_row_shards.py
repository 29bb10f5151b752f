"""Files of a run: what one process at a time may do with them, and what else may lie among them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hrvlm.rows import shards as parts_module
from hrvlm.rows.jsonl import RecordWriter
from hrvlm.rows.locking import Hold, held, lock_path
from hrvlm.rows.shards import ShardWriter, check_unused, merge_shards, shard_files, shard_path, unchecked_rows


class Line:
    def __init__(self, number: int) -> None:
        self.number = number

    def to_row(self) -> dict[str, Any]:
        return {"number": self.number}


def by_number(row: Any) -> int:
    return int(row["number"])


def numbers(merged: Path) -> list[int]:
    return [by_number(row) for row in unchecked_rows(merged)]


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_rows_of_a_process_that_opens_a_part_while_another_merges_are_kept(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(1)])
    sort, refused = parts_module._sorted_lines, []

    def interrupted(*given: Any) -> list[bytes]:
        lines = list(sort(*given))
        try:
            with ShardWriter(merged, 0) as late:
                late.write([Line(2)])
        except ValueError as error:
            refused.append(str(error))
        return lines

    monkeypatch.setattr(parts_module, "_sorted_lines", interrupted)
    merge_shards(merged, by_number)
    assert len(refused) == 1
    assert "expected no other process to write" in refused[0]
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(2)])
    assert numbers(merged) == [1, 2]


def test_a_part_is_held_until_it_is_removed(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(1)])
    remove, refused = Path.unlink, []

    def late(path: Path, *given: Any, **named: Any) -> None:
        if path == shard_path(merged, 0):  # what is written now would be gone in a moment
            with pytest.raises(ValueError, match="expected no other process to write"):
                ShardWriter(merged, 0)
            refused.append(path.name)
        remove(path, *given, **named)

    monkeypatch.setattr(Path, "unlink", late)
    merge_shards(merged, by_number)
    assert refused == ["rank=0.jsonl"]
    assert numbers(merged) == [1]


def test_a_part_that_was_removed_while_it_was_being_opened_is_opened_again(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = shard_path(merged, 0)
    part.parent.mkdir()
    part.touch()
    hold, calls = fcntl.flock, list[int]()

    def late(file: int, how: int) -> None:
        if not calls and lock_path(part).exists():  # as if a merge had ended between opening and locking
            lock_path(part).unlink()
            shutil.rmtree(part.parent)
            calls.append(how)
        hold(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(7)])
        with pytest.raises(ValueError, match="expected no other process to write"):
            ShardWriter(merged, 0)
    assert numbers(merged) == [7]


def test_a_lock_on_a_file_that_another_process_has_replaced_is_none(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged.touch()
    hold, others = fcntl.flock, list[int]()

    def late(file: int, how: int) -> None:
        if not others and lock_path(merged).exists():  # the file open here goes, and another one is made and locked
            lock_path(merged).unlink()
            others.append(os.open(lock_path(merged), os.O_CREAT | os.O_RDWR))
            hold(others[0], fcntl.LOCK_EX)
        hold(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ValueError, match="expected no other process to write"):
        RecordWriter(merged)
    os.close(others[0])
    RecordWriter(merged).close()
    assert [path.name for path in merged.parent.iterdir()] == [merged.name]


@pytest.mark.parametrize("kind", [ShardWriter, lambda path, rank: RecordWriter(shard_path(path, rank))])
def test_a_second_writer_is_refused_and_cuts_nothing_off(kind: Callable[..., RecordWriter], merged: Path) -> None:
    with ShardWriter(merged, 0):
        shard_path(merged, 0).write_bytes(b'{"number": 1}\n{"numb')  # the other one is in the middle of a line
        with pytest.raises(ValueError, match="expected no other process to write"):
            kind(merged, 0)
        with pytest.raises(ValueError, match="expected no other process to write"):
            merge_shards(merged, by_number)
        assert shard_path(merged, 0).read_bytes().endswith(b'{"numb')


@pytest.mark.parametrize("name", ["rank=x.jsonl", "rank=-1.jsonl", "notes.txt", "rank=0.jsonl.new", "rank=1.jsonl/"])
def test_what_is_no_part_is_named_and_nothing_is_lost(name: str, merged: Path) -> None:
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(1)])
    strange = shard_path(merged, 0).with_name(name.rstrip("/"))
    strange.mkdir() if name.endswith("/") else strange.write_text("notes\n")
    for action in (shard_files, check_unused, lambda path: merge_shards(path, by_number)):
        with pytest.raises(ValueError, match=f"got '{strange.name}'; move it elsewhere"):
            action(merged)
    assert strange.exists()
    strange.rmdir() if name.endswith("/") else strange.unlink()
    (shard_path(merged, 0).parent / ".hidden").touch()  # file managers leave such files
    merge_shards(merged, by_number)
    assert numbers(merged) == [1]
    assert (shard_path(merged, 0).parent / ".hidden").exists()


def test_merging_holds_no_more_than_a_row(merged: Path) -> None:
    size, count = 100_000, 100
    for rank in range(2):
        part = shard_path(merged, rank)
        part.parent.mkdir(exist_ok=True)
        with part.open("w") as file:
            for number in range(count - 1 - rank, -1, -2):
                file.write(json.dumps({"number": number, "text": "ä" * size}, ensure_ascii=False) + "\n")
    tracemalloc.start()
    try:
        merge_shards(merged, by_number)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2 * size
    assert merged.stat().st_size > count * 2 * size
    assert numbers(merged) == list(range(count))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parts/rank=0.jsonl"])
def test_a_folder_in_place_of_a_file_is_named(name: str, merged: Path) -> None:
    (merged.parent / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="move it elsewhere"):
        shard_files(merged)
    with pytest.raises(ValueError, match="got a folder"):
        RecordWriter(merged.parent / name)


def test_a_file_in_place_of_the_folder_of_parts_is_named(merged: Path) -> None:
    merged.with_suffix(".parts").touch()
    with pytest.raises(ValueError, match="got a file; move it elsewhere"):
        shard_files(merged)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_meanwhile_is_noticed_at_the_next_row(replaced: bool, merged: Path) -> None:
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(1)])
        shutil.rmtree(shard_path(merged, 0).parent)
        if replaced:
            shard_path(merged, 0).parent.mkdir()
            shard_path(merged, 0).touch()
        with pytest.raises(ValueError, match="it was removed or moved"):
            writer.write([Line(2)])


def test_a_full_disk_leaves_rows_and_parts_as_they_were(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged.write_text(json.dumps({"number": 0}) + "\n")
    with ShardWriter(merged, 3) as writer:
        writer.write([Line(1)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        merge_shards(merged, by_number)
    assert sorted(path.name for path in merged.parent.iterdir()) == ["rows.jsonl", "rows.parts"]
    assert numbers(merged) == [0, 1]


def test_a_folder_is_held_by_one_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "running.lock"
    with held(path):
        with pytest.raises(ValueError, match="expected no other process"), held(path):
            pass
        assert path.exists()
    assert not path.exists()
    path.touch()  # of a run that was killed
    with held(path), pytest.raises(ValueError, match="expected no other process"):
        Hold(path)


def test_a_folder_in_place_of_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "running.lock").mkdir()
    with pytest.raises(ValueError, match=r"expected a file at .*running.lock, got a folder"):
        Hold(tmp_path / "running.lock")


def test_a_run_goes_on_with_a_warning_where_there_are_no_locks(
    merged: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(3)])
    merge_shards(merged, by_number)
    assert numbers(merged) == [3]
    assert "make sure that only one run writes to this folder" in caplog.text


def test_files_are_locked_as_network_file_systems_ask_for(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS makes exclusive locks only of files that are open for writing; others it lets pass unlocked."""
    really, locked = fcntl.flock, set[str]()

    def strict(file: int, how: int) -> None:
        assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_RDWR
        locked.add(Path(os.readlink(f"/proc/self/fd/{file}")).name.removesuffix(" (deleted)"))
        really(file, how)

    monkeypatch.setattr(fcntl, "flock", strict)
    with ShardWriter(merged, 0) as writer:
        writer.write([Line(1)])
    merge_shards(merged, key=by_number)
    check_unused(merged)
    assert locked >= {".rank=0.jsonl.lock", f".{merged.name}.lock"}  # and files without a name, to see what is possible
