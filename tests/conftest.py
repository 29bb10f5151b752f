"""A tiny model, tiny pictures and a tree over them, and one short run that several test files look at."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sweeps import COLLECTED

# Modules of the tests whose classes their configurations name.
os.environ["HRVLM_TRUSTED_MODULES"] = "recording,oracle_runs,test_constructing,test_evaluation,test_trainer_switches"

TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
CLASSES = ["ant", "bee", "cat", "dog", "elm", "fir", "gem", "hat"]
PARENTS = {"ant": "animal", "bee": "animal", "cat": "animal", "dog": "animal", "elm": "plant", "fir": "plant"}
ATTRIBUTES = [{"name": "dark", "target": "a dark picture of a {}"}, {"name": "small", "target": "a small {}"}]
PLAN = {
    "num_images": 6, "sigma": 0.02, "n0": 8, "n": 40, "alpha": 0.05, "radii": [0.0, 0.02], "batch_size": 64,
    "attributes": ATTRIBUTES,
}  # fmt: skip
# Few steps and no worker processes are what a test wants; Lightning advises against both.
ADVICE = ["ignore:.*does not have many workers.*", "ignore:The number of training batches.*"]


# Files that take longest in either part, most of all first: begun at once, none is left for one process at the end.
LONG = [
    "test_stopping.py", "test_bad_files.py", "test_wheel.py", "test_resume.py", "test_semantic_acceptance.py",
    "test_killed_runs.py", "test_strong_attacks.py", "test_ddp_run.py", "test_soundness.py",
    "test_attack_processes.py", "test_layout_commands.py", "test_sampling_coverage.py", "test_configs.py",
    "test_adapter.py", "test_close_classes.py", "test_emoji_variants.py", "test_joint_soundness.py",
    "test_oracle_commands.py", "test_calibrate_command.py", "test_zero_shot_command.py", "test_export.py",
    "test_bad_input.py", "test_robustness_rows.py", "test_recertify.py",
]  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Puts long files first, and lets tests that train ignore Lightning's advice; everything else stays an error."""
    config.stash[COLLECTED] = [(item.path, item.get_closest_marker("slow") is not None) for item in items]
    yield
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))
    for item in items:
        if "run_train" in getattr(item, "fixturenames", ()):
            for message in ADVICE:
                item.add_marker(pytest.mark.filterwarnings(message))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder with an untrained model of 32-pixel images."""
    from hrvlm.models import export_model
    from hrvlm.models.building import from_config

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = {"model_cfg": {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}, "preprocess_cfg": {}}
        model = from_config(config, name="tiny")
    return export_model(model, tmp_path_factory.mktemp("tiny"))


def write_pictures(folder: Path, *, size: int, seed: int) -> Path:
    """Four noisy pictures per class, each class with a colour of its own."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        colour = np.array([number & 1, number >> 1 & 1, number >> 2]) * 200 + 28
        for index in range(4):
            pixels = np.clip(colour + random.normal(0, 25, (size, size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def make_pictures(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes folders of pictures of some size."""
    return lambda size=32, seed=0: write_pictures(tmp_path_factory.mktemp("pictures") / "all", size=size, seed=seed)


@pytest.fixture(scope="session")
def pictures(make_pictures: Callable[..., Path]) -> Path:
    return make_pictures()


@pytest.fixture(scope="session")
def tree_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight classes under animal, plant and thing."""
    nodes: dict[str, Any] = {name: {"parent": None} for name in ("animal", "plant", "thing")}
    nodes |= {name: {"parent": PARENTS.get(name, "thing")} for name in CLASSES}
    tree = {"name": "kinds", "description": "test", "source": "made up", "licence": "MIT", "nodes": nodes}
    path = tmp_path_factory.mktemp("tree") / "kinds.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_plan() -> dict[str, Any]:
    """What certification asks of a few of the pictures."""
    return copy.deepcopy(PLAN)


def settings(folder: Path, model: Path, pictures: Path, tree: Path) -> dict[str, Any]:
    """A small configuration of train.py; 32 pictures, 4 steps an epoch."""
    plan = {"class_path": "hrvlm.certificates.images.CertificationPlan", "init_args": copy.deepcopy(PLAN)}
    checkpoints = {"save_top_k": -1, "filename": "{epoch}", "auto_insert_metric_name": False}
    callbacks = [
        (
            "hrvlm.callbacks.RobustnessCallback",
            {"num_images": 9, "threat_model": {"eps": 0.02}, "steps": 2, "batch_size": 4},
        ),
        ("hrvlm.callbacks.CertificationCallback", {"plan": plan}),
        ("lightning.pytorch.callbacks.ModelCheckpoint", checkpoints),
        ("hrvlm.callbacks.SummaryTable", {}),
    ]
    objective = {"threat_model": {"eps": 0.01}, "ascent": {"step_size": 0.01, "steps": 1}}
    module = {
        "model": str(model), "trees": [str(tree)], "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2},
        "objective": {"class_path": "hrvlm.objectives.HierarchicalObjective", "init_args": objective},
    }  # fmt: skip
    data = {
        "train_folder": str(pictures), "evaluation_folders": {"validation": str(pictures)},
        "image_size": 32, "batch_size": 8, "num_workers": 0,
    }  # fmt: skip
    logger = {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        "init_args": {"save_dir": str(folder), "name": "run"},
    }
    return {
        "seed_everything": 0,
        "trainer": {
            "max_epochs": 2, "accelerator": "cpu", "devices": 1, "inference_mode": False, "log_every_n_steps": 1,
            "use_distributed_sampler": False, "num_sanity_val_steps": 0, "enable_progress_bar": False,
            "enable_model_summary": False, "default_root_dir": str(folder), "logger": [logger],
            "callbacks": [{"class_path": name, "init_args": arguments} for name, arguments in callbacks],
        },
        "model": {"class_path": "hrvlm.training.fine_tuning.RobustFineTuning", "init_args": module},
        "data": {"class_path": "hrvlm.data.folder.FolderDataModule", "init_args": data},
    }  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run: its folder with metrics and rows, its settings, its checkpoints by epoch."""

    folder: Path
    settings: dict[str, Any]

    def checkpoint(self, epoch: int) -> Path:
        return self.folder / "checkpoints" / f"{epoch}.ckpt"


@pytest.fixture(scope="session")
def make_settings(tiny_model: Path, pictures: Path, tree_file: Path) -> Callable[[Path], dict[str, Any]]:
    """Settings of train.py whose results go to a folder; change them at will."""
    return lambda folder: settings(folder, tiny_model, pictures, tree_file)


@pytest.fixture(scope="session")
def run_train() -> Callable[..., Path]:
    """Runs `train.py fit` with settings and further arguments; returns the folder of the results."""
    from hrvlm.cli.train import main

    def run(folder: Path, chosen: dict[str, Any], *arguments: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "given.yaml"
        config.write_text(yaml.safe_dump(chosen), encoding="utf-8")
        with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["train.py"])  # Lightning warns of arguments from two sides
            main(["fit", "--config", str(config), *arguments])
        return max((folder / "run").glob("version_*"), default=folder)

    return run


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> Run:
    """Two epochs of hierarchical fine-tuning in the ball, with every callback."""
    folder = tmp_path_factory.mktemp("finished")
    chosen = make_settings(folder)
    return Run(run_train(folder, chosen), chosen)
