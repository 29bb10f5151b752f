"""Exports lose nothing: rows come back from Parquet as they were, and Cohen's columns from tab-separated files."""

from __future__ import annotations

import builtins
import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from report_rows import all_rows, smoothing_row

from hrvlm.cli.results import write_export
from hrvlm.reports.exporting import read_parquet, read_tsv, to_tsv, write_parquet


def test_rows_of_every_kind_come_back_from_parquet(tmp_path: Path) -> None:
    rows = all_rows()
    paths = write_parquet(rows, tmp_path)
    assert [path.name for path in paths] == sorted({f"{row['kind']}.parquet" for row in rows})
    assert len(paths) == 4
    back = [row for path in paths for row in read_parquet(path)]
    assert back == sorted(rows, key=lambda row: row["kind"])  # stable: the order within a kind is kept
    assert [list(row) for row in back] == [list(row) for row in sorted(rows, key=lambda row: row["kind"])]
    assert all(type(a) is type(b) for x, y in zip(back, sorted(rows, key=lambda row: row["kind"]), strict=True)
               for a, b in zip(x.values(), y.values(), strict=True))  # fmt: skip


def test_an_export_says_where_a_row_is_that_it_cannot_read(tmp_path: Path) -> None:
    rows = [smoothing_row(index=0), smoothing_row(index=1) | {"sigma": -1.0}]
    path = tmp_path / "certificates.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=f"line 2 of {path}: expected sigma as float > 0.0, got -1.0"):
        write_export(tmp_path, "parquet")


def test_other_readers_find_the_types_of_the_fields(tmp_path: Path) -> None:
    write_parquet([smoothing_row(index=i, votes=None) for i in range(3)], tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "smoothing.parquet")
    assert table["index"].to_pylist() == [0, 1, 2]
    types = {name: str(table.schema.field(name).type) for name in ("radius", "correct", "votes", "tree")}
    assert types == {"radius": "double", "correct": "bool", "votes": "int64", "tree": "string"}


def test_tables_hold_the_columns_of_cohen_and_abstentions_count_for_nothing() -> None:
    sure, unsure = smoothing_row(index=3, count=99), smoothing_row(index=1, count=40)
    assert unsure["abstain"]
    assert unsure["correct"]
    texts = to_tsv([sure, unsure, smoothing_row(index=0, level=1)])
    assert sorted(texts) == ["smoothing.t.0.tsv", "smoothing.t.1.tsv"]
    found = read_tsv(texts["smoothing.t.0.tsv"])
    assert [line["idx"] for line in found] == [1, 3]
    assert found[0] | {"time": ""} == {
        "idx": 1, "label": unsure["label"], "predict": -1, "radius": 0.0, "correct": False, "time": "",
    }  # fmt: skip
    assert (found[1]["label"], found[1]["predict"]) == (sure["label"], sure["prediction"])
    assert found[1]["radius"] == sure["radius"]  # to the last digit
    assert found[1]["correct"] is sure["correct"]


def test_a_table_is_read_as_cohen_s_program_reads_it(tmp_path: Path) -> None:
    rows = [smoothing_row(index=i, count=count) for i, count in enumerate([99, 98, 40, 90])]
    path = tmp_path / "table.tsv"
    path.write_text(to_tsv(rows)["smoothing.t.0.tsv"], encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    certified = [bool(int(line["correct"])) and float(line["radius"]) >= rows[1]["radius"] for line in table]
    assert certified == [True, True, False, False]


def test_other_tables_and_rows_without_smoothing_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the columns idx"):
        read_tsv("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match="expected smoothing rows"):
        to_tsv([row for row in all_rows() if row["kind"] == "semantic"])


def test_missing_pyarrow_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments, **options):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'")
        return real(name, *arguments, **options)

    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r'pip install "hrvlm\[parquet\]"'):
        write_parquet(all_rows(), tmp_path)
