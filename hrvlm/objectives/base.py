"""The interface that every fine-tuning objective has, so that training asks only for a perturbation and a loss.

A training step is
    labels = objective.targets(model, batch)
    adversarial = objective.perturb(model, images, labels, generator)
    loss, logs = objective.loss(model, adversarial, images, labels)
after `objective.bind(forest)`, which makes the head (before optimisers and checkpoints), and
`objective.prepare(model, images)`, which computes text caches and start values (before wrapping for distributed runs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hrvlm.attacks import Ascent, ThreatModel, frozen_parameters
from hrvlm.models import evaluating, level_keys
from hrvlm.models.heads import Head
from hrvlm.objectives.interface import Adversarial, ImageTextModel, Perturbed
from hrvlm.objectives.level_scores import LevelScores, leaf_scores
from hrvlm.trees import Forest

PERTURBATION = {"norm": "threat_model.norm", "eps": "threat_model.eps"} | {
    name: f"ascent.{name}" for name in ("steps", "step_size", "random_start")
}  # former names of what every objective takes


class Objective(nn.Module, ABC):
    """A fine-tuning objective: holds the head, the texts of a forest, and the threat model of training.

    Attributes:
        trains_text: Whether the loss reaches the text projection. Where it does not, training switches its gradients
            off before wrapping the model for distributed training.
        smooths: Whether it sees all copies of a picture that a `NoisyModel` has, and averages over them itself.
        ascent_options: Settings of the ascent that not every objective has, and this one does.
        head: The classifier head; trained with the model. Made by `bind`.
        forest: The trees; leaf order = class order. Set by `bind`.
        threat_model: Budget of the perturbation in training.
        ascent: How the perturbation is sought.
    """

    trains_text: bool = True
    smooths: bool = False
    ascent_options: frozenset[str] = frozenset()
    text_hidden: Tensor

    def __init__(
        self,
        *,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the perturbation.

        Args:
            threat_model: Norm and budget of the perturbation, on images in [0, 1].
            ascent: How it is sought.

        Raises:
            ValueError: If the ascent is to do what this objective does not.
        """
        super().__init__()
        for name in {"loss", "trees_per_step"} - self.ascent_options:
            if getattr(ascent, name) is not None:
                found = f"got {getattr(ascent, name)!r}: leave it out"
                raise ValueError(f"expected no ascent.{name} with {type(self).__name__}, {found}")
        self.threat_model, self.ascent = threat_model.check_unit(), ascent
        self._forest: Forest | None = None
        self.register_buffer("text_hidden", torch.empty(0), persistent=False)

    @property
    def forest(self) -> Forest:
        """The trees that the objective was bound to.

        Raises:
            RuntimeError: If `bind` was not called.
        """
        if self._forest is None:
            raise RuntimeError(f"expected {type(self).__name__}.bind(forest) before use: it makes the head")
        return self._forest

    def bind(self, forest: Forest) -> None:
        """Make the head and all else whose shape depends on the trees. Call once, before loading a checkpoint.

        Args:
            forest: Trees whose leaves are the classes, in class order.

        Raises:
            RuntimeError: If the objective is bound already.
        """
        if self._forest is not None:
            raise RuntimeError(f"expected one call of {type(self).__name__}.bind, got a second: make a new objective")
        self._forest = forest
        self.head: Head = self.make_head(max(len(tree.levels) for tree in forest))

    @abstractmethod
    def make_head(self, num_levels: int) -> Head:
        """Make the head for trees of at most `num_levels` levels."""

    def prompts(self) -> list[str]:
        """Texts of all nodes: the leaves once, prompted by the first tree, then upper levels by tree."""
        return [text for key in level_keys(self.forest) for text in self.forest[key.tree].prompts(key.level)]

    def node_slices(self) -> list[tuple[int, int, slice]]:
        """Tree index, level and place in `prompts` of every level; the shared leaves are (0, 0)."""
        slices, start = [], 0
        for key in level_keys(self.forest):
            stop = start + len(self.forest[key.tree].levels[key.level].ids)
            slices.append((key.tree, key.level, slice(start, stop)))
            start = stop
        return slices

    @torch.no_grad()
    def prepare(self, model: ImageTextModel, images: Tensor | None = None) -> None:
        """Cache the texts, and set start values of the head that are still open (not those loaded from a checkpoint).

        Call it on the device of training, before wrapping for distributed runs, and with the same images on all ranks.

        Args:
            model: The model to be trained; its train/eval modes are left as they are.
            images: A batch of clean images; only needed by heads that take scales from features.
        """
        with evaluating(module_of(model)):
            self.text_hidden = model.text_hidden(self.prompts())
            if self.head.needs_features:
                features = model.project_text(self.text_hidden).float()
                levels: dict[int, list[Tensor]] = {}
                for _, level, place in self.node_slices():
                    levels.setdefault(level, []).append(features[place])
                texts = [torch.cat(levels[level]) for level in sorted(levels)]
                image_features = None if images is None else model.encode_image(images).float()
                self.head.initialise(image_features, texts, float(model.logit_scale.detach()))

    def text_features(self, model: ImageTextModel) -> Tensor:
        """Projected, un-normalised float32 text features of all nodes `(nodes, D)`, with gradient to the projection.

        Raises:
            RuntimeError: If `prepare` was not called.
        """
        if not len(self.text_hidden):
            raise RuntimeError(f"expected {type(self).__name__}.prepare(model) before use: it caches the texts")
        with torch.autocast(self.text_hidden.device.type, enabled=False):  # small, and what certificates compute
            return model.project_text(self.text_hidden).float()

    def targets(self, model: ImageTextModel, batch: Mapping[str, Any]) -> Tensor:
        """What the images of a batch are trained towards, as `perturb` and `loss` take it for `labels`.

        Args:
            model: The model being trained.
            batch: What the data module gives: "image", "label" and more.

        Returns:
            Classes `(B,)`; objectives without classes return what takes their place, a row for each image.

        Raises:
            ValueError: If the pictures have no classes.
        """
        labels: Tensor | None = batch.get("label")
        if labels is None:
            raise ValueError(
                f"expected labelled pictures for {type(self).__name__}, got a batch without labels: use "
                "ImageTextContrastiveObjective with captioned shards, or data with classes"
            )
        return labels

    @property
    def perturbs(self) -> bool:
        """Whether a perturbation is sought at all."""
        return self.ascent.steps > 0 and self.threat_model.eps > 0.0

    def perturb(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Adversarial:
        """Find the perturbation that `loss` is then taken on; gradients and flags of all parameters stay as they are.

        Args:
            model: The model being trained.
            images: Clean images `(B, 3, H, W)` in [0, 1].
            labels: Classes `(B,)`.
            generator: Source of the random start; without it, or with `ascent.random_start` off, the ascent starts at
                the images.

        Returns:
            Adversarial images, and text perturbations where the objective has them.
        """
        if not self.perturbs:
            return Adversarial((Perturbed(images.detach()),))
        with frozen_parameters(module_of(model), self):
            return self.find_perturbation(model, images, labels, generator if self.ascent.random_start else None)

    @abstractmethod
    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """`perturb` with gradients of all parameters switched off."""

    def level_scores(
        self, model: ImageTextModel, points: Tensor, labels: Tensor, level: int | None = None
    ) -> Iterable[LevelScores]:
        """Answers at the levels that the loss is about, here the leaves, for terms beside it.

        Args:
            model: The model being trained.
            points: Of every copy of the images under noise, `(B, m, D)`.
            labels: Classes `(B,)`.
            level: The only level that counts; None for all.
        """
        del level
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trains_text):
            texts = self.head.lift_text(self.text_features(model)[: len(self.forest.leaves)], 0)
        return [leaf_scores(self.head, points, texts, labels)]

    @abstractmethod
    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to train on.

        Args:
            model: The model being trained.
            adversarial: What `perturb` returned for this batch.
            images: Clean images `(B, 3, H, W)`.
            labels: Classes `(B,)`.

        Returns:
            The loss with gradient, and detached numbers to log.
        """


def module_of(model: ImageTextModel) -> nn.Module:
    """The model as the module that it also is.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"expected the model to be an nn.Module, got {type(model).__name__}")
    return model
