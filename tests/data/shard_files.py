"""Writes tar shards in webdataset's layout, and reads them with webdataset itself."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_iterator

from hrvlm.data.tar_index import shard_paths

SIZES = (5, 2, 6, 4)  # uneven on purpose
CLASSES = [f"class {label}" for label in range(7)]


def encoded(seed: int, suffix: str = "jpg") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG" if suffix == "jpg" else "PNG")
    return file.getvalue()


def write_shards(folder: Path, sizes: tuple[int, ...] = SIZES) -> str:
    """Shards by webdataset's own writer: labels in `cls`, in `json`, or in both."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for shard, size in enumerate(sizes):
        with webdataset.TarWriter(str(folder / f"{shard:06d}.tar")) as writer:
            for _ in range(size):
                label = number % len(CLASSES)
                sample: dict[str, Any] = {"__key__": f"n{label:02d}/picture_{number}"}
                sample |= {"jpg": encoded(number)} if number % 2 else {"png": encoded(number, "png")}
                sample |= {"cls": label} if number % 3 else {"json": {"label": label, "caption": "ü"}}
                writer.write(sample | ({"json": {"caption": "no label"}} if number % 3 == 1 else {}))
                number += 1
    return str(folder / f"{{000000..{len(sizes) - 1:06d}}}.tar")


def read_by_webdataset(shards: str) -> list[dict[str, Any]]:
    """What webdataset's own iterators find, in the order of the shards."""
    found: list[dict[str, Any]] = []
    for path in shard_paths(shards):
        with open(path, "rb") as stream:  # webdataset itself would leave it open
            members = [{"__url__": path} | member for member in tar_file_iterator(stream)]
        found += group_by_keys(members)
    return found


def write_tar(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return str(path)
