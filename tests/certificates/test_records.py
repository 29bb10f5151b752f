from __future__ import annotations

import dataclasses
import json
import logging
import math

import pytest
import torch
from example_records import semantics, smoothing
from semantic_problems import random_problem

from hrvlm.certificates import (
    RecordWriter,
    SemanticRecord,
    done_keys,
    merge_rows,
    read_rows,
    record_from_row,
    semantic_partition,
    smoothing_radius,
    summarise,
    torn_line,
)


def test_rows_round_trip_through_json():
    for record in (smoothing(), smoothing(count=10), *semantics()[0]):
        row = json.loads(json.dumps(record.to_row()))
        assert row == record.to_row()
        assert record_from_row(row) == record
        assert type(record).from_row(row) == record
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.index = 3


def test_semantic_record_says_what_the_partition_says():
    records, partition = semantics()
    for i, record in enumerate(records):
        assert record.intervals == tuple(partition.intervals(i))
        assert record.invariance == float(partition.invariance[i])
        assert record.correct == (int(partition.label[i]) == 3)
        assert f"from {record.start!r} to {record.stop!r} rad" in record.statement
    problem = random_problem("cosine", 1, 4, 1, seed=0)
    single = semantic_partition(problem.scorer, *problem.arguments)
    fields = {"tree": "t", "level": 0, "level_name": "", "scorer": "cosine", "attribute": "size"}
    fields |= {"source_prompt": "a", "target_prompt": "b"}
    assert SemanticRecord.of_partition(single, 0, label=0, index=0, **fields).smallest_margin is None
    features, source, _ = problem.arguments
    none = semantic_partition(problem.scorer, features, source, source)
    record = SemanticRecord.of_partition(none, 0, label=0, index=0, **fields)
    assert record.intervals == ()
    assert "nothing is certified (the prompts are parallel" in record.statement


def test_statements_in_words():
    text = smoothing().statement
    for part in ("SMOOTHED", "smoothed classifier", "class 1", repr(smoothing().radius), "at most 0.01", "float32"):
        assert part.lower() in text.lower()
    assert "abstains" in smoothing(count=10).statement


def test_rows_that_do_not_fit_are_errors():
    row = smoothing().to_row()
    for change, text in [
        ({"colour": 1}, "unknown \\['colour'\\]"),
        ({"kind": "semantic"}, "expected the keys"),
        ({"kind": "other"}, "expected a row of kind"),
        ({"schema": 2}, "schema 2"),
    ]:
        with pytest.raises(ValueError, match=text):
            record_from_row(row | change)
    with pytest.raises(ValueError, match="lack \\['sigma'\\]"):
        record_from_row({key: value for key, value in row.items() if key != "sigma"})
    with pytest.raises(ValueError, match="expected a finite radius"):
        smoothing(radius=math.nan).to_row()


def test_writer_appends_and_flushes_each_image(tmp_path):
    path = tmp_path / "new" / "rank0.jsonl"
    with RecordWriter(path) as writer:
        writer.write([smoothing(0, 0), smoothing(0, 1)])
        assert [row["level"] for row in read_rows(path)] == [0, 1]  # before closing
    with RecordWriter(path) as writer:
        assert writer.recovered is None
        writer.write([smoothing(1)])
    assert len(read_rows(path)) == 3
    assert done_keys(read_rows(path)) == {
        ("smoothing", 0, "Bäume", 0),
        ("smoothing", 0, "Bäume", 1),
        ("smoothing", 1, "Bäume", 0),
    }
    assert {record.key for record in semantics(2)[0]} == {
        ("semantic", i, "t", 0, "cosine", "size", "text") for i in (0, 1)
    }


@pytest.mark.parametrize("lost", [1, 5, 40, 200])
def test_a_torn_last_line_is_reported_and_cut_on_resume(tmp_path, caplog, lost):
    path = tmp_path / "rank0.jsonl"
    with RecordWriter(path) as writer:
        writer.write([smoothing(0), smoothing(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    with caplog.at_level(logging.WARNING):
        assert [row["index"] for row in read_rows(path)] == [0]
    assert "torn" in caplog.text
    torn = torn_line(path)
    assert torn == whole[whole.index(b"\n") + 1 : -lost]
    with RecordWriter(path) as writer:
        assert writer.recovered == torn
        writer.write([smoothing(1)])
    assert path.read_bytes() == whole
    assert torn_line(path) is None


def test_other_broken_lines_are_errors(tmp_path):
    path = tmp_path / "rows.jsonl"
    for text in ('{"a": 1}\n{"b": \n{"c": 3}\n', "[1]\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="expected a JSON object in line"):
            read_rows(path)


def test_merging_ranks(tmp_path):
    for rank in (0, 1):
        with RecordWriter(tmp_path / f"{rank}.jsonl") as writer:
            for index in range(4 + rank, 0, -2):
                writer.write([smoothing(index), semantics(6)[0][index]])
    paths = [tmp_path / "1.jsonl", tmp_path / "0.jsonl"]
    merged = merge_rows(paths)
    assert [(row["kind"], row["index"]) for row in merged] == [
        (k, i) for k in ("semantic", "smoothing") for i in range(1, 6)
    ]
    with pytest.raises(ValueError, match="expected one row per image and statement"):
        merge_rows([*paths, paths[0]])


def test_summary_by_hand():
    records = [
        smoothing(0, count=100),
        smoothing(1, count=90),
        smoothing(2, count=40),
        smoothing(3, count=100, label=2),
        smoothing(0, level=1, count=80),
    ]
    high, low = (smoothing_radius(count, 100, 0.005, 0.25) for count in (100, 90))
    middle = (high + low) / 2
    summary = summarise([r.to_row() for r in [*records, *semantics()[0]]], [0.0, low, middle, 9.0])
    leaf = summary["smoothing"]["Bäume"]["0"]
    assert leaf["certified_accuracy"] == {"0.0": 0.5, str(low): 0.5, str(middle): 0.25, "9.0": 0.0}
    assert leaf["average_certified_radius"] == pytest.approx((high + low) / 4)
    assert (leaf["abstention_rate"], leaf["smoothed_accuracy"], leaf["images"]) == (0.25, 0.75, 4)
    assert (leaf["sigma"], leaf["n"], leaf["alpha"]) == (0.25, 100, 0.01)
    assert summary["smoothing"]["Bäume"]["1"]["images"] == 1
    found, partition = semantics()
    size = summary["semantic"]["t"]["0"]["size"]["cosine"]["text"]
    assert size["mean_invariance"] == pytest.approx(float(partition.invariance.mean()))
    assert size["accuracy"] == sum(r.correct for r in found) / 8
    assert size["stable_coverage"] == {"0.0": 1.0, "0.1": 0.25}
    assert size["reasons"] == {}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert not any(summarise([], [0.0]).values())
    with pytest.raises(ValueError, match="expected one setting"):
        summarise([smoothing(0).to_row(), smoothing(1, seed=4).to_row()], [])
    with pytest.raises(ValueError, match="expected one row per image"):
        summarise([smoothing(0).to_row(), smoothing(0).to_row()], [])
    with pytest.raises(ValueError, match="expected radii"):
        summarise([], [-1.0])


def test_margin_of_the_record_is_finite_or_none():
    records, partition = semantics()
    torch.testing.assert_close(torch.tensor([r.smallest_margin for r in records]).double(), partition.smallest_margin)


def test_rows_say_where_other_epochs_met_the_same_noise():
    alone, shared = smoothing(), smoothing(noise_shared=True)
    assert "noise_shared" not in alone.to_row()  # rows of one model stay as they were
    assert shared.to_row()["noise_shared"] is True
    assert record_from_row(shared.to_row()) == shared
    assert record_from_row(alone.to_row()) == alone
    assert "alpha does not cover the choice of this one" in shared.statement
    assert "other epochs" not in alone.statement.lower()
