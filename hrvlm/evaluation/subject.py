"""What is evaluated: a model on a split of some data with class trees, and what rows depend on of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch

from hrvlm.certificates.run.label_functions import described_trees
from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import WHITE
from hrvlm.models import Checkpoint, HierarchicalClassifier, load, state_digest
from hrvlm.trees import load_forest


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated, besides the checkpoint.

    Attributes:
        data: Data module whose split is evaluated.
        trees: Tree files over the data's classes.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
    """

    data: ImageDataModule
    trees: list[str]
    split: str | None = None
    num_levels: int | None = None
    device: str = "cpu"


def load_subject(
    checkpoint: Checkpoint | str, subject: Subject, device: torch.device | None = None
) -> tuple[HierarchicalClassifier, Any]:
    """The classifiers of a checkpoint, and the data set of the split.

    Args:
        checkpoint: See `hrvlm.models.load`.
        subject: What is evaluated.
        device: Device of this process; None takes the subject's.

    Raises:
        ValueError: If checkpoint, trees, data or device do not fit each other.
    """
    loaded = load(checkpoint)
    classes = subject.data.class_ids
    if loaded.classes is not None and list(loaded.classes) != classes:
        raise ValueError(
            f"expected a checkpoint of these {len(classes)} classes, got one of {len(loaded.classes)} others"
        )
    forest = load_forest(subject.trees, leaves=classes, num_levels=subject.num_levels)
    classifier = HierarchicalClassifier(loaded.model, loaded.head, forest)
    classifier = classifier.to(_device(subject.device) if device is None else device)
    return classifier, subject.data.evaluation_set(subject.split)


def _device(name: str) -> torch.device:
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'expected a device of this machine, such as "cpu", got {name!r}: {error}') from error


def identity(classifier: HierarchicalClassifier, split: str | None) -> dict[str, Any]:
    """What the rows of every command depend on: weights, trees and split."""
    state = classifier.model.state_dict() | classifier.head.state_dict(prefix="head.")
    return {"weights": state_digest(state), "trees": described_trees(classifier), "split": split}


def data_identity(data: Any) -> dict[str, Any]:
    """What tells data sets apart wherever they lie: their size, and a digest of labels and pixels of a few pictures."""
    digest = hashlib.sha256()
    for index in sorted({0, len(data) // 2, len(data) - 1}) if len(data) else []:
        image, label = data[index]
        digest.update(f"{index} {int(label)} {tuple(image.shape)} ".encode() + image.contiguous().numpy().tobytes())
    background = getattr(data, "background", WHITE)
    shown_on = {} if background == WHITE else {"background": list(background)}
    return {"data_size": len(data), "pictures": digest.hexdigest(), **shown_on}
