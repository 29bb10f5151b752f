"""Training of the captioner: its loss falls, the export gives its log-probabilities, answers are those of the looks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.data.emoji_pack.captions import BACKGROUNDS, SIZES
from hrvlm.generative import load_generator
from hrvlm.generative.captions import command, description
from hrvlm.training.captioning import CaptionTraining
from hrvlm.training.settings import DecoderShape

ROOT = Path(__file__).parents[2]
SIZE: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def module() -> CaptionTraining:
    return CaptionTraining(decoder=DecoderShape(**SIZE))


@pytest.mark.slow
def test_short_training_lowers_the_loss_and_exports(run_train: Callable[..., Path], tmp_path: Path) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
    chosen: dict[str, Any] = {
        "seed_everything": 0,
        "trainer": {
            "max_epochs": 4, "limit_train_batches": 5, "limit_val_batches": 1, "check_val_every_n_epoch": 4,
            "accelerator": "cpu", "devices": 1, "inference_mode": False, "use_distributed_sampler": False,
            "log_every_n_steps": 1, "num_sanity_val_steps": 0, "enable_progress_bar": False,
            "enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": str(tmp_path),
            "logger": [logger],
        },
        "model": {
            "class_path": "hrvlm.training.captioning.CaptionTraining",
            "init_args": {
                "decoder": SIZE, "optimizer": {"learning_rate": 1e-2, "warmup_steps": 2},
                "folder": str(tmp_path / "model"),
            },
        },
        "data": {
            "class_path": "hrvlm.data.emoji_pack.datamodule.EmojiDataModule",
            "init_args": {"batch_size": 16, "caption_trees": [str(ROOT / "trees" / "emoji_unicode.yaml")]},
        },
    }  # fmt: skip
    run_train(tmp_path, chosen)
    (metrics,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(metrics.read_text(encoding="utf-8").splitlines()))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == 20
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert {"validation/act_0", "validation/describe_0.25"} <= set(rows[0])
    assert load_generator(tmp_path / "model", prompt="act").prompt == "act"


def test_answers_say_the_look_and_nothing_of_empty_pictures(module: CaptionTraining) -> None:
    labels = torch.tensor([3, 4])
    values = torch.tensor([[list(BACKGROUNDS).index("blue"), SIZES.index("small"), 0, 0, 0], [1, 0, 0, 0, 0]])
    entry = module.entries[3]
    assert module.answers(labels, values, torch.tensor([False, True])) == [
        description(entry, "blue", "small"), "nothing on a black background", command(entry), "wait",
    ]  # fmt: skip


def test_noise_is_for_some_pictures_and_leaves_the_unit_interval(module: CaptionTraining) -> None:
    torch.manual_seed(0)
    images = torch.ones(200, 3, 16, 16)
    added = module._noisy(images) - images
    strengths = added.flatten(1).std(1)
    assert 60 < (strengths > 0).sum() < 140
    assert 0.2 < strengths.max() < 0.27
    assert added.max() > 0.5


def test_empty_pictures_have_the_colour_that_is_said(module: CaptionTraining) -> None:
    torch.manual_seed(0)
    backgrounds = torch.arange(len(BACKGROUNDS)).repeat(60)
    shown, empty = module._with_empty(torch.full((len(backgrounds), 3, 4, 4), -1.0), backgrounds)
    assert 2 < empty.sum() < 40
    assert bool((shown[~empty] == -1).all())
    told = torch.tensor(list(BACKGROUNDS.values()))[backgrounds[empty]]
    assert (shown[empty] - told[:, :, None, None]).abs().max() <= 0.08 + 1e-6
