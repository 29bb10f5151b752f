"""Semantic rows follow from the scores that they hold; altered ones are caught, and real ones never are."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import pytest
import torch
from semantic_problems import CURV, Problem, random_problem
from sweeps import sweep

from hrvlm.certificates import (
    AffineScorer,
    SemanticRecord,
    coverage_sweep,
    image_extent,
    record_from_row,
    semantic_evidence,
    semantic_partition,
    verify_rows,
)
from hrvlm.reports.exporting import read_parquet, write_parquet

DELTAS = (0.0, 0.02, 0.2, 2.0)
FIELDS = {
    "tree": "t", "level": 0, "level_name": "leaf", "scorer": "cosine", "attribute": "size",
    "source_prompt": "a fox", "target_prompt": "a big fox",
}  # fmt: skip


def records(scorer, features, source, target, *, deltas=DELTAS, **options):
    given = (scorer, features, source, target)
    partition = semantic_partition(*given, **options)
    evidence = semantic_evidence(*given, partition, deltas=deltas, **options)
    return [
        SemanticRecord.of_partition(partition, i, label=3, index=i, **FIELDS, **fields)
        for i, fields in enumerate(evidence)
    ]


def of_problem(problem: Problem, **options):
    return records(problem.scorer, *problem.arguments, **options)


def rows_of(found):
    return [json.loads(json.dumps(record.to_row())) for record in found]


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize(
    ("num_classes", "dimension"), sweep([(1, 3), (2, 2), (5, 3), (40, 4), (300, 16)], quick=[(1, 3), (5, 3)])
)
def test_real_rows_are_never_reported(kind, num_classes, dimension):
    for seed in range(2):
        problem = random_problem(kind, num_classes, dimension, 25, seed)
        shown = image_extent(torch.from_numpy(problem.images).roll(1, 0), *problem.arguments[1:])
        for options in ({}, {"target_extent": shown}, {"target_extent": -1.0}):
            rows = rows_of(of_problem(problem, **options))
            assert all(row["waves"] and row["plane"] for row in rows)
            assert verify_rows(rows) == []


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_edge_cases_are_never_reported(kind):
    problem = random_problem(kind, 6, 4, 12, 5)
    features, source, target = problem.arguments
    points = torch.from_numpy(problem.classes)
    duplicates = torch.cat([points, points[:3]])
    norm = features.norm(dim=1)
    duplicate = AffineScorer.cosine(duplicates) if kind == "cosine" else AffineScorer.poincare(duplicates, norm, CURV)
    outside = torch.linalg.qr(torch.stack([source, target], 1), mode="complete").Q[:, 2:]
    flat = (features @ outside) @ outside.T
    start = semantic_partition(problem.scorer, features, source, target).start
    for given, options in [
        ((duplicate, features, source, target), {}),
        ((problem.scorer, flat * norm[:, None] / flat.norm(dim=1, keepdim=True), source, target), {}),
        ((problem.scorer, features, source, target), {"target_extent": start}),
        ((problem.scorer, features, source, target), {"target_extent": start + math.pi}),
        ((problem.scorer, features, source, target), {"target_extent": start + 1e-13}),
        ((problem.scorer, features, source, source), {}),
    ]:
        made = records(*given, **options)
        assert verify_rows(rows_of(made)) == []
        assert all(record.waves for record in made) or given[3] is source
    found = records(duplicate, features, source, target)
    assert {record.smallest_margin == 0 for record in found} == {True, False}
    assert all((dict(record.stable)[0.0] == 0) == (record.prediction < 3) for record in found if record.invariance == 1)


def test_ties_at_the_image_are_never_reported():
    eye = torch.eye(4, dtype=torch.float64)
    texts = torch.nn.functional.normalize(torch.stack([eye[0] + eye[2], eye[0] + eye[1] + eye[2], eye[1]]), dim=1)
    image = torch.nn.functional.normalize(eye[0] + 0.3 * eye[2], dim=0)
    # The second class is scaled so that it ties with the first at the image, and overtakes at once.
    scorer = AffineScorer(texts * torch.tensor([[1.0], [float((texts[0] @ image) / (texts[1] @ image))], [1.0]]),
                          torch.zeros(3))  # fmt: skip
    [record] = records(scorer, image[None], eye[0], eye[1])
    assert verify_rows(rows_of([record])) == []
    assert record.intervals[0][2] == 1


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_stable_coverage_of_rows_is_the_swept_one(kind):
    problem = random_problem(kind, 30, 5, 40, 8)
    swept = coverage_sweep(problem.scorer, *problem.arguments, list(DELTAS))
    for i, record in enumerate(of_problem(problem)):
        assert [share for _, share in record.stable] == pytest.approx(swept[:, i].tolist())
    assert len({round(float(share), 3) for share in swept[1:3].flatten()}) > 10


def with_intervals(row, pieces):
    """Other intervals and the invariant share that follows from them."""
    same = sum(abs(y - x) for x, y, label in pieces if label == row["prediction"])
    return {"intervals": pieces, "invariance": same / abs(row["stop"] - row["start"])}


def changed(row):
    """Altered rows that claim more, or something else, and the field that tells."""
    (a, b, k), (_, c, j), *rest = row["intervals"]
    other = next(label for label, *_ in row["waves"] if label not in (k, j))
    whole = row["stop"] - row["start"]

    def shares(pieces):
        return with_intervals(row, pieces)

    shift = 1e-4 * (c - b)
    yield shares([[a, b + shift, k], [b + shift, c, j], *rest]), "intervals"
    yield shares([[a, b - shift, k], [b - shift, c, j], *rest]), "intervals"
    yield shares([[a, c, k], *rest]), "intervals"
    yield shares([[a, b, k], [b, c, other], *rest]), "intervals"
    yield shares([[a, b, k], [b, c, 10_000], *rest]), "waves"
    yield shares([[a, b, k], [b, c, k], *rest]), "intervals"
    yield shares([[a, row["stop"], k]]), "intervals"
    yield {"prediction": j, "label": j, "correct": True}, "prediction"
    yield {"invariance": row["invariance"] + 1e-6}, "invariance"
    yield {"start": a + 0.01, "intervals": [[a + 0.01, b, k], [b, c, j], *rest]}, "start"
    ended = [list(piece) for piece in row["intervals"]]
    ended[-1][1] += 0.01 * whole
    yield {"stop": ended[-1][1], "intervals": ended}, "stop"
    yield {"smallest_margin": row["smallest_margin"] * 1.01 + 1e-6}, "smallest_margin"
    yield {"smallest_margin": None}, "smallest_margin"
    yield {"waves": [wave for wave in row["waves"] if wave[0] != row["prediction"]]}, "waves"
    yield {"plane": None}, "waves"
    yield {"plane": [row["plane"][0] + 0.01, *row["plane"][1:]]}, "start"
    (delta, share), *others = sorted(row["stable"], key=lambda pair: abs(pair[1] - 0.5))
    yield {"stable": [[delta, share + 1e-3]]}, "stable"
    yield {"stable": [[delta * 1.1 + 0.001, share], *others]}, "stable"
    yield {"distances": []}, "stable"
    for place, (k, j, delta) in enumerate(row["largest_deltas"]):
        others = row["largest_deltas"][:place] + row["largest_deltas"][place + 1 :]
        yield {"largest_deltas": [*others, [k, j, delta + 1e-6]]}, "largest_deltas"
        yield {"largest_deltas": others}, "largest_deltas"
        yield {"distances": [pair for pair in row["distances"] if pair[:2] != [k, j]]}, "largest_deltas"
    yield {"distances": [[x, y, d / 1.1] for x, y, d in row["distances"]]}, "stable"


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_altered_rows_are_caught(kind):
    rows = rows_of(of_problem(random_problem(kind, 25, 3, 200, 3)))
    changing = [row for row in rows if len(row["intervals"]) > 2 and min(map(length, row["intervals"])) > 0.02][:6]
    assert len(changing) == 6
    for row in changing:
        assert 0.01 < min(abs(share - 0.5) for _, share in row["stable"]) + 0.5 < 0.99
        for changes, field in changed(row):
            found = {problem.field for problem in verify_rows([row | changes])}
            assert field in found, (changes, found)


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_a_class_that_does_not_win_its_interval_is_caught_by_the_scores_alone(kind):
    """An end is moved, in a row that states neither a margin of these classes nor any stable coverage."""
    alone = 0
    for row in rows_of(of_problem(random_problem(kind, 25, 3, 60, 3), deltas=())):
        pieces = row["intervals"]
        for place, ((a, b, k), (_, c, j)) in enumerate(itertools.pairwise(pieces)):
            moved = b + 0.01 * (c - b)
            forged = row | with_intervals(row, [*pieces[:place], [a, moved, k], [moved, c, j], *pieces[place + 2 :]])
            found = {(problem.field, problem.claims_too_much) for problem in verify_rows([forged])}
            assert ("intervals", True) in found
            alone += found == {("intervals", True)}
    assert alone > 5


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_no_delta_can_be_raised_beyond_what_all_of_a_range_is_stable_for(kind):
    problem = random_problem(kind, 12, 6, 60, 7)
    found = [record for record in of_problem(problem, deltas=(1e-9,)) if dict(record.stable)[1e-9] == 1]
    assert len(found) > 5
    for record in found:
        [(winner, _, delta)] = record.largest_deltas
        assert winner == record.prediction
        row = record.to_row()
        assert verify_rows([row | {"stable": [[0.99 * delta, 1.0]]}]) == []
        for raised in (1.01 * delta + 1e-4, 1.0, 1000.0, 1e308):
            findings = verify_rows([row | {"stable": [[raised, 1.0]]}])
            assert {(problem.field, problem.claims_too_much) for problem in findings} == {("stable", True)}, raised
        assert verify_rows([row | {"stable": [[1000.0, 1.0]], "largest_deltas": [], "distances": []}])
        # The largest delta is the largest: beyond it a little of the range is lost.
        given = (problem.scorer, *problem.arguments, [0.999 * delta, 1.001 * delta + 1e-9])
        within, beyond = coverage_sweep(*given)[:, record.index].tolist()
        assert within == 1
        assert beyond < 1


def test_deltas_out_of_range_or_given_twice_are_reported():
    row = of_problem(random_problem("cosine", 1, 4, 1, 2), deltas=(0.1,))[0].to_row()
    assert verify_rows([row]) == []  # a single class is stable at any delta
    assert row["largest_deltas"] == []
    for stable in ([[-0.1, 1.0]], [[1001.0, 1.0]], [[0.1, 1.0], [0.1, 1.0]]):
        assert {problem.field for problem in verify_rows([row | {"stable": stable}])} == {"stable"}


def length(piece):
    return abs(piece[1] - piece[0])


def test_a_longer_range_than_the_classes_allow_is_caught():
    """One interval to an end of its own making: start, stop, interval and share agree, the target's angle does not."""
    rows = rows_of(of_problem(random_problem("cosine", 3, 4, 60, 4)))
    row = next(row for row in rows if len(row["intervals"]) == 1 and abs(row["stop"] - row["start"]) < 2)
    stop = row["stop"] + 0.5 * math.copysign(1, row["stop"] - row["start"])
    forged = row | {"stop": stop, "intervals": [[row["start"], stop, row["prediction"]]]}
    assert "stop" in {problem.field for problem in verify_rows([forged])}


def test_rows_from_before_scores_were_kept_are_read_and_checked_as_before():
    row = rows_of(of_problem(random_problem("cosine", 25, 3, 40, 3), deltas=()))[0]
    old = {name: value for name, value in row.items() if name not in SemanticRecord.added}
    record = record_from_row(old)
    assert (record.plane, record.waves, record.distances, record.largest_deltas) == (None, (), (), None)
    assert verify_rows([old]) == []
    assert verify_rows([old | {"invariance": 1.01}])
    assert verify_rows([old | {"stop": old["stop"] + 0.1}])


def test_rows_come_back_from_json_and_parquet(tmp_path):
    problem = random_problem("poincare", 12, 4, 5, 1)
    found = [*of_problem(problem), dataclasses.replace(of_problem(problem, deltas=())[0], index=9, plane=None)]
    assert [record_from_row(row) for row in rows_of(found)] == found
    pytest.importorskip("pyarrow")
    [path] = write_parquet(rows_of(found), tmp_path)
    assert [record_from_row(row) for row in read_parquet(path)] == found
