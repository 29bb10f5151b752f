"""Settings of Lightning's trainer under which this project's training would fail, or be something else than it says."""

from __future__ import annotations

from typing import Any

# Weights of 16 bits lose most steps of usual learning rates to rounding, and pixels of 16 bits leave the budget.
NO_PRECISION = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")
LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "reload_dataloaders_every_n_epochs": 0}


def check_trainer(settings: Any) -> None:
    """Refuses settings by name.

    Args:
        settings: Values by name, as the trainer will get them.

    Raises:
        ValueError: With what to set instead.
    """
    if settings["inference_mode"] is not False:
        raise ValueError(
            "expected trainer.inference_mode: false, since attacks in validation need gradients; set it so"
        )
    if settings["precision"] in NO_PRECISION:
        raise ValueError(
            f"expected trainer.precision 32-true, bf16-mixed, 16-mixed or 64-true, got {settings['precision']}: "
            "weights of so few bits stay where they are at usual learning rates, and attacks leave their budget"
        )
    if settings["overfit_batches"]:
        raise ValueError(
            f"expected trainer.overfit_batches 0, got {settings['overfit_batches']}: pictures come in an order by "
            "epoch; limit_train_batches with more max_epochs trains on little data"
        )
    for name, least in LEAST.items():
        if settings[name] is not None and settings[name] < least:
            raise ValueError(f"expected trainer.{name} >= {least}, got {settings[name]}")
    clipping = settings["gradient_clip_val"]
    if clipping is not None and not clipping >= 0:
        raise ValueError(f"expected trainer.gradient_clip_val >= 0, or null for none, got {clipping}")
