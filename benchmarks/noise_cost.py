"""What noise costs in training: steps of the hierarchical objective through m noises of each picture, over plain ones.

    python benchmarks/noise_cost.py [--repeats 5] [--batch 32]

Variants take turns with the plain step (A B, B A, …), in one run; a ratio is the median over the turns of time A / time
B. Writes benchmarks/results/noise_cost.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from machines import machine
from training_speed import ATTACK, TrainingStep, paired

from hrvlm.objectives import Consistency, HierarchicalObjective, NoisyModel, noisy_loss
from hrvlm.objectives.settings import LossWeights
from hrvlm.training.noise import drawn
from hrvlm.training.settings import TrainingNoise

RESULT = Path(__file__).parent / "results" / "noise_cost.json"
NOISES: dict[str, TrainingNoise] = {
    "1 noise": TrainingNoise(),
    "2 noises": TrainingNoise(copies=2),
    "4 noises": TrainingNoise(copies=4),
    "2 noises, consistency": TrainingNoise(copies=2, consistency=Consistency()),
}


class NoisyStep(TrainingStep):
    """Noise, perturbation, loss and gradient of one batch."""

    def __init__(self, noise: TrainingNoise | None, batch: int) -> None:
        super().__init__(HierarchicalObjective(weights=LossWeights(image_share=1.0), **ATTACK))
        self.noise = noise
        self.images, self.labels = self.images[:batch], self.labels[:batch]

    def __call__(self) -> None:
        """One step, but for the optimiser's."""
        if self.noise is None:
            super().__call__()
            return
        model = NoisyModel(self.model, *drawn(self.noise, self.images, range(len(self.images))))
        with self.perturbing():
            adversarial = self.objective.perturb(model, self.images, self.labels)
        loss, _ = noisy_loss(self.objective, model, adversarial, self.images, self.labels, self.noise.terms)
        loss.backward()
        self.model.zero_grad(set_to_none=True)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.manual_seed(0)
    plain = NoisyStep(None, options.batch)
    found: dict[str, Any] = {"machine": machine(), "batch": options.batch, "repeats": options.repeats, "over_plain": {}}
    for name, noise in NOISES.items():
        found["over_plain"][name] = paired(NoisyStep(noise, options.batch), plain, options.repeats)
        print(name, {key: round(value, 3) for key, value in found["over_plain"][name].items()}, flush=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
