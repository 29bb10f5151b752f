"""`train.py`: LightningCLI over hrvlm's modules and data modules."""

from __future__ import annotations

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI

import hrvlm.data.emoji_pack.datamodule
import hrvlm.training.pretraining  # noqa: F401


def main(arguments: list[str] | None = None) -> None:
    """Runs a LightningCLI command, for example `fit --config configs/emoji/pretrain.yaml`."""
    LightningCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_kwargs={"overwrite": True},
        args=arguments,
    )
