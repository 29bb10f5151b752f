"""Verifies the rows of many images together, where these differ in numbers from rows that were verified one by one.

What a row says besides some numbers is its pattern. A run has few: the first image that has one is verified alone, by
the rules of `kinds.verify`, and of all others only the numbers are left to be checked, in arrays. What is not as sound
as that is not judged here: it is verified alone as well, which finds the words for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.families import NO_LEAF, Family, Images, coded, parts
from hrvlm.certificates.kinds.interface import Kind
from hrvlm.certificates.kinds.registry import kinds
from hrvlm.rows.agreement import Agreement, Problem, Said, apart
from hrvlm.rows.images import Found
from hrvlm.rows.measures import MeasuredTogether
from hrvlm.rows.record import SCHEMA, Key, Record
from hrvlm.rows.strict import maker, strict_reader
from hrvlm.rows.table import Column, RecordTable
from hrvlm.rows.together import Verdict
from hrvlm.rows.verifying import OUT_OF_RANGE

R = TypeVar("R", bound=Record)
MOST_PATTERNS = 4096
"""Further ones are verified alone: rows have so many where something varies that is not known to."""


class Alike(ABC, Generic[R]):
    """A kind whose rows differ in numbers from few patterns, see `Kind`.

    What a record says of its image and of its run may depend on the numbers that vary only by naming them, and the leaf
    of its image, as they are; what records of an image bear out together, not at all.

    Attributes:
        varying: fields that vary, numbers all of them; "index", "label" and "prediction" among them.
    """

    varying: ClassVar[tuple[str, ...]]

    @abstractmethod
    def as_sound(self, example: R, columns: Mapping[str, Column]) -> NDArray[np.bool_]:
        """Which records are as sound as an example that differs from them in `varying` alone; False where unsure.

        Args:
            example: a record that `Kind.check` finds nothing in.
            columns: the numbers that vary, `(N,)` each.
        """

    @abstractmethod
    def measured_together(self, records: RecordTable[R], radii: Sequence[float]) -> Iterator[MeasuredTogether]:
        """What `Kind.measures` gives of many records, added up; leaves go by no tree, see `rows.measures.ALL`.

        Args:
            records: of this kind.
            radii: L2 radii at which certified accuracy is compared, in pixel units.
        """


class Together(Generic[R]):
    """Verifies images whose rows are all of one kind, as far as their patterns are known.

    Args:
        kind: a kind that is `Alike`.
        common: what the rows of the run have in common.
        data_size: images of the data set, None where that is not known.
        complete: whether all images must have the same statements.
    """

    def __init__(self, kind: Any, common: Agreement, data_size: int | None, *, complete: bool) -> None:
        self.kind: Kind[R] = kind
        self.varying: tuple[str, ...] = kind.varying
        self.examples: list[R] = []
        self._statements: list[Key] = []
        self._as_sound = kind.as_sound
        self._common, self._data_size, self._complete = common, data_size, complete
        self._reader = strict_reader(kind.record, SCHEMA)
        self._make = maker(kind.record)
        self._start = f'{{"kind": "{kind.name}",'.encode()
        order = self._reader.order
        self._all = attrgetter(*order)
        self._shared = itemgetter(*(at for at, name in enumerate(order) if name not in self.varying))
        self._varied = itemgetter(*(order.index(name) for name in self.varying))
        self._numbers: dict[Any, int] = {}
        self._families: dict[tuple[int, ...], Family] = {}
        self._facts: list[list[Said]] = []
        self._classes: dict[Any, int] = {}
        self._class_of: list[int] = []
        self._of_leaf: dict[tuple[int, int | None, int], list[Said]] = {}

    def learn(self, records: Sequence[Any]) -> None:
        """Takes up the patterns of the records of an image in which nothing was found."""
        for record in records:
            if record.kind != self.kind.name or len(self.examples) >= MOST_PATTERNS:
                continue
            shared = self._shared(self._all(record))
            if shared not in self._numbers:
                self._numbers[shared] = len(self.examples)
                self.examples.append(record)
                self._statements.append(record.key[2:])
                self._learn_facts(len(self.examples) - 1)

    def _like(self, number: int, **varied: Any) -> R:
        """A record of a pattern."""
        return self._make({**vars(self.examples[number]), **varied})

    def _learn_facts(self, number: int) -> None:
        """What records of a pattern say whatever their label and leaf; what they say else makes a class of patterns."""
        first, other = ([*self.kind.said_of_run(self._like(number, label=k), k + 1)] for k in (1, 3))
        self._facts.append([said for said in first if said in other])
        more = tuple(said for said in first if said not in other)
        self._class_of.append(self._classes.setdefault(more, len(self._classes) if more else -1))

    def verified(self, images: Sequence[list[Found]]) -> Verdict[R]:
        """Verifies images, as far as that is possible; what it gives is about those that are sound."""
        places, families, which, values = list[slice | None](), list[Family](), list[int](), list[Any]()
        for image in images:
            read = self._read(image)
            places.append(None if read is None else slice(len(which), len(which) + len(read[0])))
            if read is not None:
                which += read[0]
                values += read[1]
                families.append(read[2])
        if not which:
            return Verdict(self.kind.name, places)
        columns = {name: np.array(column) for name, column in zip(self.varying, zip(*values, strict=True), strict=True)}
        table = RecordTable(self.examples, np.array(which), columns)
        starts = np.array([place.start for place in places if place is not None])
        sound = np.logical_and.reduceat(self._sound(table), starts)
        kept = iter(sound.tolist())
        places = [place if place is not None and next(kept) else None for place in places]
        images_told = Images(starts, np.array([len(family.named) for family in families]), families, sound)
        problems = list(self._noted(table, images_told))
        return Verdict(self.kind.name, places, table, problems, columns["index"][starts[sound]].tolist())

    def _read(self, image: list[Found]) -> tuple[list[int], list[Any], Family] | None:
        """Patterns and values of the rows of an image, and its family; None if it must be verified alone."""
        numbers, values = list[int](), list[Any]()
        for _, line in image:
            if not isinstance(line, bytes) or not line.startswith(self._start):
                return None
            found = self._reader.values(line)
            if found is None or (number := self._numbers.get(self._shared(found))) is None:
                return None
            numbers.append(number)
            values.append(self._varied(found))
        key = tuple(numbers)
        family = self._families.get(key)
        if family is None:
            family = self._families[key] = self._family(key)
        return (numbers, values, family) if family.sound else None

    def _family(self, numbers: tuple[int, ...]) -> Family:
        records = [self._like(number, **dict.fromkeys(self.varying, 0)) for number in numbers]
        said = [
            (group, name)
            for record in records
            for group, names, values in self.kind.said_of_image(record)
            for name, _ in apart(names, values)
        ]
        alone = len(set(said)) == len(said) and len({record.key for record in records}) == len(records)
        leaf = next((at for at, record in enumerate(records) if record.names_leaf), -1)
        named = tuple(sorted((self.kind.statement(record) for record in records), key=str))
        return Family(alone and not any(self.kind.check_family(records)), leaf, named)

    def _sound(self, table: RecordTable[R]) -> NDArray[np.bool_]:
        """Which records are sound, as far as they can be seen alone."""
        found = np.ones(len(table), dtype=np.bool_)
        if self._data_size is not None:
            found &= table.columns["index"] < self._data_size
        for number in np.unique(table.which).tolist():
            of_it = table.which == number
            columns = {name: column[of_it] for name, column in table.columns.items()}
            try:
                found[of_it] &= self._as_sound(self.examples[number], columns)
            except OUT_OF_RANGE:  # of which record shows where each is verified alone
                found[of_it] = False
        return found

    def _noted(self, table: RecordTable[R], images: Images) -> Iterator[Problem]:
        """Notes what the records of sound images say of their run."""
        rows = np.flatnonzero(np.repeat(images.sound, images.lengths))
        which = table.which[rows]
        for number, part in parts(which):
            for said in self._facts[number]:
                yield from self._common.noted_together(len(part), partial(self._keys, table, rows[part]), *said)
        leaf = np.repeat(images.leaves(table.columns["label"]), images.lengths)[rows]
        label, of_class = table.columns["label"][rows], np.array(self._class_of)[which]
        for _, part in parts(coded(of_class, leaf, label)):
            at = part[0]
            if of_class[at] >= 0:
                for said in self._said_of_leaf(int(which[at]), int(leaf[at]), int(label[at])):
                    yield from self._common.noted_together(len(part), partial(self._keys, table, rows[part]), *said)
        if self._complete:
            group = ("image", self.kind.name)
            for family, ends in images.by_family():
                keys = partial(self._keys, table, ends)
                yield from self._common.noted_together(len(ends), keys, group, "statements", family.named)

    def _said_of_leaf(self, number: int, leaf: int, label: int) -> list[Said]:
        """What a record of a pattern says that depends on its label and leaf."""
        place = (self._class_of[number], leaf, label)
        if place not in self._of_leaf:
            known = None if leaf == NO_LEAF else leaf
            said = self.kind.said_of_run(self._like(number, label=label), known)
            self._of_leaf[place] = [each for each in said if each not in self._facts[number]]
        return self._of_leaf[place]

    def _keys(self, table: RecordTable[R], rows: NDArray[np.int64]) -> Iterator[Key]:
        """Keys of some records."""
        for number, index in zip(table.which[rows].tolist(), table.columns["index"][rows].tolist(), strict=True):
            yield (self.kind.name, index, *self._statements[number])


def together(common: Agreement, data_size: int | None, *, complete: bool) -> list[Together[Any]]:
    """What verifies the images of each kind that is `Alike`."""
    return [Together(kind, common, data_size, complete=complete) for kind in kinds() if isinstance(kind, Alike)]
