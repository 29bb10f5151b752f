"""The model that benchmarks of semantic certificates look at, and the pictures it is tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hrvlm
from hrvlm.certificates import Attribute
from hrvlm.data import Appearance
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, PoincareHead, VisionLanguageModel, cosine_head, inferring, load
from hrvlm.trees import ClassTree
from hrvlm.trees.words import with_name

TREE = "trees/emoji_unicode.yaml"


class Subject:
    """A model, packaged or of a checkpoint, with a cosine and a hyperbolic head, and the pictures it is tried on."""

    def __init__(self, images: int, checkpoint: Path | None = None) -> None:
        found = None if checkpoint is None else load(checkpoint)
        self.model = hrvlm.load_model("emoji") if found is None else found.model
        self.data = hrvlm.data.emoji("unseen_artist")
        self.indices = evenly_spread(len(self.data), images)
        self.names = [self.data.class_names[self.data.items[i][0]] for i in self.indices]
        forest = hrvlm.load_forest([TREE]).restrict(self.data.class_names)
        if found is None:
            with inferring(self.model):
                ball: Any = untrained_ball(self.model, forest[0], self.encode(self.shown([Appearance()])))
        else:
            ball = found.head
        self.classifiers = {
            "cosine": HierarchicalClassifier(self.model, cosine_head(self.model), forest),
            "poincare": HierarchicalClassifier(self.model, ball, forest),
        }

    def shown(self, appearances: list[Appearance]) -> Tensor:
        """Pictures (N, T, 3, H, W)."""
        return torch.stack([self.data.shown(index, appearances) for index in self.indices])

    def encode(self, pictures: Tensor) -> Tensor:
        """Features (..., D) of pictures (..., 3, H, W)."""
        flat = pictures.flatten(0, -4)
        return torch.cat([self.model.encode_image(part) for part in flat.split(256)]).unflatten(0, pictures.shape[:-3])

    def embed(self, texts: list[str]) -> Tensor:
        """Features (K, D) of texts."""
        return self.model.project_text(self.model.text_hidden(texts))

    def prompts(self, attribute: Attribute) -> tuple[Tensor, Tensor]:
        """Source and target features (N, D), each picture named by its class."""
        source, target = (
            self.embed([with_name(prompt, n) for n in self.names]) for prompt in (attribute.source, attribute.target)
        )
        return source.double(), target.double()


def untrained_ball(model: VisionLanguageModel, tree: ClassTree, features: Tensor) -> PoincareHead:
    """A hyperbolic head that was never trained, at the scales of features (N, D) and of the prompts of all levels."""
    texts = [model.project_text(model.text_hidden(tree.prompts(level.index))) for level in tree.levels]
    ball = PoincareHead(text_scales=len(texts))
    ball.initialise(features, texts)
    return ball
