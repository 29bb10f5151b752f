"""What training refuses before its first step: runs without an end, weights of few bits."""

from __future__ import annotations

import math

from lightning.pytorch import LightningModule, Trainer

SMALLEST_WEIGHT = 4  # bytes


def total_steps(trainer: Trainer) -> int:
    """Optimizer steps of the whole run.

    Raises:
        ValueError: If it has no end, or the trainer accumulates no batch.
    """
    if trainer.accumulate_grad_batches < 1:
        raise ValueError(f"expected trainer.accumulate_grad_batches >= 1, got {trainer.accumulate_grad_batches}")
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise ValueError(
            "expected trainer.max_epochs or trainer.max_steps, since the learning rate is zero at the end of the run, "
            "got neither"
        )
    return int(steps)


def check_weights(module: LightningModule) -> None:
    """Refuses to train weights in 16 bits, whoever made them so.

    Raises:
        ValueError: If there are some.
    """
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.element_size() < SMALLEST_WEIGHT:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise ValueError(
                f"expected weights of 32 bits or more to train, got {kind} in {name}: usual steps are "
                "lost to rounding, and attacks leave their budget; trainer.precision bf16-mixed keeps 32 bits"
            )
