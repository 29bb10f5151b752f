"""Files and folders that appear whole or not at all, and places that are looked at before work begins."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from hrvlm.whole_files import check_place, whole_file, whole_folder, write_whole


class Killed(BaseException):
    pass


def content(folder: Path) -> dict[str, str | None]:
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def stop() -> None:
    raise Killed


def full_disk() -> None:
    raise OSError(28, "No space left on device")


FAILURES = [stop, full_disk]


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_that_fails_leaves_what_was_there(fail: Callable[[], None], before: str | None, tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    if before is not None:
        path.write_text(before)

    def write() -> None:
        with whole_file(path) as new:
            new.write_text("half of it")
            assert (path.read_text() if path.exists() else None) == before
            fail()

    with pytest.raises((Killed, OSError)):
        write()
    assert content(tmp_path) == ({} if before is None else {"tree.yaml": "old"})
    write_whole(path, "new\n")
    assert content(tmp_path) == {"tree.yaml": "new\n"}


def test_a_file_behind_a_link_is_replaced_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "tree.yaml").write_text("old")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real" / "tree.yaml")
    write_whole(tmp_path / "link.yaml", "new")
    assert (tmp_path / "link.yaml").is_symlink()
    assert (tmp_path / "real" / "tree.yaml").read_text() == "new"


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    """As /dev/null is, which nobody wants to see replaced."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as file:
        write_whole(path, "whole")
        assert file.read() == "whole"
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_fails_leaves_what_was_there(fail: Callable[[], None], there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if there:
        (folder / "head").mkdir(parents=True)
        (folder / "head" / "old").write_text("old")
        (folder / "weights").write_text("old")
    before = content(tmp_path)

    def write(fail: Callable[[], None]) -> None:
        with whole_folder(folder, stale=["head/old", "head/none"]) as new:
            (new / "probe").mkdir()
            (new / "probe" / "texts").write_text("new")
            (new / "weights").write_text("new")
            fail()

    with pytest.raises((Killed, OSError)):
        write(fail)
    assert content(tmp_path) == before
    write(lambda: None)
    assert {name: text for name, text in content(folder).items() if text} == {"probe/texts": "new", "weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("there", [True, False])
def test_what_a_kill_left_of_a_folder_is_no_part_of_the_next(there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    left = folder / ".model.new" if there else tmp_path / ".model.new"
    left.mkdir(parents=True)
    (left / "half").write_text("half of it")
    with whole_folder(folder) as new:
        (new / "weights").write_text("new")
    assert content(tmp_path) == {"model": None, "model/weights": "new"}


def test_a_disk_that_turns_out_to_be_full_at_the_end_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "head").write_text("old")

    def write() -> None:
        with whole_folder(folder, stale=["head"]) as new:
            (new / "weights").write_text("new")

    def full(_: int) -> None:
        full_disk()

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write()
    assert content(tmp_path) == {"model": None, "model/head": "old"}


def test_places_are_told_before_work_and_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    check_place(tmp_path / "not" / "yet" / "there")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path / "broken" / "deeper", "/proc/1/x"):
        with pytest.raises(ValueError, match="expected a folder that can be written to"):
            check_place(place)
    with pytest.raises(ValueError, match=r"expected room for a file of .* MiB"):
        check_place(tmp_path, needed=2**60)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2048, 2048))
    with pytest.raises(ValueError, match=r"got 2048 bytes \(free space, or the limit of ulimit -f\)"):
        check_place(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "file"]


def test_a_disk_that_does_not_tell_its_size_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network and virtual file systems do not; a limit of the process holds there as well."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=0, used=0, free=0))
    check_place(tmp_path, needed=2**60)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2048, 2048))
    with pytest.raises(ValueError, match="got 2048 bytes"):
        check_place(tmp_path)


def test_a_pipe_is_written_to_directly() -> None:
    """As /dev/stdout is where another program reads it: the real path of such a file is the name of none."""
    reading, writing = os.pipe()
    write_whole(f"/dev/fd/{writing}", "whole")
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read() == "whole"
