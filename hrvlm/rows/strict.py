"""Rows against the schema of their kind, by msgspec: the dataclass of a record, with narrower types."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, get_type_hints

import msgspec

from hrvlm.rows.fields import strict_type

T = TypeVar("T")
_PLACE = re.compile(r" - at `\$\.(?P<name>\w+)(?P<rest>[^`]*)`$")
MAX_SEED = 2**64
_KEPT, _LONG = 4096, 2**14  # how many texts of fields that rows share are known, and from how many bytes on none is


class RowError(ValueError):
    """A row that is none of its kind.

    Attributes:
        field: the field at fault; "row" where it is none alone.
    """

    def __init__(self, message: str, field: str = "row") -> None:
        super().__init__(message)
        self.field = field


class Strict(Generic[T]):
    """Makes records of rows that have exactly the fields, types, ranges and words of their kind.

    Args:
        record: frozen dataclass with a class variable `kind`; besides, if need be, `added`, names of fields that older
            rows lack, `limits`, types of fields that are narrower than those of the dataclass, and `unknown`, fields
            that are null together, with what records have there. A class method `of_values` makes a record of all
            its fields, whose types are known to fit, where that is faster; a static method `renewed` makes a row of
            today of an older one; `shared` are fields whose values many rows share, with what makes them of a row's: a
            line's text of them is read once.
        schema: number of the schema.

    Attributes:
        order: the fields of a record.
    """

    def __init__(self, record: type[T], schema: int) -> None:
        self.record, self.schema, self.kind = record, schema, str(record.kind)  # type: ignore[attr-defined]
        self.added: frozenset[str] = getattr(record, "added", frozenset())
        self.unknown: Mapping[str, Any] = getattr(record, "unknown", {})
        hints, limits = get_type_hints(record), getattr(record, "limits", {})
        found = fields(record)  # type: ignore[arg-type]
        self.names = frozenset(field.name for field in found)
        head: list[Any] = [("kind", Literal[self.kind]), ("schema", Literal[schema])]
        body = [(f.name, self._type(f.name, hints[f.name], limits), f) for f in found]
        named = [
            (name, kind, field.default) if name in self.added and field.default is not MISSING else (name, kind)
            for name, kind, field in body
        ]
        self.struct = msgspec.defstruct(
            record.__name__, [*head, *named], kw_only=True, forbid_unknown_fields=True, frozen=True
        )
        self._shared: Mapping[str, Callable[[Any], Any]] = getattr(record, "shared", {})
        self._types = {name: kind for name, kind, _ in body if name in self._shared}
        self._texts_read = lru_cache(_KEPT)(self._of_text)
        self._decoder = msgspec.json.Decoder(self._unread(head, named) if self._shared else self.struct)
        self.order = [field.name for field in found]
        self._values: Callable[[Any], tuple[Any, ...]] = attrgetter(*self.order)
        self._nullable = [place for place, name in enumerate(self.order) if name in self.unknown]
        self._make = maker(record)
        self._renewed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = getattr(record, "renewed", lambda row: row)
        self._texts = [name for name in self.order if "str" in str(hints[name]) or "Literal" in str(hints[name])]

    def _unread(self, head: list[Any], named: list[Any]) -> type[msgspec.Struct]:
        """The struct of a line, in which shared fields are text still."""
        unread = [
            (name, msgspec.Raw, msgspec.Raw(b"[]")) if name in self._shared else (name, *more) for name, *more in named
        ]
        return msgspec.defstruct(
            self.record.__name__, [*head, *unread], kw_only=True, forbid_unknown_fields=True, frozen=True
        )

    def _type(self, name: str, hint: Any, limits: Mapping[str, Any]) -> Any:
        narrowed = strict_type(name, hint, limits)
        return narrowed | None if name in self.unknown else narrowed

    def of(self, row: bytes | Mapping[str, Any]) -> T:
        """The record of a row, or of its line of JSON; see `of_row`."""
        return self.of_line(row) if isinstance(row, bytes) else self.of_row(row)

    def of_line(self, line: bytes | str) -> T:
        """The record of a line of JSON.

        Raises:
            RowError: if it is no row of this kind.
        """
        try:
            return self._made(self._decoder.decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise RowError(f"expected a JSON object in a line, got {line_shown(line)}") from error
            return self.of_row(row)

    def values(self, line: bytes) -> tuple[Any, ...] | None:
        """What a line has in every field, in `order`; None where `of_line` must look at it."""
        if self._shared:
            return None
        try:
            found = self._values(self._decoder.decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        for place in self._nullable:
            if found[place] is None:
                return None
        return found

    def of_row(self, row: Mapping[str, Any]) -> T:
        """The record of a row.

        Raises:
            RowError: if it is no row of this kind.
        """
        if row.get("kind") != self.kind or row.get("schema") != self.schema or isinstance(row.get("schema"), bool):
            got = f"kind {shown(row.get('kind'))}, schema {shown(row.get('schema'))}"
            raise RowError(f"expected a row of kind {self.kind!r} and schema {self.schema}, got {got}")
        row = self._renewed(row)
        keys = set(row) - {"kind", "schema"}
        odd, absent = sorted(map(str, keys - self.names)), sorted(self.names - keys - self.added)
        if odd or absent:
            raise RowError(f"expected the keys of {self.record.__name__}, got unknown {odd} and lack {absent}")
        try:
            # Rows in memory may hold NumPy's floats, which are floats and are written as such.
            plain = {name: float(value) if isinstance(value, float) else value for name, value in row.items()}
            return self._made(msgspec.convert(plain, self.struct))
        except msgspec.ValidationError as error:
            raise _explained(error, row) from error

    def _made(self, found: Any) -> T:
        seed = getattr(found, "seed", 0)
        if seed >= MAX_SEED:
            raise RowError(f"expected seed in [0, 2^64), got {shown(seed)}", "seed")
        try:
            values = dict(zip(self.order, self._values(found), strict=True))
            for name in self._shared:
                if type(values[name]) is msgspec.Raw:
                    text = bytes(values[name])
                    values[name] = (self._texts_read if len(text) < _LONG else self._of_text)(name, text)
            for name in self._texts:
                if type(values[name]) is str:
                    values[name] = sys.intern(values[name])  # rows repeat them
            return self._make(self._filled(values))
        except (TypeError, OverflowError) as error:
            raise RowError(f"expected a row of kind {self.kind!r}: {error}") from error

    def _of_text(self, name: str, text: bytes) -> Any:
        return self._shared[name](msgspec.json.decode(text, type=self._types[name]))

    def _filled(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a record, where a row may say that something is unknown."""
        lacking = [name for name in self.unknown if values[name] is None]
        if not lacking:
            return values
        if len(lacking) < len(self.unknown):
            told = ", ".join(self.unknown)
            raise RowError(f"expected {told} to be null together, got {lacking[0]} alone", lacking[0])
        return {**values, **self.unknown}


def maker(record: type[T]) -> Callable[[dict[str, Any]], T]:
    """Makes a record of all its fields, without its constructor where this does nothing but set them."""
    of_values: Callable[[dict[str, Any]], T] | None = getattr(record, "of_values", None)
    if of_values is not None:
        return of_values
    if hasattr(record, "__post_init__") or any("__slots__" in vars(base) for base in record.__mro__[:-1]):
        return lambda values: record(**values)

    def made(values: dict[str, Any]) -> T:
        found = object.__new__(record)
        found.__dict__.update(values)
        return found

    return made


_READERS: dict[tuple[type, int], Any] = {}


def strict_reader(record: type[T], schema: int) -> Strict[T]:
    """The reader of a kind of record, made once."""
    if (record, schema) not in _READERS:
        _READERS[record, schema] = Strict(record, schema)
    found: Strict[T] = _READERS[record, schema]
    return found


def shown(value: Any) -> str:
    """A value of a row, short enough for a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, depths of thousands
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def line_shown(line: bytes | str) -> str:
    """The beginning of a line."""
    text = line.decode("utf-8", errors="replace") if isinstance(line, bytes) else line
    return repr(text[:80])


def _explained(error: msgspec.ValidationError, row: Mapping[str, Any]) -> RowError:
    """Msgspec's complaint with the name of the field and its value."""
    text, place = str(error), _PLACE.search(str(error))
    if place is None:
        return RowError(text[:1].lower() + text[1:])
    name, what = place["name"], text[: place.start()].replace("`", "")
    if what.startswith("Invalid enum value"):
        what = "one of the words that it may be"
    wanted = what.removeprefix("Expected ").partition(", got ")[0]
    return RowError(f"expected {name}{place['rest']} as {wanted}, got {shown(_at(row.get(name), place['rest']))}", name)


def _at(value: Any, places: str) -> Any:
    """What lies within a value at places such as ``[4][0]``; the whole value where they are none of lists."""
    if re.fullmatch(r"(\[\d+\])*", places) is None:
        return value
    for place in re.findall(r"\d+", places):
        value = value[int(place)]
    return value
