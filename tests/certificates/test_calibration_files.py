"""Files that are no calibration are refused in one sentence each, which says what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibration import (
    CalibratedChange,
    Calibration,
    ThresholdRecord,
    read_calibration,
)
from hrvlm.certificates.kinds.semantic.speed import PathSpeed

THRESHOLD = ThresholdRecord(
    over="alone", scorer="cosine", target_kind="text", attribute="small", tree="t", level=0, epsilon=0.1,
    scale=ThresholdScale(), speed=PathSpeed(), images=99, curve=((0.0, 30), (0.1, 9)), thresholds={"marginal": 0.1},
)  # fmt: skip
RIGHT = Calibration(
    population="foxes", weights="w", trees=({"name": "t"},), pictures={}, parts={}, statements=(THRESHOLD,),
    changes=(CalibratedChange(name="small", source="a {}", target="a small {}", target_kind="text"),),
)  # fmt: skip


def changed(**values: Any) -> str:
    """The file with other values in its threshold."""
    given = json.loads(RIGHT.text)
    given["statements"][0] |= values
    return json.dumps(given)


FILES: dict[str, tuple[str | bytes, str]] = {
    "cut": (RIGHT.text[:-40], "Unterminated string"),
    "empty": ("", "Expecting|empty"),
    "no text": (b"\x80\xff", "utf-8"),
    "a list": ("[]", "Expected `object`, got `array`"),
    "other version": (json.dumps(json.loads(RIGHT.text) | {"schema": 2}), "schema 2, of which this version reads 1"),
    "unknown key": (json.dumps(json.loads(RIGHT.text) | {"more": 1}), r"keys that it does not know: \$\.more"),
    "unknown key within": (changed(sigma=1), r"keys that it does not know: \$\.statements\[0\]\.sigma"),
    "not a number": (changed(epsilon=float("nan")), "Expected `float` > 0"),
    "infinite": (changed(thresholds={"marginal": float("inf")}), "Expected `float` <= 1.79"),
    "negative": (changed(thresholds={"marginal": -0.1}), "Expected `float` >= 0"),
    "no rate": (changed(epsilon=1.5), "Expected `float` < 1"),
    "falling speed": (changed(speed={"shares": [0, 1], "fractions": [0.5, 0]}), "shares that grow from 0"),
    "no unit": (changed(scale={"unit": "metres", "growth": 0}), "metres"),
    "lacking": (json.dumps({"schema": 1}), "missing required field"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_calibration_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    content, words = FILES[name]
    path = tmp_path / "calibration.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words) as refusal:
        read_calibration(path)
    told = str(refusal.value)
    assert told.startswith(f"expected a calibration that certify.py calibrate wrote at {path}, got ")
    assert "\n" not in told
    assert len(told) < 400


def test_what_was_written_is_read_and_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    RIGHT.write(path)
    assert read_calibration(path) == RIGHT
    path.write_text(changed(epsilon=0.2))
    assert read_calibration(path).statements[0].epsilon == 0.2


def test_thresholds_hold_of_the_claims_that_they_name_in_the_order_of_the_file() -> None:
    everywhere = replace(THRESHOLD, over="all", attribute=None, tree=None, level=None)
    of_levels, other = replace(THRESHOLD, over="levels", tree=None, level=None), replace(THRESHOLD, level=1)
    found = replace(RIGHT, statements=(everywhere, other, THRESHOLD, of_levels))
    assert list(found.of("small", "text", "cosine", "t", 0)) == [everywhere, THRESHOLD, of_levels]
    assert list(found.of("small", "text", "cosine", "t", 1)) == [everywhere, other, of_levels]
    assert list(found.of("large", "text", "cosine", "t", 0)) == [everywhere]
    assert list(found.of("small", "image", "cosine", "t", 0)) == []
