"""One training step of several objectives, alone or as one of several processes; run by `test_distributed`."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from short_settings import made
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.attacks.randomness import PerImageGenerator
from hrvlm.objectives import (
    AGFTObjective,
    CleanObjective,
    Consistency,
    FAREObjective,
    Guidance,
    GuidedHierarchicalObjective,
    HierarchicalObjective,
    ImageTextContrastiveObjective,
    MaximizedRadius,
    NoiseTerms,
    NoisyModel,
    PMGAFTObjective,
    SmoothAdvObjective,
    SubspaceAlignmentObjective,
    TeCoAObjective,
    noisy_loss,
)
from hrvlm.objectives.settings import LossWeights
from hrvlm.objectives.soft_targets import SoftTargets
from hrvlm.training.noise import drawn
from hrvlm.training.settings import TrainingNoise
from hrvlm.training.weight_perturbation import MovedWeights
from hrvlm.trees import ClassTree, Forest, Node, TreeInfo

LEAVES = ("ant", "bee", "cat", "dog", "elm", "fir")
DEEP = {
    "ant": "insect", "bee": "insect", "cat": "mammal", "dog": "mammal", "elm": "tree", "fir": "plant",
    "insect": "animal", "mammal": "animal", "tree": "plant", "animal": None, "plant": None,
}  # fmt: skip
FLAT = {
    "ant": "small", "bee": "small", "fir": "green", "elm": "green", "cat": "small", "dog": "big",
    "small": None, "big": None, "green": None,
}  # fmt: skip
# The first half has no plant, the second no mammal; dogs and ants are on both sides; elm is on neither.
LABELS = torch.tensor([0, 1, 3, 2, 3, 0, 5, 0, 5, 1])
CAPTIONS = [f"{number} of them" for number in (1, 2, 3, 4, 2, 5, 6, 7, 1, 8)]  # some on both sides
ATTACK = {"threat_model": ThreatModel(eps=0.05), "ascent": Ascent(step_size=0.02, steps=2)}
PARTS = {"eps_text": 0.01, "zeta_vicinity": 0.3, "zeta_gap": 0.5}
L2 = ThreatModel("l2", 0.05)
LARGE: dict[str, Any] = {"steps": 5, "step_size": 0.05}
MARGIN = Ascent(rule="momentum", loss="margin", **LARGE)
HALVING = Ascent(rule="apgd", loss="dlr", **LARGE)
ONE_TREE = Ascent(trees_per_step=1, **LARGE)
SHARES = LossWeights(leaf_sum_share=0.5, image_share=0.5, soft_targets=SoftTargets())
GUIDED = ATTACK | {"guidance": Guidance(general=0.7, clean=1.9)}
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any], int]] = {
    "one tree": (HierarchicalObjective, ATTACK | PARTS, 1),
    "forest": (HierarchicalObjective, ATTACK | PARTS, 2),
    "l2, images only": (HierarchicalObjective, ATTACK | PARTS | {"threat_model": L2, "eps_text": 0.0}, 2),
    "per level": (HierarchicalObjective, ATTACK | PARTS | {"strategy": "per_level"}, 2),
    "euclidean": (HierarchicalObjective, ATTACK | {"head": "cosine", "lambda_order": 0.0}, 2),
    "local": (HierarchicalObjective, ATTACK | PARTS | {"average_over": "local"}, 2),
    "momentum, margin": (HierarchicalObjective, ATTACK | PARTS | {"ascent": MARGIN}, 2),
    "apgd, ratio": (HierarchicalObjective, ATTACK | PARTS | {"ascent": HALVING}, 2),
    "in turn": (HierarchicalObjective, ATTACK | PARTS | {"strategy": "alternating", "ascent": ONE_TREE}, 2),
    "soft targets": (HierarchicalObjective, ATTACK | PARTS | {"weights": LossWeights(soft_targets=SoftTargets())}, 2),
    "images alone": (HierarchicalObjective, ATTACK | PARTS | {"weights": LossWeights(image_share=1.0)}, 2),
    "weights moved": (HierarchicalObjective, ATTACK | PARTS, 2),
    "tecoa": (TeCoAObjective, ATTACK, 1),
    "pmg-aft": (PMGAFTObjective, ATTACK | {"alpha": 0.7, "beta": 1.9}, 1),
    "pmg-aft, other order": (PMGAFTObjective, ATTACK | {"alpha": 1.3, "beta": 0.0, "kl": "from_other"}, 1),
    "guided forest": (GuidedHierarchicalObjective, GUIDED, 2),
    "fare": (FAREObjective, ATTACK, 1),
    "fare, l2": (FAREObjective, ATTACK | {"threat_model": L2}, 1),
    "agft": (AGFTObjective, ATTACK, 1),
    "subspaces": (SubspaceAlignmentObjective, ATTACK, 1),
    "image-text": (ImageTextContrastiveObjective, ATTACK, 1),
    "clean": (CleanObjective, {}, 1),
    "smoothed forest": (HierarchicalObjective, ATTACK | PARTS | {"weights": SHARES}, 2),
    "smooth-adv": (SmoothAdvObjective, ATTACK, 1),
    "tecoa, copies": (TeCoAObjective, ATTACK, 1),
    "image-text, copies": (ImageTextContrastiveObjective, ATTACK, 1),
}
TERMS = {"consistency": Consistency(weight=0.5), "radius": MaximizedRadius(weight=0.5, inverse_temperature=1.0)}
NOISE = {
    "smoothed forest": TrainingNoise(sigma=0.1, copies=2, **TERMS),
    "smooth-adv": TrainingNoise(sigma=0.1, mode="uniform", copies=2),
    "image-text, copies": TrainingNoise(sigma=0.1, copies=2),
    "tecoa, copies": TrainingNoise(sigma=0.1, share=0.7, copies=2, consistency=Consistency(weight=0.5)),
}
MOVED = {"weights moved": 0.05}  # by which share of their norm


class SmallModel(nn.Module):
    """The methods that an objective asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.GELU(), nn.Flatten(), nn.Linear(72, 8))
        self.text_projection = nn.Linear(10, 8, bias=False)

    @property
    def logit_scale(self) -> torch.Tensor:
        return torch.tensor(20.0)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * self.image(images)

    def frozen_image_tower(self) -> SmallModel:
        return copy.deepcopy(self).requires_grad_(False).eval()

    @torch.no_grad()
    def text_hidden(self, texts: Sequence[str]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(zlib.crc32(text.encode())) for text in texts]
        return torch.stack([torch.randn(10, generator=generator) for generator in generators])

    def project_text(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.text_projection(hidden)


class Step(nn.Module):
    """What Lightning's training step does, as one module to be wrapped."""

    def __init__(self, case: str, kind: type[SmallModel] = SmallModel) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.noise = NOISE.get(case)
        kind_of_loss, arguments, trees = CASES[case]
        self.gamma = MOVED.get(case, 0.0)
        self.model, self.objective = kind(), made(kind_of_loss, **arguments)
        parents = [DEEP, FLAT][:trees]
        kinds = [
            ClassTree.from_nodes([Node(key, key, parent) for key, parent in tree.items()], TreeInfo(name=str(index)))
            for index, tree in enumerate(parents)
        ]
        self.objective.bind(Forest([kind.restrict(LEAVES) for kind in kinds]))
        self.objective.prepare(self.model, images_of(range(len(LABELS))))
        self.model.text_projection.requires_grad_(self.objective.trains_text)
        with torch.no_grad():  # away from the model that PMG-AFT and FARE hold on to, as after some training
            for parameter in self.model.image.parameters():
                parameter += 0.02 * torch.randn_like(parameter)

    def forward(self, indices: Sequence[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        images = images_of(indices)
        batch = {"image": images, "label": LABELS[list(indices)], "caption": [CAPTIONS[index] for index in indices]}
        labels = self.objective.targets(self.model, batch)
        starts = PerImageGenerator([100 + index for index in indices], batch_seed=3)
        model, terms = self.model, NoiseTerms()
        if self.noise is not None:
            model = NoisyModel(self.model, *drawn(self.noise, images, [200 + index for index in indices]))
            terms = self.noise.terms
        adversarial = self.objective.perturb(model, images, labels, starts)
        if self.gamma > 0.0:
            loss, _ = self.objective.loss(model, adversarial, images, labels)
            MovedWeights().move(loss, self.parameters(), self.gamma, None)
        return noisy_loss(self.objective, model, adversarial, images, labels, terms)


def images_of(indices: Sequence[int]) -> torch.Tensor:
    pictures = [torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(index)) for index in indices]
    return torch.stack(pictures)


def run(step: nn.Module, indices: Sequence[int], dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Numbers logged, and gradients of all parameters; forward passes under autocast if a dtype is given."""
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        loss, logs = step(indices)
    loss.backward()
    gradients = {name.removeprefix("module."): parameter.grad for name, parameter in step.named_parameters()}
    return {"logs": logs, "gradients": gradients}


def work(rank: int, processes: int, folder: str) -> None:
    """One process: every case on this process's share of the batch."""
    torch.set_num_threads(1)
    meeting = f"file://{Path(folder) / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    share = len(LABELS) // processes
    mine = range(rank * share, (rank + 1) * share)
    found = {case: run(DistributedDataParallel(Step(case)), mine) for case in CASES}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
