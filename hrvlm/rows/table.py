"""Many records of one kind in few bytes: what records share is kept once, numbers that vary are kept in arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Self, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from hrvlm.rows.strict import maker

R = TypeVar("R")
Column: TypeAlias = NDArray[Any]
"""Whole numbers or floats."""
_CHUNK = 2**14


class RecordTable(Sequence[R]):
    """Records that each differ from one of few examples in some numbers alone; they are made when they are asked for.

    Args:
        examples: frozen dataclasses of one type.
        which: `(N,)` number of each record's example.
        columns: per field that varies the values `(N,)`, whole numbers or floats.
    """

    def __init__(self, examples: Sequence[R], which: NDArray[np.int64], columns: Mapping[str, Column]) -> None:
        self.examples, self.which, self.columns = examples, which, dict(columns)
        self._used: list[int] | None = None

    @classmethod
    def of(cls, records: Sequence[R], varying: Sequence[str]) -> Self:
        """The table of records; tables are returned as they are.

        Args:
            records: at least one, all of one type.
            varying: fields that vary, at least two, all of them numbers.
        """
        if isinstance(records, cls):
            return records
        kind: Any = type(records[0])
        shared = attrgetter(*(field.name for field in fields(kind) if field.name not in varying))
        numbers: dict[Any, int] = {}
        which = [numbers.setdefault(shared(record), len(numbers)) for record in records]
        first = np.unique(which, return_index=True)[1]
        columns = {name: np.array([getattr(record, name) for record in records]) for name in varying}
        return cls([records[at] for at in first], np.array(which, dtype=np.int64), columns)

    @classmethod
    def joined(cls, tables: Sequence[RecordTable[R]]) -> Self:
        """The records of several tables, one after the other; of the same fields."""
        examples, which = list[R](), list[NDArray[np.int64]]()
        starts: dict[int, int] = {}
        for table in tables:
            if id(table.examples) not in starts:
                starts[id(table.examples)] = len(examples)
                examples += table.examples
            which.append(table.which + starts[id(table.examples)])
        columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in tables[0].columns}
        return cls(examples, np.concatenate(which), columns)

    def __len__(self) -> int:
        return len(self.which)

    @overload
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> R | Self:
        if isinstance(at, slice):
            return self.where(at)
        if not -len(self) <= at < len(self):
            raise IndexError(f"expected a number below {len(self)}, got {at}")
        return next(iter(self.where(slice(at, at + 1 or None))))

    def __iter__(self) -> Iterator[R]:
        make, names = maker(type(self.examples[0])), list(self.columns)
        for start in range(0, len(self), _CHUNK):
            part = slice(start, start + _CHUNK)
            values = zip(*(self.columns[name][part].tolist() for name in names), strict=True)
            for number, varied in zip(self.which[part].tolist(), values, strict=True):
                yield make({**vars(self.examples[number]), **dict(zip(names, varied, strict=True))})

    @property
    def used(self) -> list[R]:
        """The examples of which there are records."""
        if self._used is None:
            self._used = np.unique(self.which).tolist()
        return [self.examples[number] for number in self._used]

    def where(self, chosen: NDArray[Any] | slice) -> Self:
        """The records of a mask, of numbers, or of a slice."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return type(self)(self.examples, self.which[chosen], columns)

    def column(self, name: str) -> NDArray[Any]:
        """A field of every record `(N,)`."""
        if name in self.columns:
            return self.columns[name]
        return np.array([getattr(example, name) for example in self.examples])[self.which]

    def distinct(self, name: str) -> set[Any]:
        """All values of a field."""
        if name in self.columns:
            return set(np.unique(self.columns[name]).tolist())
        return {getattr(example, name) for example in self.used}

    def groups(self, *names: str) -> dict[Any, Self]:
        """The records by their values of several fields that do not vary, in the order of their first ones."""
        values = attrgetter(*names)
        numbers: dict[Any, int] = {}
        group = np.array([numbers.setdefault(values(example), len(numbers)) for example in self.examples])[self.which]
        found, first = np.unique(group, return_index=True)
        named = list(numbers)
        return {named[k]: self.where(group == k) for k in found[np.argsort(first)].tolist()}

    def in_order(self, key: Callable[[R], Any]) -> Self:
        """The records by index, and those of one index by a key of their example."""
        index, rank = self.columns["index"], self._ranks(key)
        ordered = bool(np.all((index[1:] > index[:-1]) | ((index[1:] == index[:-1]) & (rank[1:] >= rank[:-1]))))
        return self if ordered else self.where(np.lexsort((rank, index)))

    def repeated(self, key: Callable[[R], Any]) -> R | None:
        """A record whose index and key, of its example, are those of another one; None if there is none."""
        index, rank = self.columns["index"], self._ranks(key)
        order = np.lexsort((rank, index))
        same = (np.diff(index[order]) == 0) & (np.diff(rank[order]) == 0)
        return self[int(order[1:][same][0])] if same.any() else None

    def _ranks(self, key: Callable[[R], Any]) -> NDArray[np.int64]:
        keys = [key(example) for example in self.examples]
        ranks = {each: rank for rank, each in enumerate(sorted(set(keys)))}
        return np.array([ranks[each] for each in keys])[self.which]


def first_repeated(records: Iterable[Any]) -> Any | None:
    """The first record that has the key of one before it; None if there is none."""
    seen = set()
    for record in records:
        if record.key in seen:
            return record
        seen.add(record.key)
    return None


def distinct(records: Iterable[Any], name: str) -> set[Any]:
    """All values of a field."""
    return records.distinct(name) if isinstance(records, RecordTable) else {getattr(each, name) for each in records}


def examples(records: Sequence[R]) -> Sequence[R]:
    """Records that have all the values of fields that do not vary: of a table those it was made by."""
    return records.used if isinstance(records, RecordTable) else records


def each_record(collect: Callable[[R], None]) -> Callable[[R | RecordTable[R]], None]:
    """Collects records one by one where some come as a table."""

    def collected(found: R | RecordTable[R]) -> None:
        for record in found if isinstance(found, RecordTable) else (found,):
            collect(record)

    return collected
