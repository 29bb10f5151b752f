"""The benchmark of reading compares folders and shards that hold the same pictures."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def test_folders_and_shards_hold_the_same_pictures(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = import_module("reading_speed")
    files = benchmark.write(tmp_path, 9)
    assert len(set(files)) == 9
    assert set(benchmark.decoders(files, 1)) == {"pillow", "torchvision", "training_item", "evaluation_item"}
    modules = benchmark.data_modules(tmp_path)
    modules["shards"].prepare_data()
    found = {name: list(module.evaluation_set()) for name, module in modules.items()}
    assert sum(map(len, found.values())) == 18
    in_folders = {(int(label), image.numpy().tobytes()) for image, label in found["folder"]}
    assert in_folders == {(int(label), image.numpy().tobytes()) for image, label in found["shards"]}
    assert len(in_folders) == 9
    assert benchmark.speed(modules["folder"].build_training(), training=True, workers=0, repeats=1) > 0
    item = benchmark.Epoch(modules["shards"].build_training(), training=True)[3]
    assert torch.is_tensor(item["image"])
