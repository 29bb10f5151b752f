"""A run killed inside an epoch and resumed has the losses, to the last bit, of the run that was never interrupted."""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import webdataset
import yaml

from hrvlm.data.base import ImageDataModule
from hrvlm.data.resuming import ResumableLoader
from hrvlm.data.sampling import Address, EpochSampler, ShardSampler

ROOT = Path(__file__).parents[2]
NOISE = {"sigma": 0.1, "mode": "uniform", "share": 0.8, "copies": 2, "consistency": {"weight": 1.0}}
IN_TURN = {
    "class_path": "hrvlm.objectives.HierarchicalObjective",
    "init_args": {"strategy": "alternating", "ascent": {"steps": 1, "rule": "momentum", "trees_per_step": 1}},
}
# batches after which the process kills itself, further settings; an epoch has 8 batches, 3 steps if accumulating
RUNS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "averaging": (13, {}, {"trained": {"average_decay": 0.9, "weight_perturbation": {"gamma": 0.05}}}),
    "accumulating": (
        13,
        {"accumulate_grad_batches": 3},
        {"noise": NOISE, "objective": IN_TURN},
    ),
    "shards": (13, {}, {}),
}
SIZES = (9, 3, 12, 8)  # of the shards: uneven, with 32 pictures in all


def as_shards(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The data of some settings as tar shards, read ahead by a worker."""
    pictures = sorted(Path(settings["train_folder"]).glob("*/*.png"))
    classes = sorted({picture.parent.name for picture in pictures})
    folder.mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    for shard in range(len(SIZES)):
        with webdataset.TarWriter(str(folder / f"{shard}.tar")) as writer:
            for number in range(sum(SIZES[:shard]), sum(SIZES[: shard + 1])):
                picture = pictures[7 * number % len(pictures)]
                label = classes.index(picture.parent.name)
                writer.write({"__key__": str(number), "png": picture.read_bytes(), "cls": label})
    shards = str(folder / f"{{0..{len(SIZES) - 1}}}.tar")
    files = {"train": shards, "evaluation": {"validation": shards}, "classes_file": str(folder / "classes.txt")}
    return {"shards": files, "image_size": 32, "num_workers": 1, "shuffle_window": 10}


def stored(folder: Path, every: int) -> list[dict[str, Any]]:
    """The checkpoints of the ImageNet configuration, of a shorter period; not those that an accuracy chooses."""
    given = yaml.safe_load((ROOT / "configs" / "imagenet" / "vit_b32_openai.yaml").read_text(encoding="utf-8"))
    found = [entry for entry in given["trainer"]["callbacks"] if entry["class_path"].endswith(".ModelCheckpoint")]
    found = [entry for entry in found if "monitor" not in entry["init_args"]]
    for entry in found:
        period = {"every_n_train_steps": every} if "every_n_train_steps" in entry["init_args"] else {}
        entry["init_args"] |= {"dirpath": str(folder / "kept"), **period}
    return found


def chosen(settings: dict[str, Any], folder: Path, run: str, kill_after: int | None) -> dict[str, Any]:
    """A short run that stores a checkpoint every third step, or every second of the few that accumulate."""
    _, trainer, model = RUNS[run]
    recorder = {"path": str(folder / "losses.txt"), "kill_after": kill_after}
    settings["trainer"] |= trainer
    settings["trainer"]["callbacks"] = [
        {"class_path": "recording.Recorder", "init_args": recorder},
        *stored(folder, 2 if run == "accumulating" else 3),
    ]
    settings["trainer"]["limit_val_batches"] = 0
    settings["model"]["init_args"] |= model
    if run == "shards":
        arguments = as_shards(settings["data"]["init_args"], folder)
        settings["data"] = {"class_path": "hrvlm.data.shards.ShardDataModule", "init_args": arguments}
    settings["data"]["init_args"]["batch_size"] = 4
    return settings


def rates(run: str) -> list[float]:
    """Learning rate after each batch: two steps of warm-up to 1e-3, then a cosine to zero at the last step."""
    window = RUNS[run][1].get("accumulate_grad_batches", 1)
    stepped = [batch % window == window - 1 or batch == 7 for batch in range(8)] * 2
    taken = [sum(stepped[: batch + 1]) for batch in range(16)]
    cosine = [0.5 * (1 + math.cos(math.pi * (step - 2) / (taken[-1] - 2))) for step in taken]
    return [1e-3 * ((step + 1) / 2 if step < 2 else cosine[batch]) for batch, step in enumerate(taken)]


def lines(folder: Path) -> list[str]:
    return (folder / "losses.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("run", RUNS)
def test_losses_after_a_kill_are_those_of_the_uninterrupted_run(
    run: str, make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_train(whole, chosen(make_settings(whole), whole, run, None))
    ended = multiprocessing.get_context("fork").Process(
        target=run_train, args=(killed, chosen(make_settings(killed), killed, run, RUNS[run][0]))
    )
    ended.start()
    ended.join()
    assert ended.exitcode == -signal.SIGKILL
    before = len(lines(killed))
    last = killed / "kept" / "last.ckpt"
    steps = {
        path: torch.load(path / "kept" / "last.ckpt", weights_only=True)["global_step"] for path in (whole, killed)
    }
    # The end of the run is no third step, and is kept; the kill came after the 13th batch.
    assert steps == ({whole: 6, killed: 4} if run == "accumulating" else {whole: 16, killed: 12})
    resumed = chosen(make_settings(killed), killed, run, None)
    folder = run_train(killed, resumed, "--ckpt_path", str(last), "--weights_only", "true")
    expected, found = lines(whole), lines(killed)
    assert len(expected) == 16
    assert [float.fromhex(line.split()[3]) for line in expected] == pytest.approx(rates(run), abs=1e-12)
    assert before == RUNS[run][0] > len(expected) - (len(found) - before) > 8  # killed and resumed in the second epoch
    assert found[:before] == expected[:before]
    assert found[before:] == expected[len(expected) - (len(found) - before) :]
    assert folder.is_dir()
    weights = [torch.load(part / "kept" / "last.ckpt", weights_only=True)["state_dict"] for part in (whole, killed)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("limit", [{"max_epochs": 2}, {"max_epochs": -1, "max_steps": 16}], ids=["epochs", "steps"])
def test_checkpoints_at_the_end_of_an_epoch_go_on_with_the_next(
    limit: dict[str, int], make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    def run(folder: Path, *arguments: str) -> None:
        settings = chosen(make_settings(folder), folder, "averaging", None)
        kinds = {"batch": {"every_n_train_steps": 8}, "epoch": {"every_n_epochs": 1}}
        settings["trainer"]["callbacks"][1:] = [
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"dirpath": str(folder / kind), "filename": "{step}", "save_top_k": -1, **when},
            }
            for kind, when in kinds.items()
        ]
        settings["trainer"] |= limit
        run_train(folder, settings, *arguments)

    run(tmp_path)
    expected = lines(tmp_path)
    assert len(expected) == 16
    # Lightning 2.6 trains one batch too many after the checkpoint of an epoch's end where max_steps bounds a run.
    for kind in ("batch",) if "max_steps" in limit else ("batch", "epoch"):
        folder = tmp_path / f"from_{kind}"
        folder.mkdir()
        run(folder, "--ckpt_path", str(tmp_path / kind / "step=8.ckpt"))
        assert lines(folder) == expected[8:], kind


class Numbers(ImageDataModule):
    """Twenty samples that are their addresses."""

    @property
    def class_ids(self) -> list[str]:
        return ["a"]

    def build_training(self) -> Any:
        return Echo()

    def evaluation_set(self, split: str | None = None) -> Any:
        return []


class Echo:
    def __len__(self) -> int:
        return 20

    def __getitem__(self, address: Address) -> dict[str, int]:
        return {"index": address.index, "epoch": address.epoch}


def loader(workers: int = 0, **settings: int) -> ResumableLoader:
    data = Numbers(**{"batch_size": 3, "num_workers": workers, "seed": 1} | settings)
    data.setup("fit")
    made = data.train_dataloader()
    assert isinstance(made, ResumableLoader)
    return made


def indices(made: ResumableLoader) -> list[list[int]]:
    return [batch["index"].tolist() for batch in made]


@pytest.mark.parametrize("given", range(1, 7))
def test_a_loader_goes_on_where_another_stopped(given: int) -> None:
    first, second = loader(), loader()
    first.sampler.set_epoch(2)
    expected = indices(first)
    iterator = iter(first)
    for _ in range(given):
        next(iterator)
    state = first.state_dict()
    second.load_state_dict(state)
    second.sampler.set_epoch(2)  # as Lightning does
    assert len(second) == len(expected) == 6  # the trainer counts batches by whole epochs
    assert indices(second) == expected[given:]
    assert indices(second) == expected
    first.sampler.set_epoch(3)
    ended = first.state_dict()
    following = indices(first)
    assert following != expected
    for kept in (state, ended, loader().state_dict()):
        second.load_state_dict(kept)
        second.sampler.set_epoch(3)
        assert indices(second) == following


def test_workers_start_in_the_epoch_that_is_known_at_the_first_batch() -> None:
    made = loader(workers=1)
    iterator = iter(made)  # Lightning asks for the iterator before it says the epoch
    made.sampler.set_epoch(4)
    batch = next(iterator)
    assert set(batch["epoch"].tolist()) == {4}
    order = EpochSampler(20, seed=1)
    order.set_epoch(4)
    assert batch["index"].tolist() == [address.index for address in order][:3]


@pytest.mark.parametrize("changed", [{"batch_size": 4}, {"seed": 2}])
def test_places_of_other_runs_are_refused(changed: dict[str, int]) -> None:
    other, state = loader(**changed), loader().state_dict()
    other.load_state_dict(state)
    with pytest.raises(ValueError, match=rf"got {next(iter(changed))} .* instead of"):
        next(iter(other))
    other.load_state_dict(state)
    other.sampler.set_epoch(1)  # at the end of an epoch everything may change
    assert len(indices(other)) == len(other)


@pytest.mark.parametrize(
    ("sizes", "window", "named"),
    [([12, 8], 6, "shuffle_window 6 instead of 5"), ([6, 6, 8], 5, "num_shards 3 instead")],
)
def test_a_place_in_other_shards_or_windows_is_refused(sizes: list[int], window: int, named: str) -> None:
    def over(sizes: list[int], window: int) -> ResumableLoader:
        sampler = ShardSampler(sizes, window=window, seed=1)
        return ResumableLoader(Echo(), sampler=sampler, batch_size=3)

    first, same, other = over([12, 8], 5), over([12, 8], 5), over(sizes, window)
    expected = indices(first)
    iterator = iter(first)
    next(iterator)
    same.load_state_dict(first.state_dict())
    assert indices(same) == expected[1:]
    other.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match=f"settings of the interrupted run .* got {named}"):
        next(iter(other))
