"""How fast pictures are read for training and evaluation: folders and shards of JPEG files, by number of workers.

    python benchmarks/reading_speed.py [--pictures 512] [--workers 0 1 2] [--repeats 3]

Generated pictures of 500 x 375 pixels, quality 90 (about ImageNet's mean size), read as crops of 224 x 224. "decoders"
is processor time of one picture in one thread: JPEG to RGB by Pillow, which hrvlm uses, and by torchvision, then the
whole item with its crop. "sources" is pictures per second of a data loader, the best of the repeats. Writes
benchmarks/results/reading_speed.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machines import machine
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.io import ImageReadMode, decode_jpeg

from hrvlm.data.decoding import decode_image
from hrvlm.data.folder import FolderDataModule
from hrvlm.data.images import evaluation_transform, random_crop
from hrvlm.data.sampling import Address
from hrvlm.data.shards import ShardDataModule, ShardFiles

RESULT = Path(__file__).parent / "results" / "reading_speed.json"
SIZE, QUALITY, CROP, CLASSES, BATCH = (500, 375), 90, 224, 8, 32


def picture(seed: int) -> bytes:
    """A JPEG file of smooth colours with some grain, of about a photograph's size on disk."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (16, 20, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    grain = generator.normal(0.0, 12.0, (SIZE[1], SIZE[0], 1))
    file = io.BytesIO()
    Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def write(folder: Path, count: int) -> list[bytes]:
    """The same pictures as class folders and as shards; returns their files."""
    files = [picture(seed) for seed in range(count)]
    for number, content in enumerate(files):
        place = folder / "folder" / f"class{number % CLASSES}" / f"{number:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (folder / "classes.txt").write_text("".join(f"class{label}\n" for label in range(CLASSES)), encoding="utf-8")
    with tarfile.open(folder / "0.tar", "w") as tar:
        for number, content in enumerate(files):
            for suffix, part in (("jpg", content), ("cls", str(number % CLASSES).encode())):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(part)
                tar.addfile(member, io.BytesIO(part))
    return files


def decoders(files: list[bytes], repeats: int) -> dict[str, float]:
    """Milliseconds of processor time per picture, medians of the repeats."""
    transform = evaluation_transform(CROP)
    tensors = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in files]
    ways: dict[str, Callable[[int], object]] = {
        "pillow": lambda i: decode_image(files[i], "here"),
        "torchvision": lambda i: decode_jpeg(tensors[i], mode=ImageReadMode.RGB),
        "training_item": lambda i: random_crop(
            decode_image(files[i], "here"), np.random.default_rng(i), image_size=CROP, scale=(0.3, 1.0)
        ),
        "evaluation_item": lambda i: transform(decode_image(files[i], "here")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torchvision is about to give its decoders up
        for name, way in [*ways.items()] * repeats:
            start = time.process_time()
            for number in range(len(files)):
                way(number)
            seconds[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(found) / len(files) for name, found in seconds.items()}


def data_modules(folder: Path) -> dict[str, Any]:
    """Folder and shards, of the same pictures."""
    common: dict[str, Any] = {"image_size": CROP, "batch_size": BATCH, "num_workers": 0}
    pictures, shards = str(folder / "folder"), str(folder / "0.tar")
    names = str(folder / "classes.txt")
    sets = ShardFiles(train=shards, evaluation={"validation": shards}, classes_file=names)
    return {
        "folder": FolderDataModule(train_folder=pictures, evaluation_folders={"validation": pictures}, **common),
        "shards": ShardDataModule(shards=sets, **common),
    }


class Epoch(torch.utils.data.Dataset[Any]):
    """Items of a training set's first epoch, or of an evaluation set, by position."""

    def __init__(self, data: Any, training: bool) -> None:
        self.data, self.training = data, training

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> Any:
        return self.data[Address(position, 0) if self.training else position]


def speed(data: Any, training: bool, workers: int, repeats: int) -> float:
    """Pictures per second of a loader whose workers have begun; the best of the repeats."""
    loader = DataLoader(Epoch(data, training), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0)
    best = 0.0
    for _ in range(repeats + (workers > 0)):  # workers start in the first pass
        start = time.perf_counter()
        for _ in loader:
            pass
        best = max(best, len(data) / (time.perf_counter() - start))
    return best


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), given.pictures)
        bytes_of = statistics.mean(map(len, files))
        result: dict[str, Any] = {
            "machine": machine() | {"cores": os.cpu_count()},
            "pictures": given.pictures,
            "mean_bytes": bytes_of,
        }
        result["decoders"] = decoders(files[:128], given.repeats)
        result["sources"] = {}
        for name, module in data_modules(Path(folder)).items():
            module.prepare_data()
            sets = {"training": module.build_training(), "evaluation": module.evaluation_set()}
            for use, data in sets.items():
                found = {str(n): speed(data, use == "training", n, given.repeats) for n in given.workers}
                result["sources"][f"{name}, {use}"] = found
    given.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
