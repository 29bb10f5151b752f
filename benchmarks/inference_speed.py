"""What rewriting vision transformers for inference saves: the copy that certificates run against open_clip's own tower.

    python benchmarks/inference_speed.py [--towers ViT-B-32 ViT-B-16] [--batch 32] [--repeats 9]

Towers with random weights in evaluation mode, without gradients, and with the gradient of the pictures as attacks ask
for it. The two take turns (A B, B A, ...); a ratio is the median over the turns of open_clip's time / the copy's.
Writes benchmarks/results/inference_speed.json after every tower.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from machines import machine
from torch import Tensor, nn
from training_speed import paired

from hrvlm.models import inference_copy
from hrvlm.models.single_products import with_single_products

RESULT = Path(__file__).parent / "results" / "inference_speed.json"
TOWERS = ("ViT-B-32", "ViT-B-16")


def forward(tower: nn.Module, images: Tensor) -> Callable[[], object]:
    """A pass without gradients."""

    def step() -> None:
        with torch.inference_mode():
            tower(images)

    return step


def attacked(tower: nn.Module, images: Tensor) -> Callable[[], object]:
    """A pass and the gradient of the pictures."""
    given = images.clone().requires_grad_()
    return lambda: torch.autograd.grad(tower(given).sum(), given)


def measured(name: str, batch: int, repeats: int) -> dict[str, Any]:
    """Ratios of one tower, and how far features are apart, as a share of the largest."""
    torch.manual_seed(0)
    plain = open_clip.create_model(name).visual.eval().requires_grad_(False)
    copy = deepcopy(plain)
    with_single_products(copy)  # as for every model that is loaded
    copy = inference_copy(copy)
    images = torch.randn(batch, 3, *plain.image_size)
    with torch.inference_mode():
        features, found = plain(images), copy(images)
    apart = float((features - found).abs().max() / features.abs().max())
    steps = {"forward": forward, "gradient of pictures": attacked}
    ratios = {key: paired(step(plain, images), step(copy, images), repeats) for key, step in steps.items()}
    return {"largest_difference": apart, **ratios}


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towers", nargs="+", default=list(TOWERS))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "batch": options.batch, "repeats": options.repeats, "towers": {}}
    for name in options.towers:
        found["towers"][name] = measured(name, options.batch, options.repeats)
        print(name, json.dumps(found["towers"][name], indent=1), flush=True)
        RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
