"""Cycles are looked for again after masses of rows were worked on, whatever came of it."""

from __future__ import annotations

import gc
import sys

import pytest

from hrvlm.rows.uncollected import uncollected


def test_cycles_are_looked_for_again_afterwards_and_never_where_nobody_did():
    def fails() -> None:
        with uncollected():
            seen.append(gc.isenabled())
            raise ValueError("inside")

    seen: list[bool] = []
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"):
        fails()
    assert seen == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_what_a_command_begins_with_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's models, which are in cycles, are found once they are let go."""
    monkeypatch.setitem(sys.modules, "torch", None)
    found = gc.get_freeze_count()
    try:
        with uncollected(kept=True):
            pass
        assert gc.get_freeze_count() == found
        monkeypatch.delitem(sys.modules, "torch")
        with uncollected(kept=True):
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
