"""What each part of adversarial fine-tuning costs, each against the same step without it, side by side.

    python benchmarks/training_speed.py [--parts universal text_cache] [--again] [--repeats 9]

Variants take turns (A B, B A, …); a ratio is the median over the turns of time A / time B. Prints a table with targets
and writes benchmarks/results/training_speed.json after every part; run again, it goes on with the missing parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import open_clip
import requote
import torch
from generated_forest import ObjectiveAlone, generated_forest, peak_memory
from machines import machine
from speed_report import show
from torch import Tensor

import hrvlm
from hrvlm.attacks import Ascent, ThreatModel, gradients
from hrvlm.models import VisionLanguageModel
from hrvlm.objectives import HierarchicalObjective, Objective, TeCoAObjective
from hrvlm.objectives.settings import LossWeights
from hrvlm.training.settings import TowerExecution
from hrvlm.training.towers import TowerForward

TREES = ["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"]
RESULT = Path(__file__).parent / "results" / "training_speed.json"
BATCH, STEPS, EPS = 128, 3, 4 / 255
ATTACK: dict[str, Any] = {
    "threat_model": ThreatModel(eps=EPS),
    "ascent": Ascent(steps=STEPS, step_size=EPS / 2),
}
VIT_BATCH, OBJECTIVE_BATCH, WIDTH, LEAVES, LEVELS = 32, 256, 512, 1000, 6
Step = Callable[[], object]


class TrainingStep:
    """Perturbation, loss and gradient of one batch of the packaged model's fine-tuning."""

    def __init__(self, objective: Objective, twin: bool = True) -> None:
        self.forest = hrvlm.load_forest(TREES)
        self.model: VisionLanguageModel = hrvlm.load_model("emoji")
        self.model.requires_grad_(False)
        self.model.clip.visual.requires_grad_(True)
        for parameter in self.model.text_projection_parameters():
            parameter.requires_grad_(objective.trains_text)
        self.objective = objective
        forward = TowerForward(self.model.clip.visual, TowerExecution())
        self.perturbing = forward.perturbing if twin else nullcontext
        generator = torch.Generator().manual_seed(0)
        size = self.model.image_size
        self.images = torch.rand(BATCH, 3, *size, generator=generator)
        self.labels = torch.randint(len(self.forest.leaves), (BATCH,), generator=generator)
        objective.bind(self.forest)
        objective.prepare(self.model, self.images)

    def __call__(self) -> None:
        """One step, but for the optimiser's."""
        with self.perturbing():
            adversarial = self.objective.perturb(self.model, self.images, self.labels)
        self.objective.loss(self.model, adversarial, self.images, self.labels)[0].backward()
        self.model.zero_grad(set_to_none=True)


class UncachedTexts(HierarchicalObjective):
    """Runs the text tower whenever texts are needed, on tokens made once."""

    def text_features(self, model: Any) -> Tensor:
        """Text features from the tokens of all nodes."""
        if not hasattr(self, "_tokens"):
            self._tokens = model.tokenize(self.prompts())
        with patch.object(model, "tokenizer", lambda texts: self._tokens):
            self.text_hidden = model.text_hidden(self.prompts())
        return super().text_features(model)


def hierarchical(
    strategy: Any = "universal",
    kind: type[HierarchicalObjective] = HierarchicalObjective,
    image_share: float = 1.0,
    twin: bool = True,
) -> TrainingStep:
    """A step as the emoji configurations take it; with image_share 0 as the paper's method does."""
    return TrainingStep(kind(strategy=strategy, weights=LossWeights(image_share=image_share), **ATTACK), twin)


def tecoa() -> TrainingStep:
    """The same passes through the tower, without trees."""
    return TrainingStep(TeCoAObjective(**ATTACK))


def paired(first: Step, second: Step, repeats: int) -> dict[str, float]:
    """Times two steps in turns; medians of seconds and of the ratio first / second, of wall and of processor time."""
    first(), second()
    rows = []
    for turn in range(repeats):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        row: dict[int, tuple[float, float]] = {}
        for place in order:
            started = time.perf_counter(), time.process_time()
            (first, second)[place]()
            row[place] = time.perf_counter() - started[0], time.process_time() - started[1]
        rows.append(row)
    middle = statistics.median
    return {
        "first_seconds": middle(row[0][0] for row in rows),
        "second_seconds": middle(row[1][0] for row in rows),
        "ratio": middle(row[0][0] / row[1][0] for row in rows),
        "processor_ratio": middle(row[0][1] / row[1][1] for row in rows),
    }


@contextmanager
def unfrozen() -> Iterator[None]:
    """Leaves the parameters' gradients on while a perturbation is sought; `autograd.grad` is still asked for less."""

    @contextmanager
    def nothing(*modules: object) -> Iterator[None]:
        yield

    with patch("hrvlm.objectives.base.frozen_parameters", nothing):
        yield


def backward_gradients(
    loss: Any, images: Tensor, text: Tensor | None, step: int, checks: gradients.FiniteChecks
) -> gradients.Ascended:
    """As attacks that call `backward`: the gradients of all parameters are computed as well."""
    del checks
    images = images.detach().requires_grad_()
    text = None if text is None else text.detach().requires_grad_()
    values = loss(images, text)
    values.sum().backward()
    assert images.grad is not None
    return values.detach(), images.grad, None if text is None else text.grad


def frozen_part(repeats: int) -> dict[str, Any]:
    """Without the twin for inference, none of whose parameters ever asks for a gradient."""
    step = hierarchical(twin=False)

    def flags_on() -> None:
        with unfrozen():
            step()

    def all_gradients() -> None:
        with unfrozen(), patch.object(gradients, "_at", backward_gradients):
            step()

    return {"all_gradients": paired(all_gradients, step, repeats), "flags_on": paired(flags_on, step, repeats)}


def objective_part(repeats: int) -> dict[str, Any]:
    alone = ObjectiveAlone(generated_forest(5, LEAVES, LEVELS), OBJECTIVE_BATCH, WIDTH)
    tower = open_clip.create_model("ViT-B-32").visual
    images = torch.rand(VIT_BATCH, 3, 224, 224)

    def vit() -> None:
        tower(images).sum().backward()
        tower.zero_grad(set_to_none=True)

    found = paired(alone, vit, max(repeats // 2, 3))
    scale = OBJECTIVE_BATCH / VIT_BATCH
    shares = {name: found[name] / scale for name in ("ratio", "processor_ratio")}
    return {"five_trees": found | shares | {"nodes": alone.nodes, "vit_batch": VIT_BATCH, "scaled_by": scale}}


def memory_part(repeats: int) -> dict[str, Any]:
    del repeats
    found: dict[str, Any] = {}
    for batch in (64, 256):
        for trees in (1, 3, 5):
            alone = ObjectiveAlone(generated_forest(trees, LEAVES, LEVELS), batch, WIDTH)
            found[f"{trees} tree{'s' * (trees > 1)}, {LEVELS} levels, batch {batch}"] = peak_memory(alone) / 2**20
    for levels in (2, 4):
        alone = ObjectiveAlone(generated_forest(1, LEAVES, levels), OBJECTIVE_BATCH, WIDTH)
        found[f"1 tree, {levels} levels, batch {OBJECTIVE_BATCH}"] = peak_memory(alone) / 2**20
    return {"peak_mebibytes": found}


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "universal": lambda n: {"over_leaf_only": paired(hierarchical(), hierarchical("leaf"), n)},
    "hierarchical": lambda n: {"over_tecoa": paired(hierarchical(), tecoa(), n)},
    "hierarchical_averages": lambda n: {"averages_over_tecoa": paired(hierarchical(image_share=0.0), tecoa(), n)},
    "twin": lambda n: {"own_over_twin": paired(hierarchical(twin=False), hierarchical(), n)},
    "frozen_parameters": frozen_part,
    "text_cache": lambda n: {"without_over_with": paired(hierarchical(kind=UncachedTexts), hierarchical(), n)},
    "objective": objective_part,
    "memory": memory_part,
}


def main() -> None:
    """Measures the missing parts, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="measure parts anew that are there")
    parser.add_argument("--quote", action="store_true", help="write the table into docs/training_speed.md")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "parts": {}}
    if RESULT.is_file():
        earlier = json.loads(RESULT.read_text(encoding="utf-8"))
        result["parts"] = earlier["parts"] if earlier["machine"] == result["machine"] else {}
    for name in arguments.parts:
        if arguments.again or name not in result["parts"]:
            result["parts"][name] = PARTS[name](arguments.repeats)
            result["parts"] = {part: result["parts"][part] for part in PARTS if part in result["parts"]}
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    show(result)
    if arguments.quote:
        requote.main()


if __name__ == "__main__":
    main()
