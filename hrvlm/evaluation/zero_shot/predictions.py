"""Clean and attacked predictions of a zero-shot classifier, batch by batch: for the command and for the callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hrvlm.attacks import AttackSettings, ThreatModel, attack
from hrvlm.attacks.records import CLEAN
from hrvlm.data.items import IndexedShard
from hrvlm.evaluation.zero_shot.records import HeadName, ZeroShotKey, ZeroShotRecord
from hrvlm.models import inferring, labels_of

Aim = tuple[str, ThreatModel]
"""An attack by its name, and the budget that it has."""


class ClassifiedImages(Protocol):
    """A map-style data set of (image (3, H, W) in [0, 1], label) that knows its name."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Which attacks are tried, and how images are passed.

    Attributes:
        attacks: Names as rows have them, see `hrvlm.attacks.names.named_attacks`.
        threat_models: One per budget, all of one norm.
        settings: Effort and seed of the attacks.
        batch_size: Images per pass; AutoAttack draws and stops by batch, so its results depend on it slightly.
        num_workers: Processes that load pictures ahead; 0 loads them in this one.
    """

    attacks: Sequence[str]
    threat_models: Sequence[ThreatModel]
    settings: AttackSettings = field(default_factory=AttackSettings)
    batch_size: int = 128
    num_workers: int = 0

    @property
    def aims(self) -> list[Aim]:
        """Every attack with every budget."""
        return [(name, budget) for budget, name in product(self.threat_models, self.attacks)]


def evaluate_zero_shot(
    classifier: nn.Module,
    data: ClassifiedImages,
    indices: Sequence[int],
    effort: Effort,
    *,
    num_classes: int,
    head: HeadName,
    done: Set[ZeroShotKey] = frozenset(),
    progress: Callable[[int], None] = lambda images: None,
) -> Iterator[list[ZeroShotRecord]]:
    """Clean and attacked predictions of some images of a data set.

    Args:
        classifier: Scores (N, K) of images (N, 3, H, W) in [0, 1].
        data: Pictures whose labels are positions in the classifier's classes.
        indices: Which images; they are attacked in batches in this order.
        effort: Which attacks.
        num_classes: K.
        head: For the rows.
        done: Keys of the rows that a previous run has written; a batch is attacked again if one of its rows is missing.
        progress: Called with a number of images for the clean pass and for each attack and budget.

    Yields:
        The rows of one batch, attack and budget at a time, so that they can be written and flushed.

    Raises:
        ValueError: If a picture has no label.
    """
    rows = _Rows(data.name, num_classes, head, effort.threat_models[0].norm)
    starts = range(0, len(indices), effort.batch_size)
    batches = [list(indices[start : start + effort.batch_size]) for start in starts]
    open_aims = [[aim for aim in effort.aims if not rows.keys(batch, *aim) <= done] for batch in batches]
    clean_done = [rows.keys(batch, CLEAN, None) <= done for batch in batches]
    left = [number for number, aims in enumerate(open_aims) if aims or not clean_done[number]]
    for number in set(range(len(batches))) - set(left):
        progress(len(batches[number]) * (1 + len(effort.aims)))
    for number, batch in zip(left, _loaded(data, [batches[number] for number in left], effort), strict=True):
        for found in _batch(classifier, batch, open_aims[number], effort, rows):
            yield [record for record in found if record.key not in done]
            progress(len(found))
        progress(len(batches[number]) * (len(effort.aims) - len(open_aims[number])))


def count_passes(num_images: int, effort: Effort) -> int:
    """To how much `evaluate_zero_shot` reports progress in sum."""
    return num_images * (1 + len(effort.aims))


def clean_and_attacked(
    classifier: nn.Module, images: Tensor, labels: Tensor, aims: Sequence[Aim], settings: AttackSettings
) -> Iterator[Tensor]:
    """Labels (N,) that images are given: clean, then under one attack after the other.

    What is wrong when clean is not attacked, and stays as it is.

    Args:
        classifier: Scores (N, K) of images.
        images: (N, 3, H, W) in [0, 1].
        labels: Right classes (N,).
        aims: Attacks and budgets.
        settings: Effort and seed of the attacks.
    """
    with inferring(classifier):
        clean = labels_of(classifier(images))
    yield clean
    for name, budget in aims:
        outcome = attack(classifier, images, labels, budget, name, settings)
        with inferring(classifier):
            attacked = labels_of(classifier(outcome.images))
        yield torch.where(clean == labels, attacked, clean)


def _loaded(data: Any, batches: list[list[int]], effort: Effort) -> Iterator[dict[str, Any]]:
    """Batches of images with their labels and indices."""
    shard = IndexedShard(data, [index for batch in batches for index in batch])
    positions, start = [], 0
    for batch in batches:
        positions.append(list(range(start, start + len(batch))))
        start += len(batch)
    generator = torch.Generator()  # its own: else the loader draws from training's
    yield from DataLoader(shard, batch_sampler=positions, num_workers=effort.num_workers, generator=generator)


def _batch(
    classifier: nn.Module, batch: dict[str, Any], aims: Sequence[Aim], effort: Effort, rows: _Rows
) -> Iterator[list[ZeroShotRecord]]:
    """The rows of a batch: clean, then per attack and budget."""
    if bool((batch["label"] < 0).any()):
        raise ValueError(
            f"expected a label for every picture of {rows.data}, where accuracy is asked, got some without"
        )
    device = next((part.device for part in (*classifier.parameters(), *classifier.buffers())), torch.device("cpu"))
    images, labels = batch["image"].to(device), batch["label"].to(device)
    found = clean_and_attacked(classifier, images, labels, aims, effort.settings)
    for (name, budget), predictions in zip([(CLEAN, None), *aims], found, strict=True):
        yield rows.made(batch, name, budget, predictions)


@dataclass(frozen=True)
class _Rows:
    """What the rows of a data set have in common."""

    data: str
    num_classes: int
    head: HeadName
    norm: Any

    def keys(self, indices: Sequence[int], name: str, budget: ThreatModel | None) -> set[ZeroShotKey]:
        """Keys of the rows of a batch under an attack."""
        return {(self.data, index, name, 0.0 if budget is None else budget.eps) for index in indices}

    def made(
        self, batch: dict[str, Any], name: str, budget: ThreatModel | None, predictions: Tensor
    ) -> list[ZeroShotRecord]:
        """Rows of a batch under an attack."""
        found = zip(batch["index"].tolist(), batch["label"].tolist(), predictions.tolist(), strict=True)
        return [
            ZeroShotRecord(
                data=self.data,
                index=index,
                num_classes=self.num_classes,
                head=self.head,
                attack=name,
                norm=self.norm,
                eps=0.0 if budget is None else budget.eps,
                label=label,
                prediction=prediction,
                correct=label == prediction,
            )
            for index, label, prediction in found
        ]
