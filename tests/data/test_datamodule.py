"""Loaders of the data modules, with and without a trainer of several processes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.data.emoji_pack.training import CaptionedEmoji
from hrvlm.data.items import IndexedShard, images_and_labels
from hrvlm.data.sampling import EpochSampler

TREES = [str(Path(__file__).parents[2] / "trees" / f"emoji_{name}.yaml") for name in ("unicode", "wordnet")]


def module(rank: int = 0, world_size: int = 1, **settings: object) -> EmojiDataModule:
    data = EmojiDataModule(**settings)  # type: ignore[arg-type]
    data.setup("fit")
    # Only these two numbers of a trainer play a part; a real one with several processes is too slow here.
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)  # type: ignore[assignment]
    return data


def test_training_batches_are_full_and_show_no_picture_twice() -> None:
    data = module(batch_size=300)
    batches = list(data.train_dataloader())
    assert {len(batch["image"]) for batch in batches} == {300}
    assert len(batches) == len(data.train_dataloader()) == len(data.training_set) // 300
    assert batches[0].keys() == {"image", "label", "index"}
    assert batches[0]["image"].shape == (300, 3, 64, 64)
    assert batches[0]["label"].dtype == torch.int64
    indices = torch.cat([batch["index"] for batch in batches]).tolist()
    assert len(set(indices)) == len(indices)
    labels = torch.cat([batch["label"] for batch in batches]).tolist()
    assert labels == [data.training_set.data.items[index][0] for index in indices]


def test_a_small_training_set_still_gives_one_batch() -> None:
    data = module(batch_size=10**6)
    assert len(data.train_dataloader()) == 1


def test_captioned_batches_carry_what_the_objective_needs() -> None:
    data = module(batch_size=8, caption_trees=TREES)
    assert isinstance(data.training_set, CaptionedEmoji)
    batch = next(iter(data.train_dataloader()))
    captions = {"caption", "altered_caption"}
    assert batch.keys() == {"image", "label", "index", "node", "values", "stated", "altered", *captions}
    assert batch["values"].shape == batch["stated"].shape == batch["altered"].shape == (8, 5)
    assert all(len(batch[name]) == 8 for name in captions)


def test_training_of_several_processes_shares_an_epoch() -> None:
    alone = module(batch_size=16).train_dataloader()
    alone.sampler.set_epoch(3)
    order = [address.index for address in alone.sampler]
    for rank in range(3):
        loader = module(rank, 3, batch_size=16).train_dataloader()
        loader.sampler.set_epoch(3)
        mine = [address.index for address in loader.sampler]
        assert mine == order[rank : len(mine) * 3 : 3]


@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation_counts_every_picture_once(world_size: int) -> None:
    seen, expected = [], module().evaluation_set("validation")
    for rank in range(world_size):
        for batch in module(rank, world_size, batch_size=32).val_dataloader():
            assert batch.keys() == {"image", "label", "index"}
            seen += batch["index"].tolist()
            images, labels = images_and_labels(expected, batch["index"].tolist())
            assert torch.equal(batch["image"], images)
            assert torch.equal(batch["label"], labels)
    assert sorted(seen) == list(range(len(expected)))


def test_a_shard_works_with_data_sets_that_have_no_batches() -> None:
    shard = IndexedShard([("a", 1), ("b", 2), ("c", 3)], [2, 0])
    assert len(shard) == 2
    assert shard[0] == {"image": "c", "label": 3, "index": 2}
    assert shard.__getitems__([1, 0])[0] == {"image": "a", "label": 1, "index": 0}


def test_class_ids_are_the_labels_of_every_evaluation_set_that_fit_may_use() -> None:
    data = module()
    assert data.class_ids == data.evaluation_set().class_names == data.evaluation_set("unseen_artist").class_names


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected validation_split of .*got 'unseen_classes'"):
        EmojiDataModule(validation_split="unseen_classes")
    for name, value in (("batch_size", 0), ("num_workers", -1), ("seed", -1)):
        with pytest.raises(ValueError, match=f"expected {name} >="):
            EmojiDataModule(**{name: value})  # type: ignore[arg-type]


class Recorder(LightningModule):
    """Trains next to nothing; writes down which pictures come."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[int]] = {}
        self.validated: list[int] = []

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).extend(batch["index"].tolist())
        return self.weight.sum()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self.validated += batch["index"].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters())


# Lightning advises worker processes, which would be slower here.
@pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers")
def test_lightning_tells_the_sampler_the_epoch(tmp_path: Path) -> None:
    data, recorder = EmojiDataModule(batch_size=64, seed=5), Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(
        max_epochs=2,
        limit_train_batches=2,
        num_sanity_val_steps=0,
        accelerator="cpu",
        default_root_dir=tmp_path,
        use_distributed_sampler=False,
        **quiet,
    )
    trainer.fit(recorder, datamodule=data)
    for epoch in range(2):
        sampler = EpochSampler(len(data.training_set), seed=5)
        sampler.set_epoch(epoch)
        assert recorder.seen[epoch] == [address.index for address in sampler][:128]
    assert recorder.validated == [*range(len(data.evaluation_set()))] * 2
