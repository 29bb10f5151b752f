"""The index of tar shards: kept, made anew, and what damaged shards say."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_a_shard_of_the_same_form_and_size_is_read_again(tmp_path: Path) -> None:
    """The kept index fits it, and is another's."""
    path = Path(write_tar(tmp_path / "x.tar", GOOD))
    assert read_index([str(path)]).labels.tolist() == [0]
    before = path.stat()
    write_tar(path, GOOD | {"a.cls": b"1\n"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    assert read_index([str(path)]).labels.tolist() == [1]


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
        (GOOD | {"b.jpg": b"x", "b.cls": b"9" * 20}, r"label 0, 1, … in b\.cls .*, at most 2147483647, got b'99"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"9" * 6000}, r"label 0, 1, … in b\.cls .*, at most 2147483647, got b'99"),
        (GOOD | {"b.jpg": b"x", "b.json": b'{"label": 2147483648}'}, r"label 0, 1, … in b\.json in .*, at most"),
        (GOOD | {"b.jpg": b"x", "b.json": b"[" * 100_000}, r"label 0, 1, … in b\.json"),
        (GOOD | {"b.jpg": b"x", "b.cls": b"0" + b" " * 2**20}, r"at most 1048576 bytes as b\.cls .*of 1048577"),
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


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.REGTYPE, r"at most 268435456 bytes as b\.jpg in shard .*x\.tar, stored in full, got a file of 10995"),
        (tarfile.XHDTYPE, r"got one damaged after sample 'a' \(a header that says it is 1099511627776 bytes long\)"),
        (tarfile.GNUTYPE_LONGNAME, r"got one damaged after sample 'a' \(a header that says it is 10995"),
    ],
)
def test_sparse_files_of_a_terabyte_are_refused_at_once(tmp_path: Path, kind: bytes, message: str) -> None:
    path = tmp_path / "x.tar"
    whole = Path(write_tar(path, GOOD)).read_bytes()
    whole = whole[: len(whole.rstrip(b"\0")) + -len(whole.rstrip(b"\0")) % 512]
    path.write_bytes(whole + header("b.jpg", 2**40, kind))
    with path.open("r+b") as stream:
        stream.truncate(2**40 + 10_240)
    assert path.stat().st_blocks * 512 < 2**20
    with pytest.raises(ValueError, match=message):
        read_index([str(path)])


def test_headers_that_cannot_be_read_are_a_damaged_shard(tmp_path: Path) -> None:
    endless = b"".join(header("x", 0, tarfile.GNUTYPE_LONGNAME) for _ in range(5000))
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    sparse = header("p", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + header("b.jpg", 512) + b"x\n" * 256
    for content in (endless, sparse):
        (tmp_path / "x.tar").write_bytes(content + b"\0" * 1024)
        with pytest.raises(ValueError, match=r"expected a whole tar file as shard .*\(a header that cannot be read: "):
            read_index([str(tmp_path / "x.tar")])


def test_what_belongs_to_no_sample_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = GOOD | {"README": b"x", "n1/._b.jpg": b"x", ".ipynb_checkpoints/c.jpg": b"x", "n1/b.gif": encoded(1)}
    data = ShardDataset(write_tar(tmp_path / "x.tar", members | {"n1/b.cls": b"2"}), CLASSES, image_size=8)
    assert [data.index.where(position).split(" in ")[0] for position in range(2)] == ["'a'", "'n1/b'"]
    assert data[1][1] == 2
    assert "x.tar: left out 3 hidden or without a suffix (such as README)" in caplog.text


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    index = read_index([write_tar(tmp_path / "x.tar", {f"{name}.jpg": encoded(0), f"{name}.cls": b"0"})])
    assert index.keys[0] == b"caf\xe9"
    assert "caf" in index.where(0)
    index.where(0).encode()


def altered(arrays: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    changed = {key: np.array(array) for key, array in arrays.items()}
    changed[name][1] = value
    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda a: altered(a, "shards", 7),
        lambda a: altered(a, "shards", -1),
        lambda a: altered(a, "offsets", -5),
        lambda a: altered(a, "offsets", 2**62),
        lambda a: altered(a, "offsets", 2**63 - 1),
        lambda a: altered(a, "sizes", 2**62),
        lambda a: altered(a, "sizes", -1),
        lambda a: altered(a, "labels", -1),
        lambda a: altered(a, "labels", 2**40),
        lambda a: a | {"labels": a["labels"][:-1]},
        lambda a: a | {"labels": a["labels"].astype(np.float64)},
        lambda a: a | {"keys": a["keys"].astype(str)},
        lambda a: {key: array[:0] for key, array in a.items()},
        lambda a: {key: array[::-1] for key, array in a.items()},
    ],
)
def test_a_kept_index_that_does_not_fit_is_made_anew(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    paths = shard_paths(write_shards(tmp_path))
    first = read_index(paths)
    (kept,) = tmp_path.glob(".hrvlm-index-*.npz")
    with np.load(kept) as stored:
        arrays = dict(stored)
    np.savez(kept, **change(arrays))
    again = read_index(paths)
    for name in ("keys", "shards", "offsets", "sizes", "labels"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name).dtype == getattr(again, name).dtype
    np.savez_compressed(kept, **altered(arrays, "labels", 3))  # compressed: it may unfold to any size
    assert np.array_equal(read_index(paths).labels, first.labels)
