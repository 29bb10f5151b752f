"""Rows under oracles: what they hold, what they claim, and that nothing in them can be altered unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from oracle_examples import ERRORS, TASK, counted, made
from rich.console import Console
from scipy.stats import beta, norm
from test_altered_rows import raised, unchecked

from hrvlm.certificates import (
    OracleError,
    OracleRecord,
    OracleTask,
    RecordWriter,
    audited_records,
    corrected_records,
    merge_rows,
    oracle_records,
    record_from_row,
    summarise,
    verify_rows,
)
from hrvlm.certificates.kinds.oracle.claim import MEANINGLESS, TOO_WRONG
from hrvlm.certificates.kinds.oracle.report import REPORT
from hrvlm.certificates.kinds.oracle.summary import summarise_oracles
from hrvlm.reports.certificates import guarantees
from hrvlm.reports.exporting import read_parquet, write_parquet
from hrvlm.reports.html import render_report

GIVEN, ESTIMATED = ERRORS["given overall"], ERRORS["estimated overall"]


@pytest.mark.parametrize("error", [None, *ERRORS.values()], ids=["none", *ERRORS])
def test_rows_are_sound_and_come_back_as_they_were(error):
    records = made(error)
    assert [record.claim for record in records] == ["composite", "semantic"][: len(records)]
    rows = [json.loads(json.dumps(record.to_row())) for record in records]
    assert [record_from_row(row) for row in rows] == records
    assert verify_rows(rows) == []
    assert not any(record.abstain for record in records)


def test_claims_follow_from_beta_quantiles():
    composite, semantic = made(ESTIMATED)
    lower, upper = beta.ppf(0.005, 95, 6), beta.isf(0.005, 2, 299)
    assert composite.alpha_share == semantic.alpha_share == composite.alpha_calibration == 0.005
    assert composite.lower == composite.lower_oracle == semantic.lower_oracle == pytest.approx(lower)
    assert semantic.rate_upper == pytest.approx(upper)
    assert semantic.lower == pytest.approx(lower - upper)
    assert semantic.radius == pytest.approx(0.25 * norm.ppf(lower - upper))
    assert composite.radius == pytest.approx(0.25 * norm.ppf(lower))
    assert composite.radius > semantic.radius
    # A rate that is given takes nothing of alpha.
    assert {(record.alpha_share, record.alpha_calibration) for record in made(GIVEN)} == {(0.01, 0.0)}


def test_the_two_claims_are_never_mixed():
    composite, semantic = made(GIVEN)
    told = ("error_model", "rate", "errors", "trials", "rate_upper", "scope", "gamma", "assumed")
    assert all(getattr(composite, name) is None for name in told)
    assert composite.key != semantic.key
    assert "whether or not the oracle is right" in composite.statement
    assert "ideal oracle" in semantic.statement
    assert "assumed to hold at this very image" in semantic.statement
    assert "no single generation is certified" in composite.statement
    greedy = replace(composite, temperature=0.0)
    assert "over noise and decoding" not in greedy.statement
    assert len(composite.answer) == 200


def test_a_population_is_not_about_its_image():
    semantic = made(ERRORS["population"])[1]
    assert not semantic.per_input
    assert "nobody can tell of one image" in semantic.statement
    assert "once for the whole report" in semantic.statement
    assert made(GIVEN)[1].per_input


@pytest.mark.parametrize(
    ("names", "spent"),
    [
        (["population"], ["for the whole report"]),
        (["false positives of a population"], ["for each certified class"]),
        (["estimated conditional"], ["for each certified class"]),
        (["estimated conditional", "population"], ["for each certified class", "for the whole report"]),
        (["estimated overall", "population, given"], []),
    ],
)
def test_words_say_how_often_the_alpha_of_a_calibration_is_spent(names: list[str], spent: list[str]):
    """A bound for all classes is one; one for each predicted class is as many as there are classes."""
    positives = OracleError(model="false positive", errors=1, trials=1000, scope="population", gamma=0.2)
    errors = ERRORS | {"false positives of a population": positives}
    rows = [record for i, name in enumerate(names) for record in made(errors[name], index=i, count=97)]
    ((_, sentences),) = guarantees(rows)
    told = [sentence for sentence in sentences if "alpha is spent once" in sentence]
    assert len(told) == len(spent)
    for sentence, words in zip(told, spent, strict=True):
        assert f"spent once {words}" in sentence
    said = [row.statement for row in rows if row.claim == "semantic"]
    assert ["(spent once " in statement for statement in said] == [bool(spent)] * len(names)
    for statement, words in zip(said, spent, strict=False):
        assert f"(spent once {words}" in statement


def test_unparseable_is_a_class_that_only_the_composite_claim_is_about():
    composite, semantic = made(GIVEN, prediction=3, unparseable=96)
    assert composite.class_name == "unparseable"
    assert not composite.abstain
    assert semantic.abstain
    assert semantic.reason == MEANINGLESS
    assert verify_rows([composite.to_row(), semantic.to_row()]) == []
    false = semantic.to_row() | {"abstain": False, "reason": None, "radius": composite.radius, "lower": composite.lower}
    assert {problem.field for problem in verify_rows([false]) if problem.claims_too_much} >= {"radius", "abstain"}


def test_abstentions_say_why():
    composite, semantic = made(OracleError(model="overall", rate=0.45))
    assert not composite.abstain
    assert (semantic.abstain, semantic.reason, semantic.radius) == (True, TOO_WRONG, 0.0)
    assert "abstains" in semantic.statement
    none, nothing = made(GIVEN, prediction=-1, count=0, selection_count=0, unparseable=100)
    assert none.abstain
    assert none.class_name is None
    assert nothing.reason == none.reason == "no selection sample had a valid label"
    given_up = made(GIVEN, n=0, count=0, unparseable=0)
    assert {record.reason for record in given_up} == {"given up after the selection samples"}
    unsure = made(GIVEN, count=50)
    assert all("not above 1/2" in record.reason for record in unsure)
    for rows in ([composite, semantic], [none, nothing], given_up, unsure):
        assert verify_rows([record.to_row() for record in rows]) == []


def test_thresholds_other_methods_and_unknown_labels():
    same = {"split": "the same samples select and estimate, at half alpha", "n0": 0, "selection_count": 0}
    for changes in ({"threshold": 0.6}, {"threshold": 0.2}, {"method": "anytime"}, {"label": -1}, {"seed": 7}, same):
        rows = [record.to_row() for record in made(ESTIMATED, **changes)]
        assert verify_rows(rows) == [], changes
        assert all(not row["abstain"] for row in rows)
    assert not made(label=-1, prediction=-1, count=0)[0].correct
    assert "above 0.2" in made(threshold=0.2)[0].statement
    with pytest.raises(ValueError, match="expected a method among"):
        made(method="two bounds", runner_up=2, upper=0.1)


def test_an_audit_needs_no_model():
    composite = made()[0]
    again, semantic = audited_records(composite, wrong=1, labelled=80)
    assert (again.alpha_share, again.alpha_calibration) == (0.005, 0.005)
    assert semantic.lower == pytest.approx(beta.ppf(0.005, 95, 6) * (1 - beta.isf(0.005, 2, 79)))
    assert semantic.error_model == "audit"
    assert semantic.scope == "image"
    assert verify_rows([again.to_row(), semantic.to_row()]) == []
    assert [again, semantic] == made(ERRORS["audited"])  # as if it had been known from the start
    assert corrected_records(again, None) == [composite]
    with pytest.raises(ValueError, match="expected a composite row"):
        audited_records(semantic, wrong=0, labelled=80)
    with pytest.raises(ValueError, match="successes <= trials"):
        audited_records(composite, wrong=2, labelled=1)


def test_an_audited_row_beside_the_old_composite_row_exceeds_alpha():
    composite = made()[0]
    _, semantic = audited_records(composite, wrong=1, labelled=80)
    problems = verify_rows([composite.to_row(), semantic.to_row()])
    assert {problem.field for problem in problems} == {"alpha_share", "alpha_calibration"}
    assert problems[0].claims_too_much


def test_more_oracles_than_alpha_was_split_over_are_noticed():
    rows = [replace(made()[0], oracle=name).to_row() for name in ("action", "harm")]
    assert {problem.field for problem in verify_rows(rows)} == {"num_statements"}
    assert verify_rows(rows[:1]) == []
    assert any("one row for this statement" in problem.message for problem in verify_rows(rows[:1] * 2))


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_raised_numbers_are_noticed(error):
    rows = [record.to_row() for record in made(error)]
    free, missed = unchecked("oracle"), set()
    for place, row in enumerate(rows):
        for name in set(row) - free - {"kind", "schema"}:
            for _, changed in raised(row[name]):
                if not verify_rows([*rows[:place], row | {name: changed}, *rows[place + 1 :]]):
                    missed.add(name)
    assert missed == set()
    claims = {"lower", "lower_oracle", "radius", "alpha", "alpha_share", "alpha_calibration", "sigma", "count", "n"}
    assert not free & (claims | {"rate", "errors", "trials", "rate_upper", "gamma", "threshold", "num_statements"})


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (GIVEN, {"claim": "composite"}),
        (GIVEN, {"claim": "both"}),
        (GIVEN, {"scope": "homogeneous"}),
        (GIVEN, {"error_model": "false positive"}),
        (GIVEN, {"assumed": "nothing"}),
        (GIVEN, {"rate": 0.01}),
        (GIVEN, {"rate": 0.01, "rate_upper": 0.01}),
        (GIVEN, {"rate": None, "errors": 0, "trials": 1000}),
        (ESTIMATED, {"errors": 0}),
        (ESTIMATED, {"trials": 3000}),
        (ESTIMATED, {"alpha_calibration": 0.0}),
        (ESTIMATED, {"alpha_calibration": 0.0, "alpha_share": 0.01}),
        (ERRORS["given conditional"], {"scope": "image"}),
        (ERRORS["given audit"], {"error_model": "overall"}),
        (ERRORS["population"], {"scope": "image"}),
        (ERRORS["population"], {"scope": "image", "gamma": None}),
        (ERRORS["population"], {"gamma": None}),
        (GIVEN, {"class_name": None}),
        (GIVEN, {"class_name": "unparseable"}),
        (GIVEN, {"prediction": 3, "correct": False}),
        (GIVEN, {"answer": "long " * 100}),
        (GIVEN, {"method": "two bounds"}),
        (GIVEN, {"split": "none"}),
        (GIVEN, {"float_mode": "exact"}),
        (GIVEN, {"functions_chosen": "never"}),
        (GIVEN, {"abstain": True, "reason": "tired"}),
        (GIVEN, {"unparseable": 6}),
        (GIVEN, {"correct": False}),
        (GIVEN, {"alpha": 0.001}),
        (GIVEN, {"alpha": 0.02}),
        (GIVEN, {"temperature": -1.0}),
    ],
)
def test_altered_semantic_rows_are_noticed(error, changes):
    row = made(error)[1].to_row()
    assert verify_rows([row]) == []
    assert verify_rows([row | changes]) != []


def test_a_composite_row_cannot_become_semantic():
    row = made(GIVEN)[0].to_row()
    assert verify_rows([row | {"claim": "semantic"}])
    assert verify_rows([row | {"rate": 0.05}])
    assert verify_rows([row | {"assumed": GIVEN.assumed}])
    semantic = made(GIVEN)[1].to_row()
    other = semantic | {"count": 96}
    assert {problem.field for problem in verify_rows([row, other])} >= {"count", "lower_oracle"}


def test_summary_tables_and_words(tmp_path):
    groups = [made(ERRORS["population"], index=i, count=c) for i, c in enumerate([97, 95, 60, 10])]
    rows = [record.to_row() for group in groups for record in group]
    assert verify_rows(rows) == []
    found = summarise(rows, [0.0, 0.2])["oracle"]["action"]
    assert found["composite"]["certified_accuracy"] == {"0.0": 0.5, "0.2": 0.5}
    assert found["semantic"]["average_certified_radius"] < found["composite"]["average_certified_radius"]
    assert found["composite"]["abstention_rate"] == 0.5
    assert found["composite"]["unparseable_share"] == pytest.approx(0.03)
    assert (found["composite"]["rate_upper"], found["semantic"]["gamma"]) == (None, 0.2)
    mixed = [group[0] for group in groups[:1]] + [made(index=9)[0]]
    with pytest.raises(ValueError, match="expected one setting"):
        summarise_oracles(mixed, [0.0])
    out = StringIO()
    Console(file=out, width=200).print(REPORT.table({"action": found}))
    assert "all but 20% of a population" in out.getvalue()
    (heading, sentences), = guarantees([record for group in groups for record in group])  # fmt: skip
    assert heading == "Generative model with an oracle"
    text = " ".join(sentences)
    for words in ("Composite:", "Semantic:", "at least 80%", "spent once for the whole report", "no image alone"):
        assert words in text
    page = render_report(rows)
    assert "Generative model with an oracle" in page
    with RecordWriter(tmp_path / "rows.jsonl") as writer:
        writer.write(record for group in groups for record in group)
    assert len(merge_rows([tmp_path / "rows.jsonl"])) == len(rows)


def test_unknown_classes_are_told_apart_in_the_table():
    found = summarise([record.to_row() for record in made(GIVEN, label=-1)], [0.0])
    out = StringIO()
    Console(file=out, width=200).print(REPORT.table(found["oracle"]))
    assert "100.0*" in out.getvalue()


def test_rows_come_back_from_parquet(tmp_path: Path):
    rows = [record.to_row() for record in [*made(GIVEN), *made(ESTIMATED, index=1)]]
    (path,) = write_parquet(rows, tmp_path)
    assert read_parquet(path) == rows


def test_whole_numbers_of_a_configuration_become_floats():
    task = replace(TASK, decoding=dict(TASK.decoding) | {"temperature": 0, "top_p": 1})
    (record,) = oracle_records(counted(), task, unparseable=0)
    assert [type(value) for value in (record.temperature, record.top_p)] == [float, float]


def test_tasks_and_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the last one 'unparseable'"):
        replace(TASK, classes=("a", "b"))
    with pytest.raises(ValueError, match="expected distinct classes"):
        OracleTask(oracle="o", classes=("a", "a", "unparseable"), generator="g", prompt="p", decoding=TASK.decoding)
    with pytest.raises(ValueError, match="expected decoding with"):
        replace(TASK, decoding={"temperature": 0.0})
    with pytest.raises(ValueError, match="expected a prediction among 4 classes"):
        made(prediction=4)
    with pytest.raises(ValueError, match="expected unparseable between"):
        made(unparseable=101)
    with pytest.raises(ValueError, match="expected unparseable between"):
        made(unparseable=6)
    with pytest.raises(ValueError, match="unknown"):
        OracleRecord.from_row(made()[0].to_row() | {"more": 1})
