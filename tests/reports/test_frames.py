"""Rows as frames of whichever library is installed."""

from __future__ import annotations

import importlib.util

import pytest
from report_rows import semantic_rows, smoothing_row

import hrvlm
from hrvlm.certificates.kinds.registry import record_from_row
from hrvlm.reports import frames

ROWS = [smoothing_row(index=0), smoothing_row(index=1, count=40), *semantic_rows(2)]


def test_a_pandas_frame_holds_what_rows_hold() -> None:
    pytest.importorskip("pandas")
    frame = hrvlm.to_frame([record_from_row(row) for row in ROWS])
    assert type(frame).__module__.startswith("pandas")
    assert frame["kind"].tolist() == ["smoothing", "smoothing", "semantic", "semantic"]
    assert frame["radius"].tolist()[:2] == [row["radius"] for row in ROWS[:2]]
    assert [list(map(list, part)) for part in frame["intervals"][2:]] == [
        list(map(list, row["intervals"])) for row in ROWS[2:]
    ]
    assert frame["intervals"][:2].isna().all()


def test_a_polars_frame_has_structures_where_lists_hold_unlike_values() -> None:
    polars = pytest.importorskip("polars")
    frame = frames.to_frame(ROWS, "polars")
    assert frame["index"].dtype == polars.Int64
    assert frame["radius"].to_list() == [row.get("radius") for row in ROWS]
    assert frame["stable"].dtype == polars.List(polars.List(polars.Float64))
    begin, end, label = (frame["intervals"].list.first().struct.field(str(place)).to_list() for place in range(3))
    assert [begin[2], end[2], label[2]] == list(ROWS[2]["intervals"][0])
    assert type(label[2]) is int


def test_a_polars_frame_holds_claims_of_groups() -> None:
    pytest.importorskip("polars")
    claims = [
        ["alone", None, 0.1, "marginal", "weights", 0.0, 0.2],
        ["group", ["t", 1, 3], 0.1, "0.95", "margin", 1.0, None],
    ]
    row = semantic_rows(1)[0] | {"calibrated": claims, "calibrated_extents": [0.1, 0], "calibrated_shares": [0.5, 0]}
    frame = frames.to_frame([*ROWS, record_from_row(row | {"calibration": "c", "population": "p"})], "polars")
    assert frame["calibrated_extents"].to_list()[-1] == [0.1, 0.0]
    alone, grouped = frame["calibrated"].to_list()[-1]
    assert [*alone.values()] == claims[0]
    assert [*grouped.pop("1").values()] == claims[1].pop(1)
    assert [*grouped.values()] == claims[1]


def test_the_one_that_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars")
    there = importlib.util.find_spec
    monkeypatch.setattr(frames, "find_spec", lambda name: None if name == "pandas" else there(name))
    assert type(frames.to_frame(ROWS)).__module__.startswith("polars")


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (
            None,
            r'expected pandas or polars .* got none: pip install "hrvlm\[pandas\]" or pip install "hrvlm\[polars\]"$',
        ),
        ("polars", r'expected polars for a frame, got none: pip install "hrvlm\[polars\]"$'),
        ("arrow", "expected library pandas or polars, got 'arrow'"),
    ],
)
def test_a_missing_library_is_told_in_a_line(
    library: frames.Library | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=said):
        frames.to_frame(ROWS, library)


def test_no_rows_make_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_module", lambda library: None)
    with pytest.raises(ValueError, match="expected rows for a frame, got none"):
        frames.to_frame([])
