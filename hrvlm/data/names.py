"""Ids and words of classes: ImageNet-1k's synsets, names from a tree, and that no two classes share a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hrvlm.trees import load_tree
from hrvlm.trees.words import spoken, tell_spoken

# CLIP's list calls two pairs of classes alike ("missile", "sunglasses"); the later lemma of WordNet tells them apart.
RENAMED = {"n04008634": "projectile", "n04355933": "sunglass"}


def imagenet_ids() -> list[str]:
    """The 1,000 WordNet synset ids of ImageNet-1k (ILSVRC 2012) in the order of its labels, which is sorted order."""
    from timm.data import ImageNetInfo  # comes with open_clip

    ids: list[str] = ImageNetInfo("imagenet-1k").label_names()
    return ids


def imagenet_names() -> dict[str, str]:
    """A distinct name for each synset id of ImageNet-1k.

    They are the names of Radford et al. 2021 (arXiv 2103.00020, as shipped by open_clip), except where that list calls
    two classes alike.
    """
    from open_clip import IMAGENET_CLASSNAMES

    return dict(zip(imagenet_ids(), IMAGENET_CLASSNAMES, strict=True)) | RENAMED


def tree_names(path: str | None, class_ids: Sequence[str]) -> list[str]:
    """Names of classes in a tree file.

    Args:
        path: Tree whose leaves are (at least) the classes; None makes words of their ids and says so.
        class_ids: Ids of the leaves.

    Raises:
        ValueError: If the file is no tree or lacks a class.
    """
    if path is None:
        tell_spoken(class_ids, "classes without names_tree")
        return [spoken(class_id) for class_id in class_ids]
    return list(load_tree(path).restrict(class_ids).levels[0].names)


def check_distinct(names: Iterable[str], what: str) -> None:
    """Refuses two classes with the same words: their text features would be equal and neither could win.

    Raises:
        ValueError: Naming what is repeated.
    """
    seen: set[str] = set()
    twice = sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if twice:
        raise ValueError(f"expected every class of {what} to have a name of its own, got twice: {', '.join(twice[:5])}")
