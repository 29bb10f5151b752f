"""What is evaluated: a model on a split of some data with class trees, and what rows depend on of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import torch

from hrvlm.certificates.run.label_functions import model_identity
from hrvlm.data import ImageCollection
from hrvlm.data.decoding import WHITE
from hrvlm.data.items import EvaluationData
from hrvlm.data.questions import asks_questions, open_questions, questions_digest, questions_of
from hrvlm.data.sources.listed import ListedPictures
from hrvlm.evaluation.source_options import SourceOptions, classified, open_source
from hrvlm.models import NO_LABEL, Checkpoint, HierarchicalClassifier, cosine_head, load
from hrvlm.models.denoisers import denoiser_of
from hrvlm.models.descriptions import noted_noise
from hrvlm.trees import Forest, load_forest


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated, besides the checkpoint.

    Attributes:
        data: Data module whose split is evaluated, or any pictures by one text, see `hrvlm.data.open_images`.
        trees: Tree files over the classes; none for one level, the classes themselves.
        split: Split of the data; the validation split of a data module if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
        source: How the data are opened, and what they are sorted into.
    """

    data: EvaluationData | str
    trees: list[str] = field(default_factory=list)
    split: str | None = None
    num_levels: int | None = None
    device: str = "cpu"
    source: SourceOptions = field(default_factory=SourceOptions)


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
    options = subject.source
    data, forest = data_and_forest(subject, image_size=loaded.model.image_size[0])
    head = cosine_head(loaded.model) if options.head == "cosine" else loaded.head
    classifier = HierarchicalClassifier(loaded.model, head, forest, options.decoding)
    classifier = classifier.to(device_named(subject.device) if device is None else device)
    return classifier, data


def data_and_forest(subject: Subject, *, image_size: int | None = None, keep_index: bool = True) -> tuple[Any, Forest]:
    """The pictures of a subject, with labels that are leaves of its trees, and these over its classes.

    Args:
        subject: What is evaluated.
        image_size: Side of the pictures where nothing states it.
        keep_index: Whether an index of shards that had to be made is kept.

    Raises:
        ValueError: If data, classes and trees do not fit each other.
    """
    data, options, trees = subject.data, subject.source, subject.trees
    if isinstance(data, EvaluationData) and trees and options.classes is None and options.templates is None:
        forest = load_forest(trees, leaves=data.class_ids, num_levels=subject.num_levels)
        return data.evaluation_set(subject.split), forest
    opened = open_source(data, subject.split, options, image_size=image_size, keep_index=keep_index)
    return classified(opened, options, trees, subject.num_levels)


def check_labelled(data: Any, why: str) -> None:
    """Refuses pictures without labels where accuracy is asked.

    Args:
        data: Any data set; only an `ImageCollection` may say that labels lack.
        why: What labels are needed for.

    Raises:
        ValueError: In one sentence, with how many lack.
    """
    if isinstance(data, ImageCollection) and not data.labelled:
        lacking = data.labels().count(NO_LABEL)
        raise ValueError(
            f"expected a label for every picture of {data.name}, got none for {lacking} of {len(data)}: {why}; sort "
            "them into class folders, or name their classes in a manifest"
        )


def answered_pictures(subject: Subject, *, keep_index: bool = True) -> Any:
    """The pictures that a model answers about, those of a manifest of questions too; nothing sorts them into classes.

    Args:
        subject: What is evaluated.
        keep_index: See `data_and_forest`.

    Raises:
        ValueError: If classes or prompts are asked for, or the data cannot be opened.
    """
    if isinstance(subject.data, EvaluationData):
        return subject.data.evaluation_set(subject.split)
    sorting = sorted(set(subject.source.given()) - {"root", "image_size", "columns"})
    if sorting:
        raise ValueError(f"expected no {', '.join(sorting)} with answers: oracles take the place of classes")
    if subject.source.columns is None and asks_questions(subject.data):
        return open_questions(subject.data, split=subject.split, image_size=subject.source.image_size)
    return open_source(subject.data, subject.split, subject.source, keep_index=keep_index)


def device_named(name: str) -> torch.device:
    """A device of this machine.

    Raises:
        ValueError: If there is none of that name.
    """
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'expected a device of this machine, such as "cpu", got {name!r}: {error}') from error


def identity(classifier: HierarchicalClassifier, split: str | None) -> dict[str, Any]:
    """What the rows of every command depend on: weights, trees, split, and decoding where it is over levels.

    The noise that the weights were trained under, which they say of themselves, stands beside them.
    """
    found = model_identity(classifier) | {"split": split}
    found |= denoiser_of(classifier.model)
    found |= noted_noise(classifier.model.config)
    return found if classifier.decoding == "independent" else found | {"decoding": classifier.decoding}


def data_identity(data: Any) -> dict[str, Any]:
    """What tells data sets apart wherever they lie: their size, and a digest of labels and pixels of a few pictures."""
    digest = hashlib.sha256()
    for index in sorted({0, len(data) // 2, len(data) - 1}) if len(data) else []:
        image, label = data[index]
        digest.update(f"{index} {int(label)} {tuple(image.shape)} ".encode() + image.contiguous().numpy().tobytes())
    background = getattr(data, "background", WHITE)
    shown_on = {} if background == WHITE else {"background": list(background)}
    opened = _opened_identity(data) if isinstance(data, ImageCollection) and len(data) else {}
    asked = questions_of(data)
    told = {} if asked is None else {"questions": questions_digest(asked)}
    return {"data_size": len(data), "pictures": digest.hexdigest(), **shown_on, **opened, **told}


def _opened_identity(data: ImageCollection) -> dict[str, Any]:
    """Side of the pictures, and a digest of all labels of a manifest, which may be mended."""
    sized: dict[str, Any] = {"image_size": int(data[0][0].shape[-1])}
    if not isinstance(data.data, ListedPictures):
        return sized
    return sized | {"labels": hashlib.sha256(json.dumps(data.labels()).encode()).hexdigest()}
