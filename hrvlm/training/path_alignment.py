"""Alignment of pictures of semantic changes with the rotations that certificates make of their prompts.

For a part of each batch the picture itself and one picture of a change, at a share t of it, are embedded; the second is
pulled to where the certificate's rotation of the first lies at t of its range. Which change and which step an image
shows is drawn by its address, so that it does not depend on processes, or on where a run was stopped.

Decided here: the place on the rotation is a target without gradient, so that neither the image itself nor the prompts
move to meet the picture; pictures are shown as evaluation shows them, without noise, crops or perturbation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute, check_changes
from hrvlm.data.base import ImageDataModule
from hrvlm.models import VisionLanguageModel, evaluating
from hrvlm.objectives.path_alignment import path_misalignment
from hrvlm.training.pictured_changes import SequencePictures
from hrvlm.training.randomness import change_seeds
from hrvlm.training.settings import PathAlignment
from hrvlm.trees import Forest
from hrvlm.trees.words import with_name

_TEXTS = 256  # prompts per pass


class ShownStep(NamedTuple):
    """What an image of a batch is shown as.

    Attributes:
        place: Of the image in the batch.
        change: Which change.
        step: Position of the picture in its sequence.
        share: Of the change that it shows, in (0, 1].
    """

    place: int
    change: Attribute
    step: int
    share: float


class AlignmentTerm:
    """The term of one run; holds the pictures and the prompts, as the frozen part of the text tower sees them."""

    def __init__(self, alignment: PathAlignment, seed: int) -> None:
        """Chooses changes, weight and share.

        Args:
            alignment: These.
            seed: Of the run.
        """
        self.alignment, self.seed, self._changes = alignment, seed, alignment.changes()

    def prepare(self, model: VisionLanguageModel, data: ImageDataModule, forest: Forest) -> None:
        """Reads the prompts of every class once.

        Args:
            model: The model to be trained, on any device.
            data: With its training set, whose `data` gives the pictures as they are.
            forest: Its leaves name the classes, by the first tree.

        Raises:
            ValueError: If the data have no pictures of the changes, or the model cannot tell their prompts.
        """
        training = data.training_set if data.training_set is not None else data.build_training()
        self._plain: Any = getattr(training, "data", None)
        if self._plain is None or not hasattr(self._plain, "__getitem__"):
            raise ValueError(
                f"expected training pictures with classes for the path alignment, got {type(training).__name__}: leave "
                "the alignment out"
            )
        self._pictures = SequencePictures(self._plain, self.alignment)
        self._names = forest[0].levels[0].names
        check_changes(model, self._changes, self._names[0])
        self._hidden = _hidden(model, self._changes, self._names)

    def drawn(self, indices: list[int], epoch: int) -> list[ShownStep]:
        """What the first images of a batch are shown as, by their indices in the data; without those of no pictures."""
        count = math.ceil(self.alignment.share * len(indices))
        seeds = change_seeds(self.seed, epoch, indices[:count])
        found = (self._drawn(place, indices[place], seed) for place, seed in enumerate(seeds))
        return [shown for shown in found if shown is not None]

    def _drawn(self, place: int, index: int, seed: int) -> ShownStep | None:
        generator = np.random.default_rng(seed)
        steps = {i: self._pictures.shares(change, index) for i, change in enumerate(self._changes)}
        known = {i: [step for step, share in enumerate(found) if share > 0] for i, found in steps.items()}
        pictured = [i for i, found in known.items() if found]
        if not pictured:
            return None
        chosen = pictured[int(generator.integers(len(pictured)))]
        step = known[chosen][int(generator.integers(len(known[chosen])))]
        return ShownStep(place, self._changes[chosen], step, steps[chosen][step])

    def loss(self, model: VisionLanguageModel, batch: Mapping[str, Any], epoch: int) -> Tensor:
        """The misalignment of a batch, not weighed; 0 where none of its images has pictures."""
        indices: list[int] = batch["index"].tolist()
        shown = self.drawn(indices, epoch)
        if not shown:
            return batch["image"].new_zeros(())
        places = [one.place for one in shown]
        pictures = torch.stack(
            [self._plain[indices[place]][0] for place in places]
            + [self._pictures.picture(one.change, indices[one.place], one.step) for one in shown]
        )
        images, changed = model.encode_image(pictures.to(batch["image"])).float().chunk(2)
        names = [self._names[label] for label in batch["label"][places].tolist()]
        prompts = [_prompts(one.change, name) for one, name in zip(shown, names, strict=True)]
        with torch.autocast(images.device.type, enabled=False):
            source, target = (self._embedded(model, texts, images.device) for texts in zip(*prompts, strict=True))
            shares = images.new_tensor([one.share for one in shown])
            return path_misalignment(changed, images, source, target, shares)

    @torch.no_grad()
    def _embedded(self, model: VisionLanguageModel, texts: Sequence[str], device: torch.device) -> Tensor:
        # Prompts were read before the model was moved to its device.
        return model.project_text(torch.stack([self._hidden[text] for text in texts]).to(device)).float()

    def added(
        self, given: tuple[Tensor, dict[str, Tensor]], model: VisionLanguageModel, batch: Mapping[str, Any], epoch: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """An objective's loss and logs with the term, logged as "path_misalignment"."""
        loss, logs = given
        term = self.loss(model, batch, epoch)
        total = loss + self.alignment.weight * term
        return total, logs | {"loss": total.detach(), "path_misalignment": term.detach()}


def _prompts(change: Attribute, name: str) -> tuple[str, str]:
    return with_name(change.source, name), with_name(change.target, name)


@torch.no_grad()
def _hidden(model: VisionLanguageModel, changes: Sequence[Attribute], names: Sequence[str]) -> dict[str, Tensor]:
    """What the text tower makes of every prompt before its projection, which alone may be trained."""
    texts = list(dict.fromkeys(chain(*(_prompts(change, name) for change in changes for name in names))))
    with evaluating(model):
        passes = [model.text_hidden(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS)]
    return dict(zip(texts, torch.cat(passes), strict=True))
