"""The classifiers of a model at every level of every tree, on pixels: what is attacked, smoothed and certified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrvlm.models._head import Head
from hrvlm.models._modes import inferring, one_thread
from hrvlm.models.decoding import Decoding, best_below, check_decoding, decode, labels_along
from hrvlm.models.finite import NO_LABEL, labels_of
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.models.zero_shot import averaged_points
from hrvlm.trees import Forest


class LevelKey(NamedTuple):
    """One level of one tree; the leaves, which all trees share, are level 0 of tree 0 only."""

    tree: int
    level: int


def level_keys(forest: Forest) -> tuple[LevelKey, ...]:
    """The leaves, then the levels above them, tree by tree."""
    upper = (LevelKey(index, level.index) for index, tree in enumerate(forest) for level in tree.levels[1:])
    return (LevelKey(0, 0), *upper)


def check_trees(model: VisionLanguageModel, forest: Forest) -> None:
    """Refuses two nodes of a level whose prompts are the same to the model: no image could be nearer to one of them.

    Raises:
        ValueError: Naming level and texts.
    """
    for key in level_keys(forest):
        tree = forest[key.tree]
        model.check_prompts(tree.prompts(key.level), f"prompts of {tree.name}/{tree.levels[key.level].name}")


class HierarchicalClassifier(nn.Module):
    """Scores of images against the text points of every level.

    Attributes:
        model: The image-text model.
        head: How features become points and scores.
        forest: Trees whose leaves are the classes, in the order of the labels.
        keys: What is classified, see `level_keys`.
        decoding: How scores become labels, see `hrvlm.models.decoding`.
    """

    def __init__(
        self, model: VisionLanguageModel, head: Head, forest: Forest, decoding: Decoding = "independent"
    ) -> None:
        """Computes the text points once, without gradient; make a new classifier after the weights change.

        Args:
            model: The image-text model.
            head: Initialised head with as many levels as the deepest tree needs.
            forest: Trees over the classes, leaves in the order of the labels.
            decoding: "independent", where every level decides by itself; or coherent over all levels, "path" or
                "leaves", see `hrvlm.models.decoding`.

        Raises:
            ValueError: If there is no such decoding, the head is not initialised or has fewer levels than the forest,
                or two nodes of a level are the same to the model.
        """
        super().__init__()
        check_decoding(decoding)
        if head.needs_features:
            raise ValueError("expected an initialised head, got one that waits for `initialise`; load or initialise it")
        self.model, self.head, self.forest = model, head, forest
        self.keys, self.decoding = level_keys(forest), decoding
        check_trees(model, forest)
        with inferring(model, head), one_thread():  # the same points in 1 process and in 8 that share the cores
            for key in self.keys:
                self.register_buffer(self._buffer(key), self._points(key), persistent=False)
        self.ancestors = {key: forest[key.tree].ancestors[key.level] for key in self.keys}

    def _points(self, key: LevelKey) -> Tensor:
        """Text points (K_level, D) of a level: of each node's prompt, or the average of its prompts."""
        tree = self.forest[key.tree]
        try:
            if key.level == 0 and len(tree.info.templates) > 1:
                return averaged_points(self.model, self.head, tree.wordings(0))
            prompts = tree.prompts(key.level)
            return self.head.lift_text(self.model.project_text(self.model.text_hidden(prompts)), key.level)
        except IndexError as error:
            raise ValueError(
                f"expected a head with a text scale for level {key.level} of the trees, got fewer; cut the trees with "
                "num_levels, or ask for plain cosines"
            ) from error

    @staticmethod
    def _buffer(key: LevelKey) -> str:
        return f"text_points_{key.tree}_{key.level}"

    def text_points(self, key: LevelKey) -> Tensor:
        """Points (K_level, D) of a level's nodes."""
        points: Tensor = getattr(self, self._buffer(key))
        return points

    def name(self, key: LevelKey) -> str:
        """A level in words, for example "emoji_unicode/group"; the leaves go by their level's name alone."""
        tree = self.forest[key.tree]
        name = tree.levels[key.level].name
        return name if key.level == 0 else f"{tree.name}/{name}"

    def image_points(self, images: Tensor) -> Tensor:
        """Points (N, D) of images (N, 3, H, W) in [0, 1]."""
        return self.head.lift_image(self.model.encode_image(images))

    def logits(self, images: Tensor, key: LevelKey) -> Tensor:
        """Scores (N, K_level) of one level."""
        return self.scores(self.image_points(images), key)

    def forward(self, images: Tensor) -> Tensor:
        """Leaf scores (N, K)."""
        return self.logits(images, self.keys[0])

    def predict(self, images: Tensor, keys: Sequence[LevelKey] | None = None) -> dict[LevelKey, Tensor]:
        """Labels (N,) at every level, or at some, from one pass through the image tower; -1 without finite scores."""
        return self.labels(self.image_points(images), keys)

    def scores(self, points: Tensor, key: LevelKey) -> Tensor:
        """Scores (N, K_level) of one level at image points (N, D), decoded."""
        if self.decoding == "independent":
            return self.head.logits(points, self.text_points(key))
        return best_below(self._along_paths(points), self.ancestors[key].to(points.device))

    def labels(self, points: Tensor, keys: Sequence[LevelKey] | None = None) -> dict[LevelKey, Tensor]:
        """Labels (N,) at every level, or at some, of image points (N, D); -1 without finite scores."""
        chosen = self.keys if keys is None else keys
        if self.decoding == "independent":
            return {key: labels_of(self.scores(points, key)) for key in chosen}
        along = self._along_paths(points)
        return {key: labels_along(along, self.ancestors[key].to(points.device)) for key in chosen}

    def _along_paths(self, points: Tensor) -> Tensor:
        """Scores (N, K) of the classes along their paths through all trees."""
        asked = self.keys[:1] if self.decoding == "leaves" else self.keys
        scores = {key: self.head.logits(points, self.text_points(key)) for key in asked}
        ancestors = {key: nodes.to(points.device) for key, nodes in self.ancestors.items()}
        return decode(scores, ancestors, self.decoding)

    def target_of(self, label: int, key: LevelKey) -> int:
        """True label at a level, from a leaf label; -1, which is no label, stays."""
        return int(self.ancestors[key][label]) if label >= 0 else NO_LABEL

    def target(self, labels: Tensor, key: LevelKey) -> Tensor:
        """True labels (N,) at a level, from leaf labels (N,); -1, which is no label, stays."""
        found = self.ancestors[key].to(labels.device)[labels]
        return torch.where(labels >= 0, found, NO_LABEL)
