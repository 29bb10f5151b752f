"""How Lightning reads checkpoints here: from local files, tensors and plain values alone, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import Strategy

from hrvlm.models.checkpoint_files import check_checkpoint, read_checkpoint

NEEDED = {"state_dict", "epoch", "global_step", "pytorch-lightning_version"}  # what Lightning always writes
WORDS = ("best", "last", "hpc")  # by which Lightning finds checkpoints of its own


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes as Lightning does; reads only what cannot run code."""

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """What a checkpoint holds; `weights_only` is always on.

        Raises:
            ValueError: If it is an address, no whole checkpoint, or holds more than tensors and plain values.
        """
        found: dict[str, Any] = read_checkpoint(path, map_location)
        if not isinstance(found, dict) or not found.keys() >= NEEDED:
            raise ValueError(
                f"expected a checkpoint of training at {path}, with {', '.join(sorted(NEEDED))}; got another file of "
                "PyTorch. Weights alone are given as the model of a configuration"
            )
        return found


def secure(trainer: Trainer) -> None:
    """Makes a trainer read checkpoints in this way; where its strategy has a reader of its own, they are read before.

    That of sharded models unpickles a whole checkpoint without bounds, whatever `weights_only` says.
    """
    strategy: Any = trainer.strategy
    if type(strategy).load_checkpoint is not Strategy.load_checkpoint:
        strategy.load_checkpoint = _checked(strategy.load_checkpoint)
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = SafeCheckpointIO()


def _checked(load: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A strategy's reader of checkpoints, which gets only files that hold tensors and plain values."""

    def load_checkpoint(checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        if not Path(checkpoint_path).is_dir():
            read_checkpoint(checkpoint_path, "meta")  # takes no memory for tensors
        return load(checkpoint_path, weights_only=True)

    return load_checkpoint


def check_asked(checkpoint: str | None, weights_only: bool | None) -> None:
    """Checks what a command was told to resume from, before anything is built.

    Raises:
        ValueError: If it is no local file in PyTorch's form nor a word of `WORDS`, or if unsafe reading is asked for.
    """
    if weights_only is False:
        raise ValueError("expected weights_only: true or null, since a checkpoint must not run code; leave it out")
    if checkpoint and checkpoint not in WORDS:
        check_checkpoint(checkpoint)
