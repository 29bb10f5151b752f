"""A tiny image-text model of real layers, and two trees of unequal depth over the same six classes."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from hrvlm.trees import ClassTree, Forest, Node, TreeInfo

DIM = 8
LEAVES = ("ant", "bee", "cat", "dog", "elm", "fir")


class TinyModel(nn.Module):
    """The methods of a wrapped open_clip model on a small convolutional tower."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.GELU(), nn.Conv2d(8, 12, 3), nn.GELU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, DIM),
        )  # fmt: skip
        self.text_projection = nn.Linear(10, DIM, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    @property
    def logit_scale(self) -> torch.Tensor:
        return self.log_scale.exp()

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * self.image(images)

    def frozen_image_tower(self) -> TinyModel:
        return copy.deepcopy(self).requires_grad_(False).eval()

    @torch.no_grad()
    def text_hidden(self, texts: Sequence[str]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(zlib.crc32(text.encode())) for text in texts]
        return torch.stack([torch.randn(10, generator=generator) for generator in generators]).to(
            self.text_projection.weight
        )

    def project_text(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.text_projection(hidden)


def tree(name: str, parents: dict[str, str | None]) -> ClassTree:
    """A tree from child -> parent; nodes that are nobody's parent are the leaves."""
    return ClassTree.from_nodes([Node(key, key, parent) for key, parent in parents.items()], TreeInfo(name=name))


@pytest.fixture
def deep_tree() -> ClassTree:
    """Three levels; fir hangs directly under the top, so it stands for itself at level 1."""
    upper: dict[str, str | None] = {"insect": "animal", "mammal": "animal", "animal": None, "plant": None}
    lower = {"ant": "insect", "bee": "insect", "cat": "mammal", "dog": "mammal", "elm": "tree", "fir": "plant"}
    return tree("deep", {**lower, "tree": "plant", **upper, "oak": "tree"}).restrict(LEAVES)


@pytest.fixture
def flat_tree() -> ClassTree:
    """Two levels, grouping the same leaves otherwise."""
    lower = {"ant": "small", "bee": "small", "fir": "green", "elm": "green", "cat": "small", "dog": "big"}
    return tree("flat", {**lower, "small": None, "big": None, "green": None})


@pytest.fixture
def forest(deep_tree: ClassTree, flat_tree: ClassTree) -> Forest:
    return Forest([deep_tree, flat_tree])


@pytest.fixture
def make_model() -> Callable[[], TinyModel]:
    """Makes a model in eval mode from torch's seed."""
    return lambda: TinyModel().eval()


@pytest.fixture
def model(make_model: Callable[[], TinyModel]) -> TinyModel:
    torch.manual_seed(0)
    return make_model()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Seven images of four classes: cat (2) and elm (4) are absent, so some parents have one child, others none."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(7, 3, 12, 12, generator=generator), torch.tensor([0, 1, 0, 3, 5, 0, 3])


@pytest.fixture
def drift() -> Callable[[TinyModel], None]:
    """Moves a model away from where it started, as training does."""

    def move(model: TinyModel) -> None:
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in model.image.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter))

    return move
