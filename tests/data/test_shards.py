"""Tar shards against webdataset's own reader, orders over processes and workers, training on them."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_files import CLASSES, SIZES, encoded, read_by_webdataset, write_shards, write_tar

from hrvlm.data.images import evaluation_transform
from hrvlm.data.sampling import Address, ShardSampler
from hrvlm.data.shard_files import ShardFiles, read_classes
from hrvlm.data.shards import ShardDataModule, ShardDataset
from hrvlm.data.tar_index import shard_paths
from hrvlm.trees.bounded_text import MAX_BYTES


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def classes_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("classes") / "classes.txt"
    path.write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return str(path)


def test_samples_are_those_that_webdataset_reads(shards: str) -> None:
    data, transform = ShardDataset(shards, CLASSES, image_size=16), evaluation_transform(16)
    expected = read_by_webdataset(shards)
    assert len(data) == len(expected) == sum(SIZES)
    for position, sample in enumerate(expected):
        image, label = data[position]
        with Image.open(io.BytesIO(sample.get("jpg", sample.get("png")))) as whole:
            assert torch.equal(image, transform(whole.convert("RGB")))
        assert label == int(sample["cls"] if "cls" in sample else json.loads(sample["json"])["label"])
        assert sample["__key__"] in data.index.where(position)
    assert image.shape == (3, 16, 16)
    assert 0 <= image.min() < image.max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(0, 99),
    st.integers(0, 5),
)
def test_processes_get_equal_disjoint_parts(sizes: list[int], ranks: int, window: int, seed: int, epoch: int) -> None:
    total = sum(sizes)
    if total < ranks:
        return
    seen: list[int] = []
    for rank in range(ranks):
        sampler = ShardSampler(sizes, window=window, seed=seed, num_replicas=ranks, rank=rank)
        sampler.set_epoch(epoch)
        mine = list(sampler)
        assert mine == list(sampler)
        assert len(mine) == len(sampler) == total // ranks
        assert {address.epoch for address in mine} <= {epoch}
        seen += [address.index for address in mine]
    assert len(set(seen)) == len(seen) > total - ranks
    assert set(seen) <= set(range(total))


def test_orders_differ_by_epoch_and_stay_near_a_few_shards() -> None:
    sizes = [50] * 40
    sampler = ShardSampler(sizes, window=100, seed=1, num_replicas=4, rank=2)
    orders = []
    for epoch in (0, 1, 2):
        sampler.set_epoch(epoch)
        orders.append([address.index for address in sampler])
    assert len({tuple(order) for order in orders}) == 3
    assert len({frozenset(order) for order in orders}) == 3  # other shards in each epoch
    for order in orders:
        assert len({index // 50 for index in order}) == 10
        for start in range(0, 500, 100):
            part = order[start : start + 100]
            assert len({index // 50 for index in part}) == 2
            assert sorted(part) != part
    alone = ShardSampler(sizes, window=2000, seed=1)
    order = np.array([address.index for address in alone])
    assert abs(np.corrcoef(order, np.arange(2000))[0, 1]) < 0.1


def module(shards: str, classes_file: str, rank: int = 0, world: int = 1, **chosen: Any) -> ShardDataModule:
    chosen = {"image_size": 16, "batch_size": 3, "num_workers": 0, "shuffle_window": 6} | chosen
    files = ShardFiles(train=shards, evaluation={"validation": shards}, classes_file=classes_file)
    data = ShardDataModule(shards=files, **chosen)
    data.prepare_data()
    data.setup("fit")
    # Only these two numbers of a trainer play a part.
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
    return data


def batches(loader: Any, epoch: int = 0) -> list[dict[str, Any]]:
    if hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)
    return list(loader)


def test_training_batches_do_not_depend_on_the_number_of_workers(shards: str, classes_file: str) -> None:
    alone = batches(module(shards, classes_file).train_dataloader(), epoch=3)
    shared = batches(module(shards, classes_file, num_workers=2).train_dataloader(), epoch=3)
    assert len(alone) == len(shared) == sum(SIZES) // 3
    for first, second in zip(alone, shared, strict=True):
        assert first.keys() == second.keys() == {"image", "label", "index"}
        assert all(torch.equal(first[name], second[name]) for name in first)
    other = batches(module(shards, classes_file).train_dataloader(), epoch=4)
    assert not all(torch.equal(a["index"], b["index"]) for a, b in zip(alone, other, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_epochs_have_equal_length_and_evaluation_counts_each_sample_once(
    shards: str, classes_file: str, world: int
) -> None:
    modules = [module(shards, classes_file, rank, world) for rank in range(world)]
    lengths = {len(batches(data.train_dataloader())) for data in modules}
    assert lengths == {sum(SIZES) // world // 3}
    seen: list[int] = []
    for data in modules:
        for batch in batches(data.val_dataloader()):
            seen += batch["index"].tolist()
            assert batch["label"].tolist() == [index % len(CLASSES) for index in batch["index"].tolist()]
    assert sorted(seen) == list(range(sum(SIZES)))


def test_evaluation_with_workers_counts_each_sample_once(shards: str, classes_file: str) -> None:
    seen = [
        index
        for rank in range(2)
        for batch in module(shards, classes_file, rank, 2, num_workers=2).val_dataloader()
        for index in batch["index"].tolist()
    ]
    assert sorted(seen) == list(range(sum(SIZES)))


def test_training_crops_are_drawn_from_the_address(shards: str, classes_file: str) -> None:
    data, other = (module(shards, classes_file, seed=seed).training_set for seed in (0, 1))
    first = data[Address(4, 0)]
    assert (first["label"], first["index"]) == (4, 4)
    assert torch.equal(data[Address(4, 0)]["image"], first["image"])
    assert not torch.equal(data[Address(4, 1)]["image"], first["image"])
    assert not torch.equal(other[Address(4, 0)]["image"], first["image"])


def test_imagenet_is_the_default_and_names_come_from_a_tree(shards: str, tree_file: Path) -> None:
    data = ShardDataModule(shards=ShardFiles(train=shards, evaluation={"validation": shards}))
    assert len(data.class_ids) == 1000
    assert data.class_ids[:2] == ["n01440764", "n01443537"]
    assert data.evaluation_set().class_names == data.class_ids
    named = tree_file.read_text(encoding="utf-8").replace("cat:\n", "cat:\n    name: house cat\n")
    (tree_file.parent / "named.yaml").write_text(named.replace("name: kinds", "name: named"), encoding="utf-8")
    ids = ["bee", "cat", "ant", "dog", "elm", "fir", "gem"]
    found = ShardDataset(shards, ids, image_size=8, names_tree=str(tree_file.parent / "named.yaml"))
    assert found.class_names == ["bee", "house cat", "ant", "dog", "elm", "fir", "gem"]


def test_lists_of_classes_may_begin_with_a_mark_and_decompose_letters(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(unicodedata.normalize("NFD", "über\nfox\n"), encoding="utf-8-sig")
    assert read_classes(str(tmp_path / "classes.txt")) == [unicodedata.normalize("NFC", "über"), "fox"]


def test_a_damaged_image_is_named_when_it_is_read(tmp_path: Path, classes_file: str) -> None:
    path = write_tar(
        tmp_path / "x.tar", {"a.jpg": encoded(0), "a.cls": b"0\n", "n1/b.jpg": encoded(1)[:200], "n1/b.cls": b"1"}
    )
    data = module(path, classes_file)
    assert data.evaluation_set()[0][1] == 0
    message = r"expected a readable image 'n1/b' in shard .*x\.tar: .*; replace or remove it"
    with pytest.raises(ValueError, match=message):
        data.evaluation_set()[1]
    with pytest.raises(ValueError, match=message):
        data.training_set[Address(1, 0)]


def test_missing_shards_urls_and_settings_are_refused(shards: str, classes_file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected 9 tar files of .*missing 5: .*000004\.tar"):
        shard_paths(shards.replace("000003", "000008"))
    for url in ("https://host/{0..3}.tar", "pipe:cat x.tar", "s3://bucket/x.tar"):
        with pytest.raises(ValueError, match=r"expected local tar files as shards, got .*copy or mount them first"):
            shard_paths(url)
    with pytest.raises(ValueError, match="expected every shard once"):
        shard_paths(f"{shards}::{shards}")
    with pytest.raises(ValueError, match="expected a text file with one class id a line"):
        module(shards, str(tmp_path / "none.txt"))
    (tmp_path / "twice.txt").write_text("a\na\n")
    with pytest.raises(ValueError, match="expected different class ids"):
        module(shards, str(tmp_path / "twice.txt"))
    with pytest.raises(ValueError, match=r"expected split of \['validation'\], got 'test'"):
        module(shards, classes_file).evaluation_set("test")
    with pytest.raises(ValueError, match="expected validation_split"):
        ShardDataModule(shards=ShardFiles(train=shards, evaluation={"test": shards}))
    with pytest.raises(ValueError, match="expected shuffle_window >= 1"):
        module(shards, classes_file, shuffle_window=0).train_dataloader()
    with pytest.raises(ValueError, match="expected scale"):
        module(shards, classes_file, scale=(0.9, 0.1))


def test_without_webdataset_the_sentence_tells_how_to_install_it(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset.shardlists", None)  # as Python has it for a package that is not there
    with pytest.raises(ValueError, match=r'package webdataset .*pip install "hrvlm\[shards\]"'):
        shard_paths(shards)


def test_training_runs_on_shards(
    tmp_path: Path, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> None:
    shards = write_shards(tmp_path / "shards")
    (tmp_path / "classes.txt").write_text("\n".join(["ant", "bee", "cat", "dog", "elm", "fir", "gem"]))
    chosen = make_settings(tmp_path / "run")
    chosen["trainer"] |= {"max_epochs": 1, "callbacks": [], "enable_checkpointing": False}
    files = {"train": shards, "evaluation": {"validation": shards}, "classes_file": str(tmp_path / "classes.txt")}
    arguments = {"shards": files, "image_size": 32, "num_workers": 0, "batch_size": 8}
    chosen["data"] = {"class_path": "hrvlm.data.shards.ShardDataModule", "init_args": arguments}
    folder = run_train(tmp_path / "run", chosen)
    header, *rows = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert "train/loss" in header
    assert len(rows) >= 2


def test_a_list_of_classes_without_an_end_is_refused(tmp_path: Path) -> None:
    """Settings of results that somebody else made may name any file as the list, for a report's pictures."""
    (tmp_path / "classes.txt").write_text("ant\n" * (MAX_BYTES // 4 + 1))
    with pytest.raises(ValueError, match=r"expected a text file with one class id a line as classes_file: .*larger"):
        read_classes(str(tmp_path / "classes.txt"))
