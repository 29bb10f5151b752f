"""Pictures of any source, with what is known of their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.decoding import WHITE, Colour
from hrvlm.data.described import Described
from hrvlm.geometry.labels import NO_LABEL
from hrvlm.trees.class_lists import ClassList
from hrvlm.trees.nodes import some
from hrvlm.trees.words import composed


class ImageCollection(Described, Dataset[tuple[Tensor, int]]):
    """A map-style data set of (image (3, H, W) in [0, 1], label); label -1 where a picture has none.

    Attributes:
        data: The data set whose pictures these are.
        name: What tables call it.
        class_ids: Ids of the classes, a label is a position in them; None where nobody knows.
        class_names: The classes in words; None where nobody knows.
        templates: Prompts with "{}" for the class; None where nobody has published any.
    """

    def __init__(
        self,
        data: Any,
        *,
        name: str,
        class_ids: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
        positions: Sequence[int] | None = None,
    ) -> None:
        """Wraps a data set.

        Args:
            data: Map-style data set of (image, label).
            name: What tables call it.
            class_ids: Ids of the classes.
            class_names: The classes in words; None takes what the data set says.
            templates: Prompts; None takes what the data set says.
            labels: Label of each picture that is kept; None takes those of the data set.
            positions: Which pictures are kept, by their place in the data set; None keeps all.
        """
        self.data, self.name = data, name
        self.class_ids = None if class_ids is None else list(class_ids)
        names = getattr(data, "class_names", None) if class_names is None else class_names
        self.class_names = None if names is None else list(names)
        given = getattr(data, "templates", None) if templates is None else templates
        self.templates = None if given is None else tuple(given)
        self._labels = None if labels is None else list(labels)
        self._positions = None if positions is None else list(positions)

    @property
    def labelled(self) -> bool:
        """Whether every picture has a label."""
        return self._labels is None or NO_LABEL not in self._labels

    @property
    def background(self) -> Colour:
        """What transparent pixels are blended onto, in 8 bits."""
        found: Colour = getattr(self.data, "background", WHITE)
        return found

    @property
    def shown(self) -> Callable[[int, Sequence[Any]], Tensor]:
        """Shows a picture, by its index, in several appearances; only where the data set can."""
        inner = self.data.shown
        return lambda index, appearances: inner(self._position(index), appearances)

    @property
    def file(self) -> Callable[[int], str]:
        """The file of a picture, by its index; only where the data set knows it."""
        inner = self.data.file
        return lambda index: str(inner(self._position(index)))

    @property
    def source(self) -> Callable[[int], str]:
        """What stands for the file of a picture, by its index; only where the data set knows that."""
        inner = self.data.source
        return lambda index: str(inner(self._position(index)))

    def __len__(self) -> int:
        return len(self.data) if self._positions is None else len(self._positions)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """A whole batch (the data loader calls this), in one go where the data set can."""
        positions = [self._position(index) for index in indices]
        whole = getattr(self.data, "__getitems__", None)
        pairs = whole(positions) if whole else [self.data[position] for position in positions]
        if self._labels is None:
            return [(image, int(label)) for image, label in pairs]
        return [(image, self._labels[index]) for index, (image, _) in zip(indices, pairs, strict=True)]

    def _position(self, index: int) -> int:
        return index if self._positions is None else self._positions[index]

    def labels(self) -> list[int]:
        """Labels of all pictures; pictures are read only where their data set has no list of labels."""
        if self._labels is not None:
            return list(self._labels)
        stored = getattr(self.data, "labels", None)
        if stored is None:
            return [int(self[index][1]) for index in range(len(self))]
        every = stored()
        return [int(every[self._position(index)]) for index in range(len(self))]

    def sorted_into(self, classes: ClassList, *, leave_out: bool = False) -> ImageCollection:
        """The same pictures with labels that are positions in a list of classes.

        Classes of the data are found in the list by their ids, or by their names. Where the ids of the data's classes
        are not known, its labels count as positions in the list.

        Args:
            classes: The list.
            leave_out: Whether pictures of classes that the list lacks are left out; without labels they are kept.

        Raises:
            ValueError: If the list lacks a class of the data and its pictures are not to be left out, two classes of
                the data are one of the list, or no picture is left.
        """
        given: dict[str, Any] = {"name": self.name, "templates": self.templates}
        given |= {"class_ids": classes.ids, "class_names": list(classes.names.values())}
        if self.class_ids is None or not len(self):
            self._check_positions(classes)
            return ImageCollection(self.data, labels=self._labels, positions=self._positions, **given)
        places = self._places(classes)
        labels = self.labels()
        self._check_found(classes, places, labels, leave_out)
        kept = [index for index, label in enumerate(labels) if label == NO_LABEL or places[label] != NO_LABEL]
        if not kept:
            raise ValueError(f"expected pictures of the classes in {classes.origin} in {self.name}, found none")
        new = [NO_LABEL if labels[index] == NO_LABEL else places[labels[index]] for index in kept]
        return ImageCollection(self.data, labels=new, positions=[self._position(index) for index in kept], **given)

    def _places(self, classes: ClassList) -> list[int]:
        """Place in the list of each class of the data; -1 where it is not there.

        Raises:
            ValueError: If two classes of the data are one of the list.
        """
        place_of = {name: place for place, name in enumerate(classes.names.values())}
        place_of |= {key: place for place, key in enumerate(classes.ids)}
        ids = self.class_ids or []
        pairs = zip(map(composed, ids), map(composed, self.class_names or ids), strict=True)
        found = [place_of.get(key, place_of.get(name, NO_LABEL)) for key, name in pairs]
        times = Counter(place for place in found if place != NO_LABEL)
        twice = [classes.ids[place] for place, count in times.items() if count > 1]
        if twice:
            raise ValueError(
                f"expected every class of {self.name} to be another one in {classes.origin}, got several for "
                f"{some(twice)}"
            )
        return found

    def _check_found(self, classes: ClassList, places: list[int], labels: list[int], leave_out: bool) -> None:
        used = sorted({label for label in labels if label != NO_LABEL and places[label] == NO_LABEL})
        if used and not leave_out:
            lacking = [(self.class_ids or [])[label] for label in used]
            raise ValueError(
                f"expected every class of {self.name} by its id or name in {classes.origin}, which lacks "
                f"{some(lacking)}; add them, or leave their pictures out (--leave_out true)"
            )

    def _check_positions(self, classes: ClassList) -> None:
        highest = max(self.labels(), default=NO_LABEL)
        if highest >= len(classes.ids):
            raise ValueError(
                f"expected a class in {classes.origin} for every label of {self.name}, which are positions in it, got "
                f"{len(classes.ids)} classes for the label {highest}"
            )
