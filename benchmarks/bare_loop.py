"""What the framework costs: fine-tuning steps through Lightning and this project against bare loops of plain PyTorch.

    python benchmarks/bare_loop.py [--methods tecoa hierarchical] [--model ViT-B-32] [--batch 8] [--turns 15]

ViT-B/32 with random weights on random pictures of 224 x 224 pixels with CIFAR-100's classes and tree. In one run of
`Trainer.fit` every step of the framework (from the end of the batch before to the end of the batch, its batch read, its
numbers logged) is followed by a step of the bare loop in benchmarks/bare_steps.py on a copy of the model with
open_clip's own parts, its batch read as well. A ratio is the median over the turns of the framework's time / the bare
loop's. Writes benchmarks/results/bare_loop.json after every method.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from bare_steps import Ball, Levels, Loop, hierarchical_step, tecoa_step
from lightning.pytorch import Callback, Trainer
from machines import machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.data.base import ImageDataModule
from hrvlm.data.sampling import Address
from hrvlm.models.single_products import PatchProjection, SelfAttention
from hrvlm.objectives import HierarchicalObjective, Objective, TeCoAObjective
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.trees import load_forest

RESULT = Path(__file__).parent / "results" / "bare_loop.json"
TREE = str(Path(__file__).parents[1] / "trees" / "cifar100.yaml")
OBJECTIVES: dict[str, type[Objective]] = {"tecoa": TeCoAObjective, "hierarchical": HierarchicalObjective}
EPS, STEPS, STEP_SIZE = 4 / 255, 3, 2 / 255
TARGET = 1.03
ADVICE = ".*(many workers|training batches|in eval mode|LeafSpec).*"  # that few steps do not need
BareStep = Callable[[Tensor, Tensor], float]


class RandomPictures(Dataset[dict[str, Any]]):
    """Uniform pixels with random labels, by address."""

    def __init__(self, count: int, size: tuple[int, int], classes: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(count, 3, *size, generator=generator)
        self.labels = torch.randint(classes, (count,), generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, address: Address | int) -> dict[str, Any]:
        index = address if isinstance(address, int) else address.index
        return {"image": self.images[index], "label": int(self.labels[index]), "index": index}


class RandomData(ImageDataModule):
    """Training alone."""

    def __init__(self, batch_size: int, count: int, size: tuple[int, int]) -> None:
        super().__init__(batch_size=batch_size, num_workers=0, seed=0)
        self._pictures = RandomPictures(count, size, len(self.class_ids))

    @property
    def class_ids(self) -> list[str]:
        """Leaves of the tree."""
        return list(load_forest([TREE]).leaves)

    def build_training(self) -> RandomPictures:
        """The pictures."""
        return self._pictures

    def evaluation_set(self, split: str | None = None) -> Any:
        """Nothing is validated here."""
        raise NotImplementedError


def plain_attention(clip: nn.Module) -> nn.Module:
    """The model as open_clip builds it, with PyTorch's attention and convolution where this project has its own."""
    for name, part in list(clip.named_modules()):
        if isinstance(part, SelfAttention):
            theirs: nn.Module = nn.MultiheadAttention(part.in_proj_weight.shape[1], part.num_heads, batch_first=True)
        elif isinstance(part, PatchProjection):
            width, channels, *patch = part.weight.shape
            theirs = nn.Conv2d(channels, width, (patch[0], patch[1]), part.stride, bias=False)
        else:
            continue
        theirs.load_state_dict(part.state_dict())
        clip.set_submodule(name, theirs.train(part.training))
    return clip


def bare_step(module: RobustFineTuning, method: str, random_start: bool) -> BareStep:
    """A step of the bare loop, from a copy of the model as it is now."""
    clip, objective = plain_attention(copy.deepcopy(module.model.clip)), module.objective
    leaves, ball = len(objective.forest.leaves), None
    hidden = objective.text_hidden[: leaves if method == "tecoa" else None].clone()
    trained = [weight for weight in clip.parameters() if weight.requires_grad]
    if method == "hierarchical":
        head: Any = objective.head
        ball = Ball(head.image_scale.item(), head.text_scales.tolist(), head.temperature.item())
        trained += ball.parameters()
    mean, std = module.model.mean.clone(), module.model.std.clone()
    total = int(module.trainer.estimated_stepping_batches)
    budget: dict[str, Any] = {"eps": EPS, "steps": STEPS, "step_size": STEP_SIZE, "random_start": random_start}
    loop = Loop(clip, mean, std, hidden, trained, total=total, **budget)
    if ball is None:
        return lambda images, labels: tecoa_step(loop, images, labels)
    places = objective.node_slices()
    levels = torch.cat([torch.full((place.stop - place.start,), level) for _, level, place in places])
    trees = []
    for index, tree in enumerate(objective.forest):
        own = [torch.arange(place.start, place.stop) for i, level, place in places if level == 0 or i == index]
        trees.append(Levels(tree, torch.cat(own)))
    return lambda images, labels: hierarchical_step(loop, ball, trees, levels, images, labels)


class Turns(Callback):
    """Times the framework's steps, and takes the bare loop's between them."""

    def __init__(self, method: str, random_start: bool) -> None:
        self.method, self.random_start = method, random_start
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Makes the bare loop."""
        self._step = bare_step(pl_module, self.method, self.random_start)
        self._batches = self._repeated(trainer)
        self._since = _now()

    def _repeated(self, trainer: Trainer) -> Iterator[dict[str, Any]]:
        """The same batches in the same order, as a plain loop reads them."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        yield from DataLoader(data.training_set, sampler=data.training_sampler(), batch_size=data.batch_size)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """One turn."""
        ended = _now()
        own = next(self._batches)
        loss = self._step(own["image"], own["label"])
        bare = _now()
        row = {"framework_loss": float(outputs["loss"]), "bare_loss": loss}
        for kind, clock in (("seconds", 0), ("processor_seconds", 1)):
            row[f"framework_{kind}"] = ended[clock] - self._since[clock]
            row[f"bare_{kind}"] = bare[clock] - ended[clock]
        self.rows.append(row)
        print(", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
        self._since = _now()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def turns(method: str, model: str, batch: int, count: int, random_start: bool = True) -> list[dict[str, float]]:
    """Losses and seconds of every turn of a run; without random starts both loops compute the same."""
    torch.manual_seed(0)
    ascent = Ascent(steps=STEPS, step_size=STEP_SIZE, random_start=random_start)
    objective = OBJECTIVES[method](threat_model=ThreatModel(eps=EPS), ascent=ascent)
    module = RobustFineTuning(objective=objective, trees=[TREE], model=model)
    measured = Turns(method, random_start)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[measured],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=ADVICE)
        trainer.fit(module, datamodule=RandomData(batch, batch * count, module.model.image_size))
    return measured.rows


def summarised(rows: list[dict[str, float]]) -> dict[str, float]:
    """Medians of the ratio and of seconds, without the first turn, which allocates."""
    middle, kept = statistics.median, rows[1:] or rows
    found = {name: middle(row[name] for row in kept) for name in kept[0] if name.endswith("seconds")}
    return {
        "ratio": middle(row["framework_seconds"] / row["bare_seconds"] for row in kept),
        "processor_ratio": middle(row["framework_processor_seconds"] / row["bare_processor_seconds"] for row in kept),
        "turns": len(kept),
        **found,
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES), metavar="NAME")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    setting = {"machine": machine(), "model": given.model, "batch": given.batch, "target": TARGET}
    earlier = json.loads(given.result.read_text(encoding="utf-8")) if given.result.is_file() else {}
    methods = earlier["methods"] if {name: earlier.get(name) for name in setting} == setting else {}
    for method in given.methods:
        methods[method] = summarised(turns(method, given.model, given.batch, given.turns + 1))
        given.result.write_text(json.dumps({**setting, "methods": methods}, indent=2) + "\n", encoding="utf-8")
        print(f"{method}: {methods[method]}", flush=True)


if __name__ == "__main__":
    main()
