"""Holds rows against the rules of their kind, against the other rows of their image, and against those of the run."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from hrvlm.rows.agreement import Agreement, Group, Names, Problem
from hrvlm.rows.images import Found
from hrvlm.rows.strict import RowError
from hrvlm.rows.table import RecordTable
from hrvlm.rows.together import MakesTogether, none_together, runs

Finding: TypeAlias = tuple[str, bool, str]
"""Field at fault, whether the row claims too much, and one sentence."""
TOGETHER = 4096
"""Images that are verified together at most."""
APART = 64
"""Images whose records are held at most, and their lines where none could be verified together: rows may be large."""
OUT_OF_RANGE = (ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What rules raise where a value of a row, of the right type, lies outside the range of their arithmetic."""


class Keyed(Protocol):
    """A record with what it is about."""

    @property
    def index(self) -> int:
        """Of the image."""

    @property
    def key(self) -> Any:
        """Identifies the row within a run."""


R = TypeVar("R", bound=Keyed)
Fact: TypeAlias = tuple[R, Group, Names, Hashable]
"""A record, the rows it must agree with, in which field or fields, and what it says there."""


@dataclass(frozen=True)
class Rules(Generic[R]):
    """The rules of some kinds of rows.

    Attributes:
        read: a record of a row or of its line; RowError if it is none.
        of_record: what of a record does not follow from what it holds.
        of_image: what the records of one image, with different keys, contradict each other in.
        facts: what the records of one image say that others of the run must say as well.
        statement: kind of a record, and what it states of its image; None for what not every image of a run has.
        together: what verifies many images at once, as these rules would one by one.
        sound: those of many records in which `of_record` finds nothing, as far as that shows of all at once.
    """

    read: Callable[[bytes | Mapping[str, Any]], R]
    of_record: Callable[[R], Iterable[Finding]]
    of_image: Callable[[list[R]], Iterable[tuple[R, Finding]]]
    facts: Callable[[list[R]], Iterable[Fact[R]]]
    statement: Callable[[R], tuple[str, Hashable] | None]
    together: MakesTogether = none_together
    sound: Callable[[list[R]], Iterable[R]] = lambda records: ()


@dataclass
class Header:
    """What a run says of its rows.

    Attributes:
        expected: per group and field what rows must say.
        of_record: what of a record does not fit the run; it yields findings.
        num_images: images that there must be rows of, per kind; None where that is not known.
        data_size: size of the data set they are spread over evenly, or None.
        sizes: sizes of several data sets, by the kinds of their rows.
    """

    expected: Mapping[tuple[Group, str], Hashable] = field(default_factory=dict)
    of_record: Callable[[Any], Iterable[Finding]] = lambda record: ()
    num_images: int | None = None
    data_size: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)


class Verifier(Generic[R]):
    """Verifies the rows of a run, one image after the other.

    Args:
        rules: what rows of their kinds must bear out.
        header: what the run says of them.
        complete: whether the run is finished, so that all images must have the same statements.

    Attributes:
        count: rows that were looked at.
    """

    def __init__(self, rules: Rules[R], header: Header | None = None, *, complete: bool = False) -> None:
        self.rules, self.header, self.complete = rules, Header() if header is None else header, complete
        self.count = 0
        self._images: dict[str, array[int]] = {}
        self._common = Agreement(self.header.expected)
        self._together = rules.together(self._common, self.header.data_size, complete=complete)

    def odd(self, rows: Iterable[Found]) -> Iterator[Problem]:
        """Problems of rows that name no image."""
        for where, row in rows:
            self.count += 1
            try:
                self.rules.read(row)
                yield Problem((), "row", False, f"{where}: expected a row of an image")
            except ValueError as error:
                yield Problem((), getattr(error, "field", "row"), False, f"{where}: {error}")

    def images(
        self, images: Iterable[list[Found]], collect: Callable[[R | RecordTable[R]], None] | None = None
    ) -> Iterator[Problem]:
        """Problems of the rows of many images, as `image` finds them.

        Args:
            images: all rows of each image.
            collect: called with each record, or with a table of several, image by image.
        """
        left, size = iter(images), 1
        while part := list(islice(left, size)):
            verdicts = [each.verified(part) for each in self._together]
            size = min(2 * size, TOGETHER if any(verdict.indices for verdict in verdicts) else APART)  # learns at first
            for verdict in verdicts:
                if verdict.indices:  # else the run may have no rows of the kind, and lacks none
                    self._images.setdefault(verdict.kind, array("q")).extend(verdict.indices)
                yield from verdict.problems
            for images_alone, table in runs(part, verdicts):
                for first in range(0, len(images_alone), APART):
                    yield from self._alone(images_alone[first : first + APART], collect)
                self.count += 0 if table is None else len(table)
                if table is not None and collect is not None:
                    collect(table)

    def _alone(
        self, images: list[list[Found]], collect: Callable[[R | RecordTable[R]], None] | None
    ) -> Iterator[Problem]:
        """Problems of images, from which those are learnt that are like them."""
        read = [self._read(image) for image in images]
        sound = self._sound([record for image in read for record, _ in image])
        for image in read:
            alike = True
            for problem in self._image(image, sound):
                alike = False
                yield problem
            records = [record for record, _ in image if not isinstance(record, RowError)]
            for record in records if collect is not None else ():
                collect(record)  # type: ignore[misc]
            for each in self._together if alike else ():
                each.learn(records)

    def _read(self, rows: Iterable[Found]) -> list[tuple[R | RowError, str]]:
        """The records of rows, or what is wrong with them, and where they are."""
        found = list[tuple[R | RowError, str]]()
        for where, row in rows:
            try:
                found.append((self.rules.read(row), where))
            except RowError as error:
                found.append((error, where))
        return found

    def _sound(self, records: list[R | RowError]) -> set[int]:
        """Identities of those among records that are sound in themselves, as far as that shows of all at once."""
        try:
            return {id(each) for each in self.rules.sound([r for r in records if not isinstance(r, RowError)])}
        except OUT_OF_RANGE:  # of which record shows where each is verified alone
            return set()

    def image(self, rows: Iterable[Found]) -> Iterator[Problem]:
        """Problems of the rows of one image, as far as they can be seen before the others.

        Args:
            rows: all rows of the image.
        """
        return self._image(self._read(rows), set())

    def _image(self, read: list[tuple[R | RowError, str]], sound: set[int]) -> Iterator[Problem]:
        """The same of rows that were read, some of which are known to be sound."""
        records: dict[Any, R] = {}
        times = Counter[Any]()
        for record, where in read:
            self.count += 1
            if isinstance(record, RowError):
                yield Problem((), record.field, False, f"{where}: {record}")
                continue
            key = record.key
            records.setdefault(key, record)
            times[key] += 1
            yield from self._of_record(record, known=id(record) in sound)
        for key, count in times.items():
            if count > 1:
                yield Problem(key, "row", False, f"expected one row for this statement, got {count}")
        group = list(records.values())
        try:
            for record, finding in self.rules.of_image(group):
                yield Problem(record.key, *finding)
        except OUT_OF_RANGE as error:
            yield Problem(group[0].key, "row", False, f"a value of the image lies outside its range: {error}")
        for fact in self.rules.facts(group):
            yield from self._common.noted(*fact)
        yield from self._statements(group)

    def _statements(self, group: list[R]) -> Iterator[Problem]:
        """Notes which statements an image has."""
        stated: dict[str, set[Hashable]] = {}
        last: dict[str, R] = {}
        for record in group:
            statement = self.rules.statement(record)
            if statement is not None:
                stated.setdefault(statement[0], set()).add(statement[1])
                last[statement[0]] = record
        for kind, statements in stated.items():
            self._images.setdefault(kind, array("q")).append(int(last[kind].index))
            if self.complete:
                named = tuple(sorted(statements, key=str))
                yield from self._common.noted(last[kind], ("image", kind), "statements", named)

    def _of_record(self, record: R, *, known: bool) -> Iterator[Problem]:
        try:
            for finding in (*(() if known else self.rules.of_record(record)), *self.header.of_record(record)):
                yield Problem(record.key, *finding)
        except OUT_OF_RANGE as error:
            yield Problem(record.key, "row", False, f"a value lies outside its range: {error}")

    def finish(self) -> Iterator[Problem]:
        """Problems that show only when all rows have been seen."""
        yield from self._common.disagreements()
        for kind, images in self._images.items():
            yield from self._missing(kind, set(images))

    def _missing(self, kind: str, found: set[int]) -> Iterator[Problem]:
        """Images that there should be rows of, and are not."""
        wanted, size = self.header.num_images, self.header.sizes.get(kind, self.header.data_size)
        if wanted is None:
            return
        if size is not None:
            wanted = min(wanted, size)
            lacking = [i for i in range(wanted) if i * size // wanted not in found]
            if lacking:
                some = ", ".join(str(i * size // wanted) for i in lacking[:5]) + (", …" if len(lacking) > 5 else "")
                text = f"expected {kind} rows of {wanted} images, but {len(lacking)} of them have none: {some}"
                yield Problem((), "index", False, text)
        elif len(found) != wanted:
            yield Problem((), "index", False, f"expected {kind} rows of {wanted} images, got those of {len(found)}")
