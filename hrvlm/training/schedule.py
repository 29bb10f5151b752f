"""Optimiser and learning-rate schedule that all training uses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def adamw_with_cosine(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    warmup_steps: int,
    total_steps: int,
) -> dict[str, Any]:
    """AdamW with linear warm-up, then a cosine to zero.

    Weight decay is applied to matrices and convolutions only, as in CLIP (arXiv 2103.00020, section 2.5).

    Args:
        parameters: What is trained.
        learning_rate: Peak value.
        weight_decay: Decoupled decay.
        warmup_steps: Steps until the peak.
        total_steps: Steps until zero.

    Returns:
        Lightning's optimiser configuration.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        share = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
