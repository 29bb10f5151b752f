"""Semantic rows looked at in arrays are found sound where one by one nothing is found in them, and only there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from hrvlm.certificates import AffineScorer, SemanticRecord, semantic_partition
from hrvlm.certificates.kinds.semantic.evidence import semantic_evidence
from hrvlm.certificates.kinds.semantic.verify import semantic_findings
from hrvlm.certificates.kinds.semantic.verify_together import sound_claims
from hrvlm.certificates.kinds.verify import CERTIFICATES, verify_rows
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Verifier

DELTAS = (0.0, 0.05, 0.3)
ALTERED = ("start", "stop", "invariance", "smallest_margin", "prediction", "plane", "intervals", "stable", "waves",
           "distances", "largest_deltas")  # fmt: skip


def records(count: int = 12, classes: int = 6, *, seed: int = 0, range_of: float | None = None) -> list[SemanticRecord]:
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize
    features, texts, prompts = (
        unit(torch.randn(k, 6, generator=generator, dtype=torch.float64), dim=1) for k in (count, classes, 2)
    )
    scorer = AffineScorer.cosine(texts)
    partition = semantic_partition(scorer, features, *prompts, target_extent=range_of)
    evidence = semantic_evidence(scorer, features, *prompts, partition, deltas=DELTAS, target_extent=range_of)
    words = {"source_prompt": "a fox", "target_prompt": "a small fox", "tree": "t", "level": 0, "level_name": "class"}
    return [
        SemanticRecord.of_partition(
            partition, i, label=1, index=i, scorer="cosine", attribute="small", **words, **evidence[i]
        )
        for i in range(count)
    ]


def other_numbers(value: Any) -> Iterator[Any]:
    """A value with one of its numbers changed, by little and by much, or one of its items left out or doubled."""
    if isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from ((*value[:place], other, *value[place + 1 :]) for other in other_numbers(item))
            if isinstance(item, tuple):
                yield (*value[:place], *value[place + 1 :])
                yield (*value, item)
    elif isinstance(value, int):
        yield from (value + 1, 7, -1, 2**40)
    elif value is None:
        yield 0.1
    else:
        yield from (value * 1.05, value + 1e-3, value + 1e-15, -value, math.nan, math.inf)


def by_itself(record: SemanticRecord) -> bool:
    try:
        return next(semantic_findings(record), None) is None
    except (ValueError, ArithmeticError, LookupError):  # a value out of range, which is a finding of its own
        return False


@pytest.mark.parametrize("classes", [3, 6, 40])
def test_records_that_hold_are_sound_together(classes: int) -> None:
    made = [*records(40, classes), *records(5, classes, seed=1, range_of=0.0)]
    assert max(len(record.intervals) for record in made) > 1 - (classes == 3)
    assert all(map(by_itself, made))
    assert sound_claims(made).all()


def test_an_altered_record_is_sound_together_only_where_it_is_by_itself() -> None:
    made = records()
    missed, seen, kept = list[Any](), 0, 0
    for record in [max(made, key=lambda each: len(each.intervals)), made[0]]:
        for name in ALTERED:
            for other in other_numbers(getattr(record, name)):
                altered = dataclasses.replace(record, **{name: other})
                together, alone = sound_claims([made[1], altered, made[2]]).tolist()[1], by_itself(altered)
                assert alone or not together, (name, other)
                seen, kept = seen + (not alone), kept + together
                missed += [(name, other)] if alone and not together else []
    assert seen > 300
    assert kept > 20
    # What is not known together is looked at by itself; that must be rare, and of another form than runs write.
    assert all(name in ("waves", "distances", "largest_deltas") for name, _ in missed)


def of_an_empty_range() -> SemanticRecord:
    """A record of two classes that holds, at whose image the change ends at once."""
    return dataclasses.replace(
        records(1)[0], start=0.0, stop=0.0, plane=(1.0, 0.0, 0.0), intervals=((0.0, 0.0, 0),), prediction=0,
        invariance=1.0, smallest_margin=None, waves=((0, 1.0, 0.0, 0.0), (1, 0.0, 1.0, 0.0)), distances=((0, 1, 1.0),),
        stable=((0.0, 1.0), (0.3, 1.0)), largest_deltas=((0, 1, 1.0),),
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"smallest_margin": math.nan},
        {"smallest_margin": 0.1},
        {"plane": (math.inf, 0.0, 0.0)},
        {"start": 1e17, "stop": 1e17, "intervals": ((1e17, 1e17, 0),)},
    ],
    ids=["no number", "margin of nothing", "no angle", "too many turns"],
)
def test_numbers_that_arithmetic_takes_for_others_are_not_found_sound(change: dict[str, Any]) -> None:
    record = of_an_empty_range()
    altered = dataclasses.replace(record, **change)
    assert sound_claims([record]).all()
    assert by_itself(record)
    assert not by_itself(altered)
    assert not sound_claims([altered]).any()


def test_a_record_with_too_long_a_range_hides_nothing_of_the_next_one() -> None:
    whole = 100.0
    long = dataclasses.replace(
        of_an_empty_range(), stop=whole, plane=(1.0, 0.0, math.remainder(whole, 2 * math.pi)),
        intervals=((0.0, whole, 0),), distances=((0, 1, 1e4),), stable=tuple((delta, 1.0) for delta in DELTAS),
    )  # fmt: skip
    partly = next(record for record in records() if 0 < record.stable[-1][1] < 1)
    altered = dataclasses.replace(partly, stable=tuple((delta, 1.0) for delta in DELTAS))
    assert not by_itself(altered)
    assert not sound_claims([long, altered]).any()


def test_a_run_with_one_altered_row_has_the_same_problems_as_row_by_row() -> None:
    rows = [record.to_row() for record in records(30)]
    rows[17] |= {"invariance": min(1.0, rows[17]["invariance"] * 1.05 + 0.01)}
    verifier, (odd, images) = Verifier(CERTIFICATES), by_image(rows)
    found = [*verifier.odd(odd), *verifier.images(images), *verifier.finish()]
    assert [problem.field for problem in found] == ["invariance"]
    assert found == verify_rows(rows)


def test_records_without_claims_or_in_older_forms_are_left_to_be_checked_by_themselves() -> None:
    record = records()[0]
    changes: list[dict[str, Any]] = [{"intervals": ()}, {"waves": ()}, {"plane": None}, {"largest_deltas": None}]
    assert not sound_claims([dataclasses.replace(record, **change) for change in changes]).any()
    assert sound_claims([]).shape == (0,)
    assert sound_claims([record]).dtype == np.bool_
