"""Steps of training on a device, in bfloat16, for `device.py`: perturbation, loss, gradient, optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models import VisionLanguageModel
from hrvlm.objectives import HierarchicalObjective, Objective, TeCoAObjective
from hrvlm.training.towers import CompiledForward
from hrvlm.trees import Forest

EPS = 4 / 255
ATTACK: dict[str, Any] = {"threat_model": ThreatModel(eps=EPS), "ascent": Ascent(steps=3, step_size=EPS / 2)}


class TrainingSteps:
    """Steps on one batch of random pictures, as training takes them."""

    def __init__(self, model: VisionLanguageModel, objective: Objective, batch: int) -> None:
        device = model.mean.device
        self.model, self.objective = model, objective
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(batch, 3, *model.image_size, generator=generator).to(device)
        self.labels = torch.randint(len(objective.forest.leaves), (batch,), generator=generator).to(device)
        objective.to(device).prepare(model, self.images[:64])
        objective.to(device)
        model.requires_grad_(False)
        model.clip.visual.requires_grad_(True)
        trained = [part for part in (*model.parameters(), *objective.parameters()) if part.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=device.type == "cuda")
        self._operations: int | None = None

    def loss(self) -> Tensor:
        """Perturbation and loss."""
        with torch.autocast(self.images.device.type, torch.bfloat16):
            adversarial = self.objective.perturb(self.model, self.images, self.labels)
            return self.objective.loss(self.model, adversarial, self.images, self.labels)[0]

    def __call__(self) -> None:
        """One step."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def flops(self) -> int:
        """Floating-point operations of products and convolutions of a step, counted once, not compiled."""
        if self._operations is None:
            with FlopCounterMode(display=False) as counter:
                self.loss().backward()
            self.optimizer.zero_grad(set_to_none=True)
            self._operations = counter.get_total_flops()
        return self._operations

    @contextmanager
    def executed(self, backend: str | None) -> Iterator[None]:
        """The image tower compiled inside, unless the backend is None."""
        compiled = None if backend is None else CompiledForward(self.model.clip.visual, backend)
        with nullcontext() if compiled is None else compiled.in_place():
            yield


def training_steps(model: VisionLanguageModel, name: str, forest: Forest, batch: int) -> TrainingSteps:
    """Steps of an objective by its name, over a forest."""
    objective = TeCoAObjective(**ATTACK) if name == "tecoa" else HierarchicalObjective(**ATTACK)
    objective.bind(forest)
    return TrainingSteps(model, objective, batch)
