"""Files of kept features, opened only if they are whole; see `feature_store`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

CLEAN, NOISY = "clean", "noisy"


@contextmanager
def opened_features(path: Path, name: str, rows: int | None = None) -> Iterator[Any]:
    """An open file of features: whole, with the tensor of that name, of so many rows if it is said how many.

    Raises:
        ValueError: if it is missing, damaged, or holds something else.
    """
    try:
        file = safe_open(path, framework="pt")
        shape = file.get_slice(name).get_shape()
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if len(shape) != (1 if name == CLEAN else 2) or (rows is not None and shape[0] != rows):
        raise _damaged(path, f"{name} of shape {shape} where {rows} draws were kept")
    with file:
        yield file


def _damaged(path: Path, found: str) -> ValueError:
    return ValueError(
        f"expected whole features at {path}, got a damaged file ({' '.join(found.split())[:200]}): certify.py run with "
        "the same --features makes them again"
    )
