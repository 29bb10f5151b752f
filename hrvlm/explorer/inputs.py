"""What a user of the explorer chooses: a picture, and classes or a tree."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from hrvlm import shipped
from hrvlm.data import chosen_classes, emoji
from hrvlm.data.decoding import decode_image
from hrvlm.data.emoji_pack.splits import UNSEEN_ARTIST
from hrvlm.data.images import evaluation_transform
from hrvlm.evaluation.source_options import flat_forest
from hrvlm.models import HierarchicalClassifier, LoadedModel, cosine_head
from hrvlm.trees import Forest, load_forest

LARGEST_FILE = 20_000_000
"""Bytes of a picture that is still opened."""
MOST_NAMES = 1000
"""Classes that may be typed."""


def picture_of(content: bytes, image_size: int) -> Tensor:
    """A picture file as the classifier sees it.

    Args:
        content: Bytes of a JPEG, PNG, … file.
        image_size: Side of the result, in pixels, in which budgets and radii are stated.

    Returns:
        (3, image_size, image_size) in [0, 1], the centre of the picture.

    Raises:
        ValueError: If the bytes are too many, or no image.
    """
    if len(content) > LARGEST_FILE:
        size = f"{len(content) / 1e6:.0f} MB"
        raise ValueError(f"expected a picture of at most {LARGEST_FILE / 1e6:.0f} MB, got {size}; make it smaller")
    return evaluation_transform(image_size)(decode_image(content, "to explore"))


@cache
def packaged_names() -> tuple[str, ...]:
    """Names of the packaged pictures: emoji by the artist that no packaged model was trained on."""
    data = emoji("unseen_artist")
    return tuple(data.class_names[label] for label in data.labels())


def packaged_picture(name: str) -> Tensor:
    """A packaged picture (3, 64, 64) in [0, 1].

    Raises:
        ValueError: If there is none of that name.
    """
    names = packaged_names()
    if name not in names:
        raise ValueError(
            f"expected the name of a packaged picture by {UNSEEN_ARTIST}, such as {names[0]!r}, got {name!r}"
        )
    image: Tensor = emoji("unseen_artist")[names.index(name)][0]
    return image


def tree_names() -> list[str]:
    """Trees that come with the package."""
    return [name for name in shipped.names("trees") if "/" not in name]


def forest_of(names: str, trees: list[str], known: tuple[str, ...] | None) -> Forest:
    """The levels that are asked about.

    Args:
        names: Classes with commas between them; used where no tree is chosen.
        trees: Files or names of trees over the same leaves.
        known: Classes that the model was trained on; trees are restricted to them where they hold them all.

    Raises:
        ValueError: If there are fewer than two classes, too many, or one twice; or the trees do not fit each other.
    """
    if not trees:
        if names.count(",") >= MOST_NAMES:
            raise ValueError(f"expected at most {MOST_NAMES} class names, got {names.count(',') + 1}; use a tree file")
        return flat_forest(chosen_classes(names.split(",")))
    forest = load_forest(trees)
    held = known is not None and set(known) <= set(forest.leaves)
    return forest.restrict(known) if held and known is not None else forest


def classifier_of(loaded: LoadedModel, forest: Forest) -> HierarchicalClassifier:
    """The classifiers of a model over these classes, by its own head where that has enough levels, else by cosines.

    Raises:
        ValueError: If two nodes of a level are the same to the model.
    """
    try:
        classifier = HierarchicalClassifier(loaded.model, loaded.head, forest)
    except ValueError as error:
        if not isinstance(error.__cause__, IndexError):
            raise
        classifier = HierarchicalClassifier(loaded.model, cosine_head(loaded.model), forest)
    return classifier.to(loaded.model.mean.device)
