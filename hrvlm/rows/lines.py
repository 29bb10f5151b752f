"""Files of rows, line by line: never more of them in memory than a line, and a bad line does not hide the next one."""

from __future__ import annotations

import codecs
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hrvlm.rows.strict import RowError, line_shown

MAX_LINE = 2**26
"""Bytes of the longest line that is read: far above any row, far below what fills a memory."""
_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF8: "a byte-order mark"}
_log = logging.getLogger(__name__)


class _Kind(msgspec.Struct):
    kind: str


_KIND = msgspec.json.Decoder(_Kind)


class BadLine(RowError):
    """A line that is no JSON object, or a file that holds no lines of text."""


def iterate_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Numbers, from 1, and bytes of the whole lines of a file, without their ends.

    A torn last line, as a killed run leaves it, is left out and reported in the log.

    Raises:
        BadLine: if the file is no text in UTF-8, or a line is too long for a row.
    """
    with Path(path).open("rb") as file:
        start = file.read(3)
        for mark, name in _MARKS.items():
            if start.startswith(mark):
                raise BadLine(f"expected lines of JSON in UTF-8 in {path}, got {name}: write the file as UTF-8")
        file.seek(0)
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE:
                    raise BadLine(f"expected rows in {path}, got more than {MAX_LINE} bytes in line {number}")
                _log.warning("%s: the last line is torn (%d bytes) and was left out", path, len(line))
                return
            yield number, line[:-1]


def row_of(line: bytes, where: str = "a line") -> dict[str, Any]:
    """The row of a line; NaN and infinities are no JSON.

    Raises:
        BadLine: if it is no JSON object.
    """
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadLine(f"expected a JSON object in {where}, got {line_shown(line)}") from error
    if not isinstance(row, dict):
        raise BadLine(f"expected a JSON object in {where}, got {line_shown(line)}")
    return row


def line_of(row: dict[str, Any]) -> str:
    """The line of a row, without its end.

    Raises:
        ValueError: if a number is not finite, which JSON cannot hold.
    """
    try:
        line = msgspec.json.encode(row, enc_hook=_plain)
        if msgspec.json.decode(line) == row:
            return msgspec.json.format(line, indent=0).decode()
    except (msgspec.MsgspecError, TypeError, OverflowError):
        pass
    # A number that is not finite has become null. That, and what comes back otherwise than it was, is for the slow way.
    return json.dumps(row, allow_nan=False, ensure_ascii=False)


def line_of_numbers(row: dict[str, Any]) -> str:
    """As `line_of`, where values are numbers, texts, None, and lists or tuples of numbers.

    Raises:
        ValueError: if a number is not finite, which JSON cannot hold.
    """
    try:
        line = msgspec.json.encode(row, enc_hook=_plain)
        if line.count(b"null") == sum(value is None for value in row.values()):  # else one is in a text, or not finite
            return msgspec.json.format(line, indent=0).decode()
    except (msgspec.MsgspecError, TypeError, OverflowError):
        pass
    return json.dumps(row, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> float:
    """Floats of other libraries, which are floats, as such."""
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"expected a value of JSON, got {type(value).__name__}")


def kind_of(line: bytes) -> str | None:
    """The kind that a line says it is, None where it says none; the rest of the line may be anything."""
    try:
        return _KIND.decode(line).kind
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
