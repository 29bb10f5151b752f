"""Numbers of training as means over the processes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningModule
from torch import Tensor


def log_means(module: LightningModule, logs: Mapping[str, Tensor]) -> Tensor:
    """Logs means over the processes, from one exchange, and returns that of the loss.

    Args:
        module: Being trained.
        logs: Numbers by name, "loss" among them.
    """
    values = torch.stack([value.detach().float() for value in logs.values()])
    if module.trainer.world_size > 1:
        values = torch.as_tensor(module.trainer.strategy.reduce(values, reduce_op="mean"))
    means = dict(zip(logs, values, strict=True))
    module.log_dict({f"train/{name}": value for name, value in means.items()}, prog_bar=False)
    module.log("loss", means["loss"], prog_bar=True, logger=False)
    return means["loss"]
