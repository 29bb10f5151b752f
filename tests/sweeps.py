"""Sweeps over many values of which `make test` tries a few, and `make test-slow` all the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

# File and whether it is slow of each test of a session, those that are not selected included.
COLLECTED = pytest.StashKey[list[tuple[Path, bool]]]()


def sweep(values: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """Values for `parametrize`: all but those of `quick`, each of which must be among them, are marked slow."""
    found = list(values)
    assert all(value in found for value in quick), f"expected values of the sweep, got {quick}"
    return [value if value in quick else slow(value) for value in found]


def slow(value: Any) -> Any:
    """One value, or the tuple of one case, of a sweep."""
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
