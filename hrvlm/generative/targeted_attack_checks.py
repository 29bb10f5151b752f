"""What rows of attacks towards a forbidden answer must satisfy, each alone and those of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hrvlm.generative.targeted_attack_records import SCHEMA, TargetedAttackRecord
from hrvlm.rows.strict import strict_reader
from hrvlm.rows.verifying import Fact, Finding, Group, Header, Rules

_OF_VOTES = ("votes", "forbidden_votes", "samples")
_OF_RUN = ("oracle", "forbidden", "sigma", "steps", "seed", "norm")


def _read(row: bytes | Mapping[str, Any]) -> TargetedAttackRecord:
    reader = strict_reader(TargetedAttackRecord, SCHEMA)
    return reader.of_line(row) if isinstance(row, bytes) else reader.of_row(row)


def _of_record(record: TargetedAttackRecord) -> Iterator[Finding]:
    """What of one row does not follow from what it holds."""
    if record.success != (record.label == record.forbidden):
        yield "success", record.success, f"the label {record.label!r} contradicts success={record.success}"
    smoothed = record.defence == "smoothing"
    if any((getattr(record, name) is not None) != smoothed for name in _OF_VOTES):
        yield "votes", False, f"votes do not go with the defence {record.defence!r}"
    elif record.votes is not None and record.forbidden_votes is not None:
        if record.forbidden_votes > record.votes:
            yield "forbidden_votes", False, f"{record.forbidden_votes} of {record.votes} votes"
        if record.success and record.forbidden_votes == 0:
            yield "success", True, "a class without votes won"
        if not record.success and 2 * record.forbidden_votes > record.votes:
            yield "success", True, "a class with most of the votes did not win"
    if (record.num_values is None) != (record.norm == "l2"):
        yield "num_values", True, f"num_values {record.num_values!r} does not go with the norm {record.norm!r}"
    elif record.inside and not (smoothed and record.reach < record.certified_radius):
        yield "inside", True, f"eps {record.eps!r} is not inside the certified radius {record.certified_radius!r}"


def _of_image(records: list[TargetedAttackRecord]) -> Iterator[tuple[TargetedAttackRecord, Finding]]:
    """What rows of one image contradict each other in."""
    for record in records[1:]:
        for name in ("certified_radius", "clean_answer", "wanted", "prompt"):
            if getattr(record, name) != getattr(records[0], name):
                text = f"has {name} {getattr(record, name)!r}, where the image has {getattr(records[0], name)!r}"
                yield record, (name, False, text)


def _facts(records: list[TargetedAttackRecord]) -> Iterator[Fact[TargetedAttackRecord]]:
    """What the rows of a run must say alike."""
    for record in records:
        for name in _OF_RUN:
            yield record, ("run",), name, getattr(record, name)
        for name in ("votes", "samples"):
            yield record, ("run", record.defence), name, getattr(record, name)


def _statement(record: TargetedAttackRecord) -> tuple[str, Any] | None:
    """Every image that is attacked meets the same budgets; only some are attacked inside a certificate."""
    return None if record.inside else (record.kind, (record.defence, record.eps))


def targeted_attack_header(settings: Mapping[str, Any]) -> Header:
    """What rows must say by the settings of their run: contents of `settings.json`."""
    expected: dict[tuple[Group, str], Any] = {
        (("run",), name): settings[name] for name in ("forbidden", "sigma", "steps", "seed") if name in settings
    }
    expected[("run",), "norm"] = settings.get("norm", "l2")
    for name in ("votes", "samples"):
        if name in settings:
            expected[("run", "smoothing"), name] = settings[name]
    size = settings.get("data_size")
    return Header(expected=expected, data_size=size if isinstance(size, int) else None)


TARGETED_ATTACKS = Rules(read=_read, of_record=_of_record, of_image=_of_image, facts=_facts, statement=_statement)
"""The rules of rows of targeted attacks."""
