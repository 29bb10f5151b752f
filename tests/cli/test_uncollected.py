"""Cycles are looked for again after masses of rows were worked on, whatever came of it."""

from __future__ import annotations

import gc

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
