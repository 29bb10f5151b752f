"""What every data module of hrvlm gives: class ids, training samples by address, plain evaluation sets."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from hrvlm.data.items import EvaluationData, IndexedShard
from hrvlm.data.resuming import ResumableLoader
from hrvlm.data.sampling import Address, EpochSampler, evenly_spread, shard_indices


class ImageDataModule(EvaluationData, LightningDataModule):
    """Data loaders over a training set by address and an evaluation set by shard.

    The order of training pictures depends on (seed, epoch) only; evaluation shards are unpadded, so that over all
    processes every picture counts exactly once.
    """

    def __init__(self, *, batch_size: int, num_workers: int, seed: int) -> None:
        """Chooses batches; see the subclasses."""
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"expected {name} >= {least}, got {value}")
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.training_set: Any = None
        self._training_loader: ResumableLoader | None = None
        self._place: dict[str, int] = {}

    @abstractmethod
    def build_training(self) -> Any:
        """A map-style data set of samples {"image", "label", "index", …} asked for by `Address`."""

    def setup(self, stage: str) -> None:
        """Builds the training set once."""
        if stage == "fit" and self.training_set is None:
            self.training_set = self.build_training()

    def training_examples(self, count: int) -> Tensor:
        """Some pictures of the first epoch, evenly spread over the training set, `(count, 3, H, W)` at most."""
        training = self.training_set if self.training_set is not None else self.build_training()
        samples = [training[Address(index, 0)] for index in evenly_spread(len(training), count)]
        return torch.stack([sample["image"] for sample in samples])

    def _replicas(self) -> dict[str, int]:
        trainer = self.trainer
        return {"num_replicas": trainer.world_size, "rank": trainer.global_rank} if trainer else {}

    def training_sampler(self) -> EpochSampler:
        """Order of this process's training pictures."""
        return EpochSampler(len(self.training_set), seed=self.seed, **self._replicas())

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Shuffled training batches; an incomplete last batch is left out. Checkpoints store the place in an epoch."""
        sampler = self.training_sampler()
        batch_size = min(self.batch_size, len(sampler))
        loader = ResumableLoader(self.training_set, sampler=sampler, batch_size=batch_size, **self._workers())
        loader.load_state_dict(self._place)
        self._training_loader = loader
        return loader

    def state_dict(self) -> dict[str, int]:
        """Place in the training data, for checkpoints."""
        return {} if self._training_loader is None else self._training_loader.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Takes the place in the training data from a checkpoint.

        Lightning gives stored places to loaders too, but not to a loader that was made before the loops were restored,
        as one is to count the steps of a learning-rate schedule.
        """
        self._place = dict(state)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """This process's shard of the evaluation set; of an evenly spread part, where the trainer limits batches."""
        data, replicas = self.evaluation_set(), self._replicas()
        chosen = evenly_spread(len(data), self._most_validated())
        shard = IndexedShard(data, [chosen[i] for i in shard_indices(len(chosen), **replicas)])
        return DataLoader(shard, batch_size=self.batch_size, **self._workers())

    def _most_validated(self) -> int | None:
        """How many pictures the batches of all processes hold, where the trainer limits their number; else None.

        A limit that is a share is left to Lightning, which takes it of whatever loader it gets.
        """
        limit: Any = getattr(self.trainer, "limit_val_batches", 1.0)
        if isinstance(limit, float):
            return None
        return max(1, limit * self.batch_size * self.trainer.world_size)  # type: ignore[union-attr]

    def _workers(self) -> dict[str, Any]:
        return {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0}


def image_data(trainer: Trainer) -> ImageDataModule:
    """The data module of a trainer.

    Raises:
        ValueError: If there is none of this kind.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule):
        raise ValueError(f"expected the trainer to hold an ImageDataModule, got {type(data).__name__}")
    return data
