"""What the rows of a run say alike, counted as they pass, and which say something else."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from hrvlm.rows.strict import shown

Key: TypeAlias = tuple[Any, ...]
Group: TypeAlias = tuple[Hashable, ...]
Names: TypeAlias = str | tuple[str, ...]
"""A field, or several whose values, a tuple, are told at once."""
Said: TypeAlias = tuple[Group, Names, Any]
"""The rows that must agree with a row, in which field or fields, and what it says there."""


def apart(names: Names, values: Any) -> Iterable[tuple[str, Hashable]]:
    """Fields that are told at once, one by one."""
    return ((names, values),) if isinstance(names, str) else zip(names, values, strict=True)


@dataclass(frozen=True)
class Problem:
    """A row that does not follow from what it holds.

    Attributes:
        key: statement of the row, () for a row that cannot be read.
        field: the field at fault.
        claims_too_much: whether the row claims more than can be derived, rather than something inconsistent or less.
        message: one sentence.
    """

    key: Key
    field: str
    claims_too_much: bool
    message: str


class Agreement:
    """What rows of a run have in common, counted as they pass."""

    MOST_KEYS = 100
    MOST_VALUES = 1000

    def __init__(self, expected: Mapping[tuple[Group, str], Hashable]) -> None:
        """Nothing said so far.

        Args:
            expected: Per group and field what the run's settings have rows say.
        """
        self.expected = expected
        self.found: dict[tuple[Group, str], dict[Hashable, list[Any]]] = {}
        # What is usual by now, with all that is counted where it is said again.
        self._usual: dict[tuple[Group, Names, Hashable], list[list[Any]]] = {
            (group, name, value): [] for (group, name), value in expected.items()
        }

    def noted(self, record: Any, group: Group, names: Names, values: Any) -> Iterator[Problem]:
        """Notes what a record with a key says, see `noted_together`."""
        if not self._again(group, names, values, 1):
            yield from self._noted(1, lambda: (record.key,), group, names, values)

    def noted_together(
        self, times: int, keys: Callable[[], Iterable[Key]], group: Group, names: Names, values: Any
    ) -> Iterator[Problem]:
        """Notes what records say alike, by far most often what enough rows, or the settings, have said before.

        Args:
            times: How many records.
            keys: Gives their keys, where it is not usual yet.
            group: The rows that they must agree with.
            names: In which field, or in which fields.
            values: What they say there.
        """
        if not self._again(group, names, values, times):
            yield from self._noted(times, keys, group, names, values)

    def _noted(
        self, times: int, keys: Callable[[], Iterable[Key]], group: Group, names: Names, values: Any
    ) -> Iterator[Problem]:
        told = [*apart(names, values)]
        for name, value in told:
            if not self._again(group, name, value, times):
                yield from self._add(times, keys, group, name, value)
        usual = [self._usual.get((group, name, value)) for name, value in told]
        if None not in usual:
            self._usual[group, names, values] = [count for counts in usual for count in counts or ()]

    def _again(self, group: Group, names: Names, values: Hashable, times: int) -> bool:
        """Whether this is usual; counts it if so."""
        counts = self._usual.get((group, names, values))
        if counts is None:
            return False
        for count in counts:
            count[0] += times
        return True

    def _add(
        self, times: int, keys: Callable[[], Iterable[Key]], group: Group, name: str, value: Hashable
    ) -> Iterator[Problem]:
        place = (group, name)
        if place in self.expected:
            if self.expected[place] != value:
                text = f"has {name} {shown(value)}, where the run's settings say {shown(self.expected[place])}"
                yield from (Problem(key, name, True, text) for key in keys())
            return
        values = self.found.setdefault(place, {})
        if value in values or len(values) < self.MOST_VALUES:
            count = values.setdefault(value, [0])
            count[0] += times
            room = self.MOST_KEYS + 1 - len(count)
            count += islice(keys(), room)
            if times > room:
                self._usual[group, name, value] = [count]

    def disagreements(self) -> Iterator[Problem]:
        """Rows that say something else than most of their group."""
        for (_, name), values in self.found.items():
            if len(values) < 2:
                continue
            usual = max(values, key=lambda value: values[value][0])
            for value, (count, *keys) in values.items():
                if value == usual:
                    continue
                text = f"has {name} {shown(value)}, where {values[usual][0]} rows say {shown(usual)}"
                more = f" (and {count - len(keys)} rows more)" if count > len(keys) else ""
                for key in keys:
                    yield Problem(key, name, False, text + (more if key is keys[-1] else ""))
