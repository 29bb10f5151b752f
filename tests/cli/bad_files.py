"""A corpus of files that no command can use: each is written to a path that some command is then given."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

Write = Callable[[Path], object]
LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'ha'] * 9)}]\n" for n in range(12))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def marker(path: Path) -> Path:
    """The file that is there once a payload has run."""
    return path.with_name("payload_ran")


def text(content: str) -> Write:
    return lambda path: path.write_text(content, encoding="utf-8")


def data(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "nothing")
    return buffer.getvalue()


def stored() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(100)}}, buffer)
    return buffer.getvalue()


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "png")
    return buffer.getvalue()


def unpicklable(path: Path) -> None:
    torch.save({"state_dict": Payload(marker(path))}, path)


def legacy(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(marker(path))))


def tagged(path: Path) -> None:
    path.write_text(f"a: !!python/object/apply:pathlib.Path.touch [{marker(path)}]\n")


BAD: dict[str, Write] = {
    "missing": lambda path: None,
    "empty": data(b""),
    "zeros": data(b"\0" * 100),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "UTF-16": data('{"a": 1}\n'.encode("utf-16")),
    "Latin-1": data(b"caf\xe9: 1\n"),
    "null": text("null\n"),
    "list": text("[1, 2]\n"),
    "number": text("12\n"),
    "word": text("word\n"),
    "mapping": text('{"a": {"b": 1}}\n'),
    "key twice": text('{"a": 1, "a": 2}\n'),
    "not a number": text('{"a": NaN, "b": Infinity}\n'),
    "open brackets": text("[" * 5000),
    "deep": text('{"a":' * 2000 + "1" + "}" * 2000 + "\n"),
    "aliases": text(LAUGHS),
    "digits": text('{"schema": ' + "9" * 6000 + "}\n"),
    "long line": text("x" * 1_000_000),
    "terminal": text("\x1b[2J[/red]$x_{$: {0.__class__}\n"),
    "tag": tagged,
    "folder": Path.mkdir,
    "link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "link to itself": lambda path: path.symlink_to(path),
    "zip": data(zipped()),
    "torn checkpoint": data(stored()[:300]),
    "other checkpoint": data(stored()),
    "pickle": legacy,
    "payload": unpicklable,
    "endless header": data((2**62).to_bytes(8, "little") + b"{}"),
    "picture": data(picture()),
}
