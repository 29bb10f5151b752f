"""What lies in a folder of pictures, as far as a first configuration must say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrvlm.data.sources.classes import chosen_classes
from hrvlm.data.sources.contents import contents_of
from hrvlm.data.sources.kinds import SourceKind, kind_of, splits_of
from hrvlm.trees.class_lists import ClassList

EVALUATED = ("test", "testing", "val", "valid", "validation", "dev")
TRAINED = ("train", "training")
EXAMPLES = ("a person", "an animal", "a plant", "a vehicle", "a building")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was found.

    Attributes:
        source: The text that names the pictures.
        kind: What kind of source it is.
        split: The part that is evaluated; None where there are no parts.
        training: The part to be trained on; None where there is none.
        size: Number of pictures that are evaluated.
        labelled: Whether all of them have a label.
        classes: Classes that pictures are sorted into.
        given: By what a configuration must name them: a file, a tree or names; None if they are the data's own.
    """

    source: str
    kind: SourceKind
    split: str | None
    training: str | None
    size: int
    labelled: bool
    classes: ClassList
    given: str | list[str] | None

    @property
    def words(self) -> str:
        """What was found, in words."""
        part = "" if self.split is None else f", split {self.split}"
        if not self.labelled:
            return f"{self.source} ({self.kind}{part}): {self.size} pictures without labels"
        return f"{self.source} ({self.kind}{part}): {self.size} pictures of {len(self.classes.ids)} classes"


def look(source: str, classes: str | None = None) -> Look:
    """Looks at pictures.

    Args:
        source: See `hrvlm.data.open_images`.
        classes: Classes that they are to be sorted into; None takes their own, and examples for pictures without any.

    Raises:
        ValueError: In one sentence, if there are no pictures of a known form, or their classes must be named.
    """
    kind = kind_of(source)
    parts = splits_of(Path(source)) if kind == "splits" else []
    split = _first(parts, EVALUATED) or (parts[-1] if parts else None)
    data = contents_of(source, split)
    own = data.class_ids is not None and classes is None
    if classes is None and not own:
        if data.labelled:
            raise ValueError(
                f'expected --classes "one, another" or a file with one a line, in the order of the labels of {source}, '
                "which are numbers"
            )
        classes = ", ".join(EXAMPLES)
    chosen = chosen_classes(classes, data)
    return Look(
        source=source,
        kind=kind,
        split=split,
        training=_first(parts, TRAINED),
        size=len(data.labels),
        labelled=data.labelled,
        classes=chosen,
        given=None if own else _named(classes, chosen),
    )


def _named(text: str | None, chosen: ClassList) -> str | list[str]:
    """Classes as a configuration names them: in words where these are all that there is to say."""
    names = list(chosen.names.values())
    return names if text is None or names == list(chosen.ids) else text


def _first(parts: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The folder that is called by the first of some names that one has."""
    by_name = {part.lower(): part for part in parts}
    return next((by_name[name] for name in wanted if name in by_name), None)
