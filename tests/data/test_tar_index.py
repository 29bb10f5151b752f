"""The index of tar shards: kept, made anew, and what damaged shards say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shard_files import CLASSES, SIZES, encoded, write_shards, write_tar

from hrvlm.data.shards import ShardDataset
from hrvlm.data.tar_index import read_index, shard_paths


def test_an_index_is_kept_and_a_changed_shard_is_read_again(tmp_path: Path) -> None:
    paths = shard_paths(write_shards(tmp_path))
    first = read_index(paths)
    (kept,) = tmp_path.glob(".hrvlm-index-*.npz")
    stamp = kept.stat().st_mtime_ns
    again = read_index(paths)
    assert kept.stat().st_mtime_ns == stamp
    for name in ("keys", "shards", "offsets", "sizes", "labels"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    kept.write_bytes(kept.read_bytes()[:100])  # cut short: made anew
    assert len(read_index(paths)) == sum(SIZES)
    assert len(kept.read_bytes()) > 100
    write_shards(tmp_path, (3,))
    assert len(read_index(paths)) == sum(SIZES) - SIZES[0] + 3


def test_an_index_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    paths = shard_paths(write_shards(tmp_path / "shards"))
    (tmp_path / "file").write_text("no folder")
    assert len(read_index(paths, tmp_path / "file")) == sum(SIZES)
    assert list((tmp_path / "shards").glob(".hrvlm*")) == []
    assert len(read_index(paths, tmp_path / "new" / "folder")) == sum(SIZES)
    assert len(list((tmp_path / "new" / "folder").glob("*.npz"))) == 1


GOOD = {"a.jpg": encoded(0), "a.cls": b"0\n"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (GOOD | {"b.jpg": b"x"}, r"expected a label .* of sample 'b' in shard .*x\.tar, found jpg"),
        (GOOD | {"b.jpg": b"x", "b.json": b"{}"}, r"expected a label .* of sample 'b' in shard .*, found jpg, json"),
        (GOOD | {"b.cls": b"1"}, r"expected an image .* of sample 'b' in shard .*x\.tar, found cls"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"cat"}, r"expected a label 0, 1, … in b\.cls in shard .*got b'cat'"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"-1"}, r"expected a label 0, 1, … in b\.cls"),
        (GOOD | {"b.jpg": b"x", "b.json": b'{"label": "cat"}'}, r"expected a label 0, 1, … in b\.json"),
        (GOOD | {"b.jpg": b"x", "b.json": b"{"}, r"expected a label 0, 1, … in b\.json"),
        (GOOD | {"b.jpg": b"x", "b.json": b"[1]"}, r"expected a label 0, 1, … in b\.json"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"\xff\xfe"}, r"expected a label 0, 1, … in b\.cls"),
        (GOOD | {"a.JPG": b"x"}, r"expected one 'jpg' of sample 'a' in shard .*found two"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"7"}, r"labels below 7, the number of classes, got 7 of sample 'b' in shard"),
        ({"readme": b"no sample"}, r"expected samples in the shards, found none"),
    ],
)
def test_wrong_samples_are_named(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShardDataset(write_tar(tmp_path / "x.tar", members), CLASSES, image_size=8)


def damaged_in_the_middle(content: bytes) -> bytes:
    return content[:2048] + b"\x07" * 512 + content[2560:]  # the third header


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[:700],
        lambda c: c[:300],
        lambda c: c[:2300],
        lambda c: b"",
        lambda c: b"x" * 4096,
        damaged_in_the_middle,
    ],
)
def test_damaged_shards_are_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.tar"
    write_tar(path, {"a.cls": b"0", "a.jpg": b"1" * 100, "b.cls": b"1", "b.jpg": b"2" * 900})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"expected a whole tar file as shard .*x\.tar, got one damaged.*replace it"):
        read_index([str(path)])
