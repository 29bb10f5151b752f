"""Where the shards of a data module lie, and what their classes are called, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from hrvlm.data.names import imagenet_ids
from hrvlm.trees.bounded_text import read_text
from hrvlm.trees.words import composed


@dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """Where pictures and names of their classes lie.

    Attributes:
        train: Shard files with braces, such as "imagenet/train-{000000..000127}.tar"; "::" joins several.
        evaluation: Name of each split and its shards; labels mean the same classes.
        classes_file: Text file with one class id a line, in the order of the labels; None for ImageNet-1k's synset ids.
            The ids are the leaves of the trees.
        names_tree: Tree file that names the classes of evaluation sets in words; None makes words of their ids.
    """

    train: str
    evaluation: dict[str, str]
    classes_file: str | None = None
    names_tree: str | None = None

    def class_ids(self) -> list[str]:
        """Class ids in the order of the labels.

        Raises:
            ValueError: If the classes file is missing, empty, or names a class twice.
        """
        return imagenet_ids() if self.classes_file is None else read_classes(self.classes_file)


def read_classes(path: str) -> list[str]:
    """Class ids of a text file, one a line.

    Raises:
        ValueError: If the file is missing, empty, or names a class twice.
    """
    try:
        lines = composed(read_text(path)).splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a text file with one class id a line as classes_file: {error}") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"expected different class ids in {path}, one a line, got {len(ids)} with repetitions or none")
    return ids
