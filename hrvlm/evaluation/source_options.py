"""How pictures that a text names are opened, and which classes of which words they are sorted into, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from hrvlm.data import ImageCollection, chosen_classes, chosen_templates, open_images
from hrvlm.data.items import EvaluationData
from hrvlm.data.manifest import Columns
from hrvlm.models.decoding import Decoding
from hrvlm.trees import Forest, TreeError, TreeInfo, load_forest
from hrvlm.trees.class_lists import FLAT_LEVEL, ClassList, flat_tree

HeadChoice = Literal["trained", "cosine"]
FLAT = "flat"
"""Name of the tree of one level that a list of classes is."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How data are opened, and what they are sorted into; none of it need be given.

    Attributes:
        root: Folder that holds the zero-shot sets.
        image_size: Side of the pictures, in pixels, in which budgets and radii are stated; null for the model's own.
        columns: What the columns of a manifest are called.
        classes: "one, another", a list, a file with a class a line, or a tree; null for the classes of the data, or the
            leaves of the trees where the data have none.
        templates: Prompts of the classes: "tecoa" ("This is a photo of a {}."), "openai", a file with one a line, or
            a text with {}; several are averaged. Null for those of the trees, or "a picture of a {}".
        head: The "trained" head of the checkpoint, which lifts the texts of any classes and trees, or plain "cosine".
        decoding: How scores become labels of levels: of every level by itself ("independent"), or along one path
            through all of them ("path", "leaves"), see `hrvlm.models.decoding`; with one level all are the same.
        leave_out: Whether pictures of classes that the list lacks are left out; they are refused else.
    """

    root: str | None = None
    image_size: int | None = None
    columns: Columns | None = None
    classes: str | list[str] | None = None
    templates: str | list[str] | None = None
    head: HeadChoice = "trained"
    decoding: Decoding = "independent"
    leave_out: bool = False

    def given(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}


def open_source(
    data: EvaluationData | str,
    split: str | None,
    options: SourceOptions,
    *,
    image_size: int | None = None,
    keep_index: bool = True,
) -> ImageCollection:
    """The pictures of a source or of a data module's split.

    Args:
        data: See `hrvlm.data.open_images`; or a data module.
        split: Of either.
        options: Root, columns and image size.
        image_size: Side of the pictures where the options state none; of the emoji it is always 64.
        keep_index: See `hrvlm.data.open_images`.

    Raises:
        ValueError: See `hrvlm.data.open_images`.
    """
    if isinstance(data, EvaluationData):
        return ImageCollection(data.evaluation_set(split), name=split or "data", class_ids=data.class_ids)
    size = options.image_size
    if size is None and image_size is not None and not data.startswith("emoji"):
        size = image_size
    given: dict[str, Any] = {"root": options.root, "columns": options.columns, "image_size": size}
    return open_images(data, split=split, keep_index=keep_index, **given)


def classified(
    data: ImageCollection, options: SourceOptions, trees: Sequence[str], num_levels: int | None
) -> tuple[ImageCollection, Forest]:
    """The pictures with labels that are leaves of the trees, and the trees over the chosen classes.

    Args:
        data: Pictures with labels of their own, or none.
        options: Classes and templates.
        trees: Tree files; none for a tree of one level.
        num_levels: Cuts every tree to at most this many levels.

    Raises:
        ValueError: If classes, trees and data do not fit each other; in one sentence.
    """
    whole = load_forest(trees, num_levels=num_levels) if trees else None
    classes = _classes(data, options, whole)
    forest = flat_forest(classes) if whole is None else whole.restrict(classes.ids)
    templates = chosen_templates(options.templates, data)
    if templates is not None:
        forest = forest.with_templates(templates)
    return data.sorted_into(classes, leave_out=options.leave_out), forest


def _classes(data: ImageCollection, options: SourceOptions, forest: Forest | None) -> ClassList:
    """The chosen classes; by the ids of the leaves if there are trees."""
    if forest is None:
        return chosen_classes(options.classes, data)
    leaves = ClassList(forest.leaves, dict(zip(forest.leaves, forest[0].levels[0].names, strict=True)), origin="trees")
    if options.classes is None and data.class_ids is None:
        if data.labelled:
            raise ValueError(
                f"expected classes in the order of the labels, which are numbers in {data.name}: give --classes a file "
                "with a class a line, or put it beside the shards as classes.txt"
            )
        return leaves
    chosen = chosen_classes(options.classes, data)
    found = [leaves.find(key) or leaves.find(chosen.names[key]) for key in chosen.ids]
    lacking = [key for key, leaf in zip(chosen.ids, found, strict=True) if leaf is None]
    if lacking:
        raise TreeError(
            f"expected a leaf of the trees for every class of {chosen.origin}, found none for {lacking[:5]}"
        )
    names = dict(zip(found, chosen.names.values(), strict=True))
    return ClassList(tuple(map(str, found)), {str(key): name for key, name in names.items()}, origin=chosen.origin)


def flat_forest(classes: ClassList) -> Forest:
    """A tree of one level, the classes themselves."""
    info = TreeInfo(name=FLAT, source=classes.origin, level_names=(FLAT_LEVEL,), origin=classes.origin)
    return Forest([flat_tree(classes, info)])
