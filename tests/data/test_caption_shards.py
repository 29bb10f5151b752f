"""Captioned tar shards against webdataset's own reader, what damaged ones say, and training on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from shard_files import encoded, read_by_webdataset, write_tar

from hrvlm.data.base import ImageDataModule
from hrvlm.data.caption_shards import CaptionedShards, CaptionShardDataModule
from hrvlm.data.folder import FolderDataModule
from hrvlm.data.images import random_crop
from hrvlm.data.sampling import Address, address_generator
from hrvlm.data.shards import ShardReader
from hrvlm.data.tar_index import read_index, shard_paths

TEXTS = ["ein Hund, größer als sonst", "a dog ", "a cat\n", "two cats", "", "a bird"]


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two shards as img2dataset writes them: the JSON files say other things, some of them called a label."""
    folder = tmp_path_factory.mktemp("captions")
    for shard in range(2):
        with webdataset.TarWriter(str(folder / f"{shard:05d}.tar")) as writer:
            for number in range(shard * 4, min(shard * 4 + 4, len(TEXTS))):
                sample: dict[str, Any] = {"__key__": f"{number:09d}", "jpg": encoded(number), "txt": TEXTS[number]}
                writer.write(sample | {"json": {"caption": TEXTS[number], "label": "no number"}})
    return str(folder / "{00000..00001}.tar")


def module(captions: str, evaluated: ImageDataModule, **arguments: Any) -> CaptionShardDataModule:
    settings = {"image_size": 16, "batch_size": 3, "num_workers": 0, "scale": (0.5, 1.0)}
    return CaptionShardDataModule(captions=captions, evaluated=evaluated, **(settings | arguments))


@pytest.fixture
def evaluated(pictures: Path) -> FolderDataModule:
    folders = {"train_folder": str(pictures), "evaluation_folders": {"validation": str(pictures)}}
    return FolderDataModule(**folders, image_size=16, batch_size=3, num_workers=0)


def test_captions_are_those_that_webdataset_reads(captions: str) -> None:
    index = read_index(shard_paths(captions), captions=True)
    reader, expected = ShardReader(index), read_by_webdataset(captions)
    assert [reader.caption(position) for position in range(len(index))] == [text.strip() for text in TEXTS]
    for position, sample in enumerate(expected):
        assert reader.caption(position) == sample["txt"].decode().strip()
        assert sample["__key__"] in index.where(position)
    again = read_index(shard_paths(captions), captions=True)  # from its file
    assert np.array_equal(again.caption_offsets, index.caption_offsets)
    assert np.array_equal(again.caption_sizes, index.caption_sizes)
    assert not len(again.labels)


def test_a_kept_index_whose_captions_lie_outside_is_made_anew(captions: str, tmp_path: Path) -> None:
    paths = shard_paths(captions)
    whole = read_index(paths, tmp_path, captions=True)
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **(arrays | {"caption_offsets": arrays["caption_offsets"] + 10**9}))
    assert np.array_equal(read_index(paths, tmp_path, captions=True).caption_offsets, whole.caption_offsets)


def test_samples_are_crops_by_address_with_their_captions(captions: str, evaluated: FolderDataModule) -> None:
    data = module(captions, evaluated, seed=5)
    data.setup("fit")
    assert isinstance(data.training_set, CaptionedShards)
    assert data.class_ids == evaluated.class_ids
    assert len(data.evaluation_set("validation")) == len(evaluated.evaluation_set())
    batches = list(data.train_dataloader())
    assert [len(batch["caption"]) for batch in batches] == [3, 3]
    assert sorted(index for batch in batches for index in batch["index"].tolist()) == list(range(6))
    reader = ShardReader(read_index(shard_paths(captions), captions=True))
    for batch in batches:
        assert "label" not in batch
        for image, text, index in zip(batch["image"], batch["caption"], batch["index"].tolist(), strict=True):
            assert text == TEXTS[index].strip()
            generator = address_generator(5, Address(index, 0))
            assert torch.equal(image, random_crop(reader.image(index), generator, image_size=16, scale=(0.5, 1.0)))


GOOD = {"a.jpg": encoded(0), "a.txt": b"a dog"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jpg": GOOD["a.jpg"], "a.cls": b"0"}, r"expected a caption \(\.txt\) of sample 'a'.*found jpg, cls"),
        ({"a.txt": b"a dog"}, "expected an image .* of sample 'a'"),
        ({"a.jpg": GOOD["a.jpg"], "a.txt": bytes(2**20 + 1)}, "expected at most 1048576 bytes as a.txt"),
    ],
)
def test_samples_without_picture_or_caption_are_refused(
    members: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        read_index([write_tar(tmp_path / "x.tar", members)], captions=True)


def test_a_caption_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", GOOD | {"a.txt": b"\xff\xfe"})
    with pytest.raises(ValueError, match=r"expected a caption in UTF-8 of 'a' in shard .*mend the shard"):
        ShardReader(read_index([path], captions=True)).caption(0)


def test_training_runs_on_captions_and_objectives_of_classes_refuse_them(
    captions: str,
    tmp_path: Path,
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = make_settings(tmp_path)
    inner = chosen["data"]
    arguments = {"captions": captions, "evaluated": inner, "image_size": 32, "batch_size": 3, "num_workers": 0}
    chosen["data"] = {"class_path": "hrvlm.data.caption_shards.CaptionShardDataModule", "init_args": arguments}
    chosen["trainer"] |= {"callbacks": [], "max_epochs": 1, "enable_checkpointing": False}
    with pytest.raises(SystemExit):
        run_train(tmp_path / "refused", chosen)
    assert "expected labelled pictures for HierarchicalObjective" in capsys.readouterr().err
    chosen["model"]["init_args"]["objective"] = {"class_path": "hrvlm.objectives.ImageTextContrastiveObjective"}
    folder = run_train(tmp_path, chosen)
    header, values, *_ = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    logged = dict(zip(header.split(","), values.split(","), strict=True))
    assert float(logged["train/contrast"]) > 0
    assert 0 <= float(logged["train/matched"]) <= 1
