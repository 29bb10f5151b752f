"""Images and pictures of their changes as a model embeds them, for calibration of what is claimed of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.prompts import check_seen
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrating import Claim
from hrvlm.certificates.kinds.semantic.calibration_losses import ShownChange
from hrvlm.certificates.kinds.semantic.run import TargetDirections, target_extent
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.calibration_settings import ShownChanges
from hrvlm.evaluation.progress import following
from hrvlm.models import HierarchicalClassifier, LevelKey
from hrvlm.training.pictured_changes import SequencePictures
from hrvlm.trees.words import with_name


@dataclass(frozen=True, eq=False)
class Encoded:
    """One change of N images.

    Attributes:
        features: `(N, D)` of the images, un-normalised.
        pictures: `(N, T, D)` of the pictures, likewise; zeros where an image has fewer.
        shares: `(N, T)` of the change that they show; infinite where there is none.
        prompts: source and target `(N, D)`.
        shown: per image the direction `(D,)` of pictures of the target; None where words specify it.
    """

    features: Tensor
    pictures: Tensor
    shares: Tensor
    prompts: tuple[Tensor, Tensor]
    shown: Sequence[Tensor | None]

    def rows(self, images: Tensor) -> Encoded:
        """Those of some images."""
        prompts = (self.prompts[0][images], self.prompts[1][images])
        shown = [self.shown[i] for i in images.tolist()]
        return Encoded(self.features[images], self.pictures[images], self.shares[images], prompts, shown)


class ShownImages:
    """The images of a data set that have pictures of all changes.

    Args:
        classifier: As it is certified, in evaluation mode.
        data: Map-style data set of (image, leaf label).
        plan: Changes and pictures.

    Attributes:
        indices: Which images.
        left_out: How many of those asked for lack pictures of a change.

    Raises:
        ValueError: If the data cannot show a change, or no image has pictures of all.
    """

    def __init__(self, classifier: HierarchicalClassifier, data: Any, plan: ShownChanges) -> None:
        self.classifier, self.data, self.plan = classifier, data, plan
        if classifier.decoding != "independent":
            raise ValueError(
                f"expected labels that every level decodes by itself, as calibrated claims are, got "
                f"{classifier.decoding!r}: leave decoding out"
            )
        self.pictures = SequencePictures(data, plan)
        asked = evenly_spread(len(data), plan.num_images)
        self.indices = self.pictures.complete(asked)
        self.left_out = len(asked) - len(self.indices)

    def encoded(self, change: Attribute) -> Encoded:
        """A change of all images."""
        shares = [self.pictures.shares(change, index) for index in self.indices]
        most = max(map(len, shares))
        pictures = self._features(
            (picture for index in self.indices for picture in self.pictures.pictures(change, index)),
            f"pictures of {change.name}",
            sum(map(len, shares)),
        )
        padded = pictures.new_zeros(len(shares), most, pictures.shape[-1])
        known = torch.full((len(shares), most), math.inf, dtype=torch.float64, device=padded.device)
        for i, part in enumerate(pictures.split([len(row) for row in shares])):
            padded[i, : len(part)] = part
            known[i, : len(part)] = torch.tensor(shares[i], dtype=torch.float64)
        targets = TargetDirections(self.classifier, self.pictures.references)
        shown = [targets(change, index) for index in self.indices]
        return Encoded(self.features, padded, known, self._prompts(change), shown)

    @cached_property
    def features(self) -> Tensor:
        """`(N, D)` of the images."""
        return self._features((self.data[index][0] for index in self.indices), "images", len(self.indices))

    @cached_property
    def nouns(self) -> list[str]:
        """What names each image in prompts: its class, or the one that it is predicted to be."""
        labels = [int(self.data[index][1]) for index in self.indices]
        leaves = self.classifier.keys[0]
        if min(labels) < 0:
            found = self.classifier.labels(self.classifier.head.lift_image(self.features), [leaves])[leaves]
            labels = [label if label >= 0 else max(0, int(found[i])) for i, label in enumerate(labels)]
        return [self.classifier.forest[0].levels[0].names[label] for label in labels]

    def _prompts(self, change: Attribute) -> tuple[Tensor, Tensor]:
        model, nouns = self.classifier.model, sorted(set(self.nouns))
        hidden = [
            model.text_hidden([with_name(prompt, noun) for noun in nouns]) for prompt in (change.source, change.target)
        ]
        check_seen(model, [(change, noun) for noun in nouns], *hidden)
        place = torch.tensor([nouns.index(noun) for noun in self.nouns])
        source, target = (model.project_text(each).double()[place] for each in hidden)
        return source, target

    def _features(self, pictures: Iterator[Tensor], what: str, total: int) -> Tensor:
        """Features `(total, D)`, with their progress told."""
        device = self.classifier.text_points(self.classifier.keys[0]).device
        found = []
        with following(what, total) as bar:
            while batch := list(islice(pictures, self.plan.batch_size)):
                found.append(self.classifier.model.encode_image(torch.stack(batch).to(device)))
                bar.advance(len(batch))
        return torch.cat(found)


def claims_of(scorers: LevelScorers, change: Attribute, encoded: Encoded) -> Iterator[tuple[Claim, ShownChange]]:
    """What is claimed of images along a change, per scorer and level, with their pictures.

    Args:
        scorers: of the model.
        change: the change.
        encoded: of the images.
    """
    for kind, classifier in scorers.classifiers.items():
        points = classifier.head.lift_image(encoded.features)
        lifted = classifier.head.lift_image(encoded.pictures.flatten(0, 1))
        extent = target_extent(points.double(), *encoded.prompts, encoded.shown)
        labels = classifier.labels(lifted)
        for key in classifier.keys:
            shown = ShownChange.of(
                scorers(kind, key, points),
                points.double(),
                encoded.prompts,
                (lifted.double().unflatten(0, encoded.shares.shape), encoded.shares),
                labels=labels[key].unflatten(0, encoded.shares.shape),
                target_extent=extent,
            )
            yield claim_of(classifier, kind, change, key), shown


def claim_of(classifier: HierarchicalClassifier, scorer: str, change: Attribute, key: LevelKey) -> Claim:
    """The name of a claim."""
    return scorer, change.target_kind, change.name, classifier.forest[key.tree].name, key.level
