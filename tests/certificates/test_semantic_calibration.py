"""Calibrations of semantic claims: when pictures contradict them, files, rows that follow from them."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import structs
from semantic_problems import Problem, random_problem

from hrvlm.certificates import SemanticRecord, ThresholdScale, calibrated_extent, semantic_evidence, verify_rows
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.header import header_of
from hrvlm.certificates.kinds.registry import read_record
from hrvlm.certificates.kinds.semantic.calibrated_extent import FirstStretches
from hrvlm.certificates.kinds.semantic.calibrated_levels import Level
from hrvlm.certificates.kinds.semantic.calibrated_rows import Asked, AskedThresholds, calibrated_stretches
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedClaim, CalibratedStretch, claims_of
from hrvlm.certificates.kinds.semantic.calibrated_words import calibrated_words
from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions, _chosen, calibrate_claim, statements_of
from hrvlm.certificates.kinds.semantic.calibration import (
    CalibratedChange,
    Calibration,
    ThresholdRecord,
    read_calibration,
)
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange, violation_counts
from hrvlm.certificates.kinds.semantic.certify import along_rotation
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.certificates.kinds.semantic.verify_calibrated import calibrated_findings, raw_extent
from hrvlm.certificates.kinds.semantic.verify_calibrated_together import sound_stretches
from hrvlm.certificates.kinds.settings import NotedThreshold
from hrvlm.certificates.statistics.risk import smallest_valid
from hrvlm.rows.strict import RowError

SPEED = PathSpeed((0.0, 0.25, 0.5, 1.0), (0.0, 0.1, 0.1, 0.8))
CLAIM = ("cosine", "text", "size", "t", 0)
CHANGE = Attribute(name="size", source="a {}", target="a big {}")
FIELDS = {
    "tree": "t", "level": 0, "level_name": "leaf", "scorer": "cosine", "attribute": "size",
    "source_prompt": "a fox", "target_prompt": "a big fox",
}  # fmt: skip


def shown(problem: Problem, strength: float = 0.3, seed: int = 0) -> ShownChange:
    """Pictures at six steps of the rotation, which leave it at random."""
    features, source, target = problem.arguments
    rotation = Rotation.tolerant(features, source, target)
    partition = along_rotation(problem.scorer, rotation)
    shares = torch.linspace(0, 1, 7, dtype=torch.float64)[1:]
    path = rotation.point(rotation.angle + shares[:, None] * (partition.stop - partition.start)).transpose(0, 1)
    noise = torch.randn(path.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    pictures = path + strength * shares[:, None] * noise
    labels = torch.stack([problem.scorer.predict(pictures[:, t]) for t in range(6)], dim=1)
    given = (pictures, shares.expand(len(features), 6))
    return ShownChange.of(problem.scorer, features, (source, target), given, labels=labels)


def test_speeds_and_shares_go_back_and_forth() -> None:
    shares = torch.tensor([0.0, 0.1, 0.25, 0.4, 0.5, 0.9, 1.0], dtype=torch.float64)
    fractions = SPEED.fraction(shares)
    assert fractions.tolist() == pytest.approx([0, 0.04, 0.1, 0.1, 0.1, 0.66, 0.8])
    assert SPEED.share(fractions).tolist() == pytest.approx([0, 0.1, 0.5, 0.5, 0.5, 0.9, 1.0])  # the largest
    assert SPEED.share(torch.tensor([0.9, 1.0])).tolist() == [1.0, 1.0]
    assert SPEED.fraction(torch.tensor([math.inf])).tolist() == [math.inf]
    noted = NotedThreshold("alone", "cosine", "text", 0.1, "margin", 0.0, (SPEED.shares, SPEED.fractions), {})
    for fraction in np.linspace(0, 1, 21).tolist():
        assert noted.share(fraction) == pytest.approx(float(SPEED.share(torch.tensor([fraction]).double())))
    with pytest.raises(ValueError, match="expected shares that grow from 0"):
        PathSpeed((0.0, 1.0), (0.0, 1.2))


def test_speed_is_fitted_to_where_pictures_lie() -> None:
    found = shown(random_problem("cosine", 12, 6, 60, seed=1), strength=0.0).speed()
    assert found.fractions == pytest.approx(found.shares, abs=0.01)
    assert len(found.shares) == 7


@pytest.mark.parametrize(
    "scale", [ThresholdScale(), ThresholdScale("margin", 3.0), ThresholdScale("weights", -0.9)], ids=str
)
def test_a_claim_is_violated_by_a_picture_of_another_label_within_it(scale: ThresholdScale) -> None:
    problem = random_problem("cosine", 12, 6, 60, seed=2)
    change = shown(problem)
    critical = change.critical(scale, SPEED)
    assert 5 < int((critical > 0).sum()) < 55
    for place in (0, 150, 300, 400):
        extent = calibrated_extent(problem.scorer, *problem.arguments, THRESHOLDS[place], scale=scale)
        within = SPEED.fraction(change.shares) * change.way.abs()[:, None] <= extent[:, None]
        labels = torch.stack([problem.scorer.predict(change.pictures[:, t]) for t in range(6)], dim=1)
        wrong = (within & (labels != change.label[:, None])).any(dim=1) & (extent > 0)
        assert torch.equal(critical > place, wrong)
        assert torch.equal(change.violated(THRESHOLDS[place], scale, SPEED), wrong)
        assert violation_counts(critical)[place] == int(wrong.sum())
    assert change.share(1000.0, scale, SPEED).tolist() == [0.0] * 60


def calibration(problem: Problem, **options: object) -> Calibration:
    chosen = CalibrationOptions(**options)  # type: ignore[arg-type]
    parts = [shown(problem, seed=seed) for seed in range(2)]
    claims = {CLAIM: calibrate_claim(parts[0].speed(), *parts, chosen)}
    groups = {"cosine": parts[1].label % 2}
    return Calibration(
        population="foxes", weights="w", trees=({"name": "t"},), pictures={}, parts={},
        changes=(CalibratedChange(name="size", source="a {}", target="a big {}", target_kind="text"),),
        statements=tuple(statements_of(claims, groups, chosen)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def problem() -> Problem:
    return random_problem("cosine", 12, 6, 60, seed=3)


@pytest.fixture(scope="module")
def calibrated(problem: Problem) -> Calibration:
    return calibration(problem, groups="t/1", joint=("levels", "all"), epsilons=(0.1, 0.3))


def test_thresholds_follow_from_curves(calibrated: Calibration) -> None:
    overs = [statement.over for statement in calibrated.statements]
    assert {over: overs.count(over) for over in set(overs)} == {"alone": 2, "group": 4, "levels": 2, "all": 2}
    assert sum(s.images for s in calibrated.statements if s.over == "group") == 2 * 60
    for statement in calibrated.statements:
        counts = np.zeros(len(THRESHOLDS), int)
        for threshold, count in statement.curve:
            counts[THRESHOLDS.index(threshold) :] = count
        for form, threshold in statement.thresholds.items():
            confidence = None if form == "marginal" else float(form)
            place = smallest_valid(counts, statement.images, epsilon=statement.epsilon, confidence=confidence)
            assert threshold == (None if place is None else THRESHOLDS[place])
    shares = [s.claimed["marginal"] for s in calibrated.statements if s.over == "alone"]
    assert 0 < shares[0] < shares[1] < 1


def test_a_calibration_is_read_as_it_was_written(calibrated: Calibration, tmp_path) -> None:
    path = tmp_path / "calibration.json"
    calibrated.write(path)
    assert read_calibration(path) == calibrated
    assert read_calibration(path).digest == calibrated.digest
    given = json.loads(path.read_text())
    for wrong in (given | {"more": 1}, given | {"schema": 2}, given | {"statements": [{"over": "alone"}]}, []):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r"expected a calibration that certify\.py calibrate wrote at"):
            read_calibration(path)
    with pytest.raises(ValueError, match=r"expected a calibration that certify\.py calibrate wrote at"):
        read_calibration(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "other"}, "one of other weights: make one"),
        ({"trees": [{"name": "u"}]}, "one of other levels, trees or prompts of classes: make one"),
        ({"scorers": ["cosine", "poincare"]}, "one of other scorer 'poincare': make one"),
        ({"changes": [replace(CHANGE, target="a huge {}")]}, "one of other prompts or pictures of change 'size'"),
        ({"changes": [replace(CHANGE, name="hue")]}, "one of other prompts or pictures of change 'hue'"),
    ],
)
def test_a_calibration_of_something_else_is_refused_by_name(
    calibrated: Calibration, given: dict[str, object], words: str
) -> None:
    fitting = {"weights": "w", "trees": [{"name": "t"}], "scorers": ["cosine"], "changes": [CHANGE]}
    calibrated.check(**fitting)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=words):
        calibrated.check(**fitting | given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epsilons": (0.1, 0.1)}, "expected different epsilons"),
        ({"epsilons": (1.0,)}, r"expected epsilons in \(0, 1\)"),
        ({"confidence": 1 - 1e-9}, r"expected a confidence from 0\.0001 to 0\.999999, got 0\.999999999"),
        ({"joint": ("trees",)}, "expected joint of levels, changes or all, got 'trees'"),
        ({"fit_share": 0.6, "choice_share": 0.5}, "expected fit_share and choice_share below 1 together"),
    ],
)
def test_options_that_calibrate_nothing_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CalibrationOptions(**options)  # type: ignore[arg-type]


def test_pictures_without_finite_scores_are_of_no_group(problem: Problem, tmp_path) -> None:
    chosen = CalibrationOptions(epsilons=(0.3,), groups="t/1")
    parts = [shown(problem, seed=seed) for seed in range(2)]
    claims = {CLAIM: calibrate_claim(parts[0].speed(), *parts, chosen)}
    labels = torch.where(torch.arange(60) < 5, -1, torch.arange(60) % 2)
    found = list(statements_of(claims, {"cosine": labels}, chosen))
    assert [s.group for s in found] == [None, ("t", 1, 0), ("t", 1, 1)]
    assert sum(s.images for s in found[1:]) == 55


def test_a_picture_at_the_very_end_of_a_change_lies_on_its_whole_stretch() -> None:
    problem = random_problem("cosine", 12, 5, 40, seed=5)
    rotation = Rotation.tolerant(*problem.arguments)
    stretches = FirstStretches(problem.scorer, rotation, along_rotation(problem.scorer, rotation))
    end = stretches.whole.nextafter(torch.tensor(9.0, dtype=torch.float64))
    beyond = stretches.keeps(torch.zeros(40, dtype=torch.float64), end, ThresholdScale())
    clear = stretches.reach(0.01, ThresholdScale())[0] == stretches.whole  # no class that it changes to
    assert int(clear.sum()) > 5
    assert bool(beyond[clear].all())


def test_the_simplest_measure_that_claims_nearly_the_most_is_chosen() -> None:
    usual, other = ((ThresholdScale(unit), SPEED) for unit in ("weights", "margin"))
    claimed = torch.linspace(0.2, 0.8, 40, dtype=torch.float64)
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(20)
    # 40 images that differ by 0.3 either way: a standard error of 0.047, and half of that is 0.024.
    for ahead, best in ((0.02, usual), (0.03, other), (-0.1, usual)):
        assert _chosen([(usual, claimed), (other, claimed + ahead + 0.3 * sign)]) == best
    far = (ThresholdScale("margin", 3.0), SPEED)
    assert _chosen([(usual, claimed), (other, claimed + 0.1), (far, claimed + 0.2)]) == far
    assert _chosen([(usual, claimed), (other, claimed + 0.2), (far, claimed + 0.2)]) == other


def test_one_choice_serves_all_rates_and_sees_no_calibration_image(problem: Problem) -> None:
    parts = [shown(problem, seed=seed) for seed in range(3)]
    options = CalibrationOptions(epsilons=(0.1, 0.3))
    found = [calibrate_claim(SPEED, parts[0], rest, options).found for rest in parts[1:]]
    chosen = {(scale, speed) for one in found for scale, speed, _ in one.values()}
    assert len(chosen) == 1
    (scale, speed), *_ = chosen
    for one, rest in zip(found, parts[1:], strict=True):
        for _, _, critical in one.values():
            assert torch.equal(critical, rest.critical(scale, speed))


def test_parts_share_no_image() -> None:
    parts = CalibrationOptions(seed=3).parts(50)
    assert [len(parts[name]) for name in ("fit", "choice", "calibrate")] == [5, 10, 35]
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(50))
    with pytest.raises(ValueError, match="expected images for each part of a calibration, got 4"):
        CalibrationOptions().parts(4)


NOTHING = {"calibrated": (), "calibrated_extents": (), "calibrated_shares": ()}


def rows_of(problem: Problem, calibrated: Calibration, deltas: tuple[float, ...] = ()) -> list[dict[str, object]]:
    """Rows of the images, with all the thresholds."""
    given = (problem.scorer, *problem.arguments)
    rotation = Rotation.tolerant(*problem.arguments)
    partition = along_rotation(problem.scorer, rotation)
    asked = [
        Asked(statement, form, i)
        for i in range(len(partition))
        for statement in calibrated.statements
        if statement.group is None or statement.group[2] == int(partition.label[i]) % 2
        for form in statement.thresholds
    ]
    level = Level(problem.scorer, rotation, None, partition, rotation.sinusoids(problem.scorer, partition.direction))
    (stated,) = calibrated_stretches([level], AskedThresholds([asked], len(partition)))
    evidence = semantic_evidence(*given, partition, deltas=deltas, ends=[one.ends for one in stated])
    return [
        json.loads(
            json.dumps(
                SemanticRecord.of_partition(
                    partition, i, label=3, index=i, **FIELDS, **fields, calibration=calibrated.digest,
                    population=calibrated.population, **stated[i].said,
                ).to_row()
            )
        )
        for i, fields in enumerate(evidence)
    ]  # fmt: skip


def settings(calibrated: Calibration) -> dict[str, object]:
    return {"calibration": json.loads(json.dumps(calibrated.noted({"size"})))}


@pytest.mark.parametrize("deltas", [(), (0.0, 0.1)])
def test_stretches_follow_from_rows_and_from_the_calibration(
    problem: Problem, calibrated: Calibration, deltas: tuple[float, ...]
) -> None:
    rows = rows_of(problem, calibrated, deltas)
    assert verify_rows(rows, header_of(settings(calibrated))) == []
    extents = [extent for row in rows for extent in row["calibrated_extents"]]
    assert 100 < sum(extent > 0 for extent in extents) < len(extents)
    assert {len(row["calibrated"]) for row in rows} == {4 * 2 * 2}  # alone, of the group, two joint ones; rates; forms


CLAIM_VALUES = ("over", "group", "epsilon", "form", "unit", "growth", "threshold")


def claimed(row) -> Iterator[tuple[int, list[object]]]:
    """Claims about all images at a threshold above 0 that say something, and their places."""
    for place, (claim, extent) in enumerate(zip(row["calibrated"], row["calibrated_extents"], strict=True)):
        if extent > 0 and claim[1] is None and claim[6]:
            yield place, claim


def altered(row: dict[str, object], name: str, change) -> dict[str, object]:
    found = json.loads(json.dumps(row))
    at = next(at for at, _ in claimed(found))
    if name in CLAIM_VALUES:
        found["calibrated"][at][CLAIM_VALUES.index(name)] = change(found["calibrated"][at][CLAIM_VALUES.index(name)])
    else:
        found[f"calibrated_{name}s"][at] = change(found[f"calibrated_{name}s"][at])
    return found


@pytest.mark.parametrize("name", ["extent", "share", "threshold", "growth", "epsilon"])
def test_what_is_raised_in_a_stretch_is_found(problem: Problem, calibrated: Calibration, name: str) -> None:
    claiming = (row for row in rows_of(problem, calibrated) if any(claimed(row)))
    rows = list(itertools.islice(claiming, 10))
    assert len(rows) == 10
    factor = 0.8 if name in ("threshold", "epsilon") else 1.05
    for row in rows:
        wrong = altered(row, name, lambda value: min(1.0, factor * value + 1e-3 * (factor > 1)))
        if wrong != row:
            problems = verify_rows([wrong], header_of(settings(calibrated)))
            assert any(problem.field.startswith("calibrated") for problem in problems)


def others(record: SemanticRecord, place: int) -> Iterator[SemanticRecord]:
    """A record with one value of a stretch changed, by little and by much."""
    claim, extent, share = record.stretches[place]
    numbers = {
        "threshold": (None, 0.0, 0.02 + 1.5 * (claim.threshold or 0.0)),
        "growth": (claim.growth + 0.5, 0.9 * claim.growth - 0.05),
        "unit": ("weights", "margin"),
        "form": ("marginal", "0.9"),
        "group": (None, ("t", 0, 1)),
    }
    for name, values in numbers.items():
        for value in values:
            yield with_stretch(record, place, structs.replace(claim, **{name: value}), extent, share)
    for other in (1.05 * extent, extent + 1e-3, extent + 1e-9, 0.0, math.nan):
        yield with_stretch(record, place, claim, other, share)
    for other in (0.0, 0.5, 1.0, math.nan):
        yield with_stretch(record, place, claim, extent, other)


def with_stretch(
    record: SemanticRecord, place: int, claim: CalibratedClaim, extent: float, share: float
) -> SemanticRecord:
    """A record with another stretch at one place."""
    stretches = list(record.stretches)
    stretches[place] = CalibratedStretch(claim, extent, share)
    claims, extents, shares = zip(*stretches, strict=True)
    return replace(record, calibrated=claims, calibrated_extents=extents, calibrated_shares=shares)


def test_stretches_looked_at_in_arrays_are_sound_only_where_they_are_by_themselves(
    problem: Problem, calibrated: Calibration
) -> None:
    made = [SemanticRecord.from_row(row) for row in rows_of(problem, calibrated)]
    assert sound_stretches(made).all()
    claiming = [record for record in made if any(extent > 0 for extent in record.calibrated_extents)]
    counted = Counter[bool]()
    for record in claiming[:6]:
        altered = [other for place in range(len(record.stretches)) for other in others(record, place)]
        altered += [
            replace(record, calibration=None), replace(record, population=None), replace(record, **NOTHING),
            replace(record, **NOTHING, calibration=None, population=None),
        ]  # fmt: skip
        alone = [next(calibrated_findings(each), None) is None for each in altered]
        assert sound_stretches([made[0], *altered, made[1]]).tolist() == [True, *alone, True]
        counted.update(alone)
    assert min(counted[True], counted[False]) > 100
    record = claiming[0]
    claim = structs.replace(record.calibrated[0], unit="margin", growth=0.0, threshold=0.5)
    label, other = record.prediction, record.prediction + 1
    rising = replace(
        record, waves=((label, 0.0, 1.0, 0.5), (other, 0.0, 0.0, 0.0)), distances=((label, other, 1.0),),
        calibrated=(claim,), calibrated_extents=(raw_extent(record),), calibrated_shares=record.calibrated_shares[:1],
    )  # fmt: skip
    assert raw_extent(record) > 0
    assert next(calibrated_findings(rising), None) is not None  # no more than is asked for at the image itself
    assert not sound_stretches([rising]).any()
    huge = replace(
        rising, distances=((label, other, 1e9),),
        calibrated=(structs.replace(rising.calibrated[0], unit="weights", threshold=1e300),),
    )  # fmt: skip
    assert next(calibrated_findings(huge), None) is not None  # what is asked for is too large for a number
    assert not sound_stretches([huge]).any()
    twice = replace(claiming[0], waves=(*claiming[0].waves, (claiming[0].prediction, 0.0, 0.0, -9.0)))
    assert next(calibrated_findings(twice), None) is not None
    assert not sound_stretches([twice]).any()
    unknown = replace(claiming[0], waves=claiming[0].waves[:1], distances=((0, 1, 1.0), (1, 2, 1.0)))
    assert not sound_stretches([unknown]).any()  # whatever it is by itself


def test_a_line_is_that_of_its_row_and_one_of_the_older_form_is_read(problem: Problem, calibrated: Calibration) -> None:
    for row in rows_of(problem, calibrated)[:20]:
        record = SemanticRecord.from_row(row)
        assert record.to_line() == json.dumps(record.to_row(), ensure_ascii=False) == json.dumps(row)
        assert read_record(record.to_line().encode()) == record
        older = older_form(row)
        assert read_record(json.dumps(older).encode()) == SemanticRecord.from_row(older) == record
        assert "calibrated_extents" not in older


def older_form(row: dict[str, object]) -> dict[str, object]:
    """A row whose claims hold their extents and shares."""
    values = zip(*(row[name] for name in NOTHING), strict=True)
    stretches = [[*claim, extent, share] for claim, extent, share in values]
    return {name: value for name, value in row.items() if name not in NOTHING} | {"calibrated": stretches}


@pytest.mark.parametrize("length", [6, 7, 8])
def test_of_a_row_partly_in_the_older_form_the_claim_is_named(
    problem: Problem, calibrated: Calibration, length: int
) -> None:
    older = older_form(rows_of(problem, calibrated)[0])
    older["calibrated"][3] = older["calibrated"][3][:length]
    for read in (SemanticRecord.from_row, lambda row: read_record(json.dumps(row).encode())):
        with pytest.raises(RowError, match=r"expected calibrated\[3\] as 9 values, got \['group', ") as caught:
            read(older)
        assert caught.value.field == "calibrated"


def test_of_a_wrong_value_in_a_claim_that_value_is_told(problem: Problem, calibrated: Calibration) -> None:
    row = rows_of(problem, calibrated)[0]
    row["calibrated"][3][6] = -2.5
    with pytest.raises(RowError, match=r"^expected calibrated\[3\]\[6\] as float >= 0.0, got -2.5$"):
        read_record(json.dumps(row).encode())
    row["calibrated"][3] = None
    with pytest.raises(RowError, match=r"^expected calibrated\[3\] as array, got None$"):
        SemanticRecord.from_row(row)


def test_claims_are_one_object_wherever_they_come_from(problem: Problem, calibrated: Calibration) -> None:
    first, second = (SemanticRecord.from_row(row) for row in rows_of(problem, calibrated)[:2])
    read = [read_record(json.dumps(form(first.to_row())).encode()) for form in (dict, older_form)]
    made = replace(second, calibrated=first.calibrated.lists)
    hash(first)  # that of texts is another in another process, and may not travel
    for other in (*read, made, pickle.loads(pickle.dumps(first)), copy.deepcopy(first), copy.copy(first), first.slim()):
        assert other.calibrated is first.calibrated


def test_claims_are_as_rows_hold_them_whoever_makes_them() -> None:
    whole = CalibratedClaim("alone", None, 0.125, "marginal", "weights", 7, 1)
    assert claims_of([whole]).text == '[["alone", null, 0.125, "marginal", "weights", 7.0, 1.0]]'
    assert claims_of([whole, list(structs.astuple(whole))]).lists == 2 * claims_of([whole]).lists
    for name, value in {"threshold": math.nan, "epsilon": 1.0, "over": "some", "growth": True}.items():
        wrong = structs.replace(structs.replace(whole, growth=9), **{name: value})
        with pytest.raises(RowError, match=r"expected calibrated claims as rows hold them: .* at `\$\[0\]\[\d\]`"):
            claims_of([wrong])


def test_groups_of_claims_come_in_their_order() -> None:
    groups = [(name, 1, 0) for name in "zebra"]
    claims = [CalibratedClaim("group", group, 0.1, "marginal", "weights", 0.0, 0.1) for group in (*groups, None)]
    assert [*claims_of([*claims, *claims]).groups] == groups


@pytest.mark.parametrize("name", [*NOTHING])
def test_every_claim_has_an_extent_and_a_share(problem: Problem, calibrated: Calibration, name: str) -> None:
    row = rows_of(problem, calibrated)[0]
    for wrong in (row | {name: row[name][:-1]}, {key: value for key, value in row.items() if key != name}):
        with pytest.raises(RowError, match="expected an extent and a share of every calibrated claim") as caught:
            read_record(json.dumps(wrong).encode())
        assert caught.value.field == "calibrated"
        with pytest.raises(RowError, match="expected an extent and a share of every calibrated claim"):
            SemanticRecord.from_row(wrong)


def test_no_line_holds_an_extent_that_is_no_number(problem: Problem, calibrated: Calibration) -> None:
    record = SemanticRecord.from_row(rows_of(problem, calibrated)[0])
    extents = (math.nan, *record.calibrated_extents[1:])
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        replace(record, calibrated_extents=extents).to_line()


def test_rows_of_another_calibration_are_found(problem: Problem, calibrated: Calibration) -> None:
    rows = rows_of(problem, calibrated)[:3]
    other = settings(calibrated)
    other["calibration"]["digest"] = "0" * 32  # type: ignore[index]
    assert any("rests on calibration" in p.message for p in verify_rows(rows, header_of(other)))
    assert any("its run on none" in p.message for p in verify_rows(rows, header_of({"deltas": []})))
    without = rows[2] | {name: [] for name in NOTHING}
    assert any(
        "lacks stretches" in p.message for p in verify_rows([*rows[:2], without], header_of(settings(calibrated)))
    )
    at = [claim[:4] for claim in rows[2]["calibrated"]].index(["alone", None, 0.1, "0.95"])
    without_form = rows[2] | {name: rows[2][name][:at] + rows[2][name][at + 1 :] for name in NOTHING}
    (found,) = verify_rows([*rows[:2], without_form], header_of(settings(calibrated)))
    assert (found.field, found.message) == ("calibrated", "lacks stretches of its calibration")
    without = {name: value for name, value in without.items() if name not in ("calibration", "population", *NOTHING)}
    assert any("calibration" in p.message for p in verify_rows([*rows[:2], without]))
    nameless = {name: value for name, value in rows[0].items() if name != "population"}
    assert any("goes with its calibration" in p.message for p in verify_rows([nameless]))


@pytest.mark.parametrize(("form", "words"), [("0.95", "95%"), ("0.999", "99.9%"), ("0.999999", "99.9999%")])
def test_a_confidence_is_never_rounded_up(problem: Problem, calibrated: Calibration, form: str, words: str) -> None:
    row = next(row for row in rows_of(problem, calibrated) if row["calibrated"])
    record = SemanticRecord.from_row(row)
    claim = structs.replace(record.calibrated[0], form=form)
    one = replace(record, calibrated=(claim,), calibrated_extents=(0.0,), calibrated_shares=(0.0,))
    told = " ".join(calibrated_words([one]))
    assert f"with a confidence of {words} over calibrations" in told


def test_records_of_thresholds_and_noted_ones_concern_the_same_claims(calibrated: Calibration) -> None:
    of_level = list(calibrated.of("size", "text", "cosine", "t", 0))
    assert len(of_level) == len(calibrated.statements)
    assert list(calibrated.of("size", "image", "cosine", "t", 0)) == []
    assert {s.over for s in calibrated.of("hue", "text", "cosine", "t", 0)} == {"all"}
    assert {s.over for s in calibrated.of("size", "text", "cosine", "t", 1)} == {"levels", "all"}
    assert all(isinstance(statement, ThresholdRecord) for statement in of_level)
