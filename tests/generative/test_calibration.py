from __future__ import annotations

import json
import random

import pytest

from hrvlm.evaluation.answer_options import Calibration, read_references, reference_digest
from hrvlm.evaluation.answers import _described
from hrvlm.generative.oracles import (
    ERROR_MODELS,
    CalibrationPair,
    CommandOracle,
    calibration_counts,
    read_calibration,
)
from hrvlm.trees.bounded_text import MAX_BYTES

ORACLE = CommandOracle(["follow", "greet"])
CLASSES = ORACLE.classes
GOOD = '{"answer": "follow the fox", "label": "follow"}'


def test_a_file_is_read_as_written(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{GOOD}\n{{"answer": "\\u2028 wait\\n", "label": "no action", "index": 17}}\n', encoding="utf-8")
    assert read_calibration(path, CLASSES) == [
        CalibrationPair("follow the fox", "follow"),
        CalibrationPair("\u2028 wait\n", "no action", 17),
    ]
    raw = {"answer": "a\u2028b\u0085c", "label": "follow"}  # characters that some readers take for line ends
    path.write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    assert read_calibration(path) == [CalibrationPair("a\u2028b\u0085c", "follow")]
    path.write_text(f"{GOOD}\n", encoding="utf-8-sig")  # editors that put a mark at the start
    assert read_calibration(path) == [CalibrationPair("follow the fox", "follow")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "line 2"),
        ("{", "line 2"),
        ('{"answer": "a", "label"', "line 2"),
        ("[1, 2]", "one JSON object in .*line 2, got list"),
        ("[" * 100_000, "line 2"),
        ('{"answer": "a", "label": "follow", "note": 1}', r"line 2; unknown \['note'\]"),
        ('{"answer": "a"}', r"lacking \['label'\]"),
        ('{"answer": "a", "answer": "b", "label": "follow"}', "given twice"),
        ('{"answer": 3, "label": "follow"}', "as texts in .*line 2"),
        ('{"answer": "a", "label": null}', "as texts in .*line 2"),
        ('{"answer": "a", "label": "Follow"}', "expected label out of .*line 2, got 'Follow'"),
        ('{"answer": "a", "label": "follow", "index": -1}', "index as a whole number.*line 2"),
        ('{"answer": "a", "label": "follow", "index": true}', "index as a whole number.*line 2"),
        ('{"answer": "a", "label": "follow", "index": null}', "index as a whole number.*line 2"),
        ('{"answer": "a", "label": "follow", "index": 1.0}', "index as a whole number.*line 2"),
    ],
)
def test_a_line_that_is_not_understood_is_an_error(tmp_path, line, message):
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_calibration(path, CLASSES)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="calibration file"):
        read_calibration(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match="empty file"):
        read_calibration(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"answer": "\xe9", "label": "follow"}')
    with pytest.raises(ValueError, match="UTF-8"):
        read_calibration(tmp_path / "latin.jsonl")


def test_answers_without_an_end_are_refused(tmp_path):
    """Neither read as a whole nor taken into a digest: a file may be larger than the memory."""
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"expected a calibration file .*large\.jsonl is larger"):
        read_calibration(path)
    with pytest.raises(ValueError, match=r"expected readable true answers .*large\.jsonl is larger"):
        read_references(str(path), ["ant"], "What is it?")
    with pytest.raises(ValueError, match=r"large\.jsonl is larger"):
        reference_digest(str(path))
    with pytest.raises(ValueError, match=r"large\.jsonl is larger"):
        _described(Calibration(file=str(path), model="conditional", scope="homogeneous"))


def labelled(*pairs: tuple[str, str]) -> list[CalibrationPair]:
    said = {"follow": "follow it", "greet": "greet it", "no action": "wait", "unparseable": "hm"}
    return [CalibrationPair(said[used], ideal) for used, ideal in pairs]


def test_counts_by_hand():
    pairs = labelled(
        ("follow", "follow"), ("follow", "follow"), ("follow", "greet"), ("greet", "follow"), ("greet", "no action"),
        ("no action", "no action"), ("unparseable", "follow"),
    )  # fmt: skip
    expected = {
        "overall": ((4, 4, 4, 4), (7, 7, 7, 7)),
        "false positive": ((1, 2, 0, 1), (7, 7, 7, 7)),
        "conditional": ((1, 2, 0, 1), (3, 6, 5, 7)),
        "audit": ((1, 2, 0, 1), (3, 2, 1, 1)),
    }
    for model, (errors, trials) in expected.items():
        counts = calibration_counts(ORACLE, pairs, model)
        assert (counts.errors, counts.trials) == (errors, trials)
        assert counts.of("greet") == (errors[1], trials[1])
    with pytest.raises(ValueError, match="expected a class"):
        counts.of("sing")


@pytest.mark.parametrize("model", ERROR_MODELS)
def test_rates_give_the_ideal_share_its_bound(model):
    """With the empirical law as the truth, each error model's bound holds for the share p of ideal labels."""
    source = random.Random(1)
    for _ in range(200):
        drawn = [(source.choice(CLASSES[: source.randrange(1, 5)]), source.choice(CLASSES)) for _ in range(12)]
        counts = calibration_counts(ORACLE, labelled(*drawn), model)
        for name in CLASSES:
            p = sum(ideal == name for _, ideal in drawn) / len(drawn)
            q = sum(used == name for used, _ in drawn) / len(drawn)
            errors, trials = counts.of(name)
            rate = errors / trials if trials else 0.0
            bound = {"overall": q - rate, "false positive": q - rate, "audit": q * (1 - rate)}.get(model)
            if model == "conditional":
                bound = (q - rate) / (1 - rate) if rate < 1 else 0.0
            assert p >= bound - 1e-12


def test_wrong_requests():
    with pytest.raises(ValueError, match="model as one of overall, false positive, conditional, audit"):
        calibration_counts(ORACLE, labelled(("follow", "follow")), "O5")
    with pytest.raises(ValueError, match="no pairs"):
        calibration_counts(ORACLE, [], "overall")
    with pytest.raises(ValueError, match="'sing'"):
        calibration_counts(ORACLE, [CalibrationPair("follow", "sing")], "overall")
