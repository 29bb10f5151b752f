"""What rows of zero-shot evaluation must satisfy, each alone, those of an image, and those of a run."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from hrvlm.attacks.records import CLEAN
from hrvlm.attacks.row_checks import class_findings
from hrvlm.evaluation.zero_shot.records import SCHEMA, ZeroShotRecord
from hrvlm.rows.strict import strict_reader
from hrvlm.rows.verifying import Fact, Finding, Group, Header, Rules


def _read(row: bytes | Mapping[str, Any]) -> ZeroShotRecord:
    return strict_reader(ZeroShotRecord, SCHEMA).of(row)


def _of_record(record: ZeroShotRecord) -> Iterator[Finding]:
    """What of one row does not follow from what it holds."""
    yield from class_findings(record)
    if record.attack == CLEAN and record.eps:
        yield "eps", False, f"a clean row with the budget {record.eps}"


def _of_image(records: list[ZeroShotRecord]) -> Iterator[tuple[ZeroShotRecord, Finding]]:
    """What rows of one image contradict each other in; images of several data sets may share an index."""
    clean = {record.data: record for record in records if record.attack == CLEAN}
    labels: dict[str, int] = {}
    for record in records:
        label = labels.setdefault(record.data, record.label)
        if record.label != label:
            yield record, ("label", False, f"has label {record.label}, where another row of the image says {label}")
        before = clean.get(record.data)
        if before is not None and not before.correct and record.prediction != before.prediction:
            text = (
                f"has prediction {record.prediction} under an attack that the image, which is wrong when clean "
                f"({before.prediction}), was not given"
            )
            yield record, ("prediction", record.correct, text)


def _facts(records: list[ZeroShotRecord]) -> Iterator[Fact[ZeroShotRecord]]:
    """What the rows of a run must say alike."""
    for record in records:
        for name in ("norm", "head"):
            yield record, ("run",), name, getattr(record, name)
        yield record, ("data", record.data), "num_classes", record.num_classes


def _statement(record: ZeroShotRecord) -> tuple[str, Any]:
    return f"{record.kind} {record.data}", (record.attack, record.eps)


def zero_shot_header(settings: Mapping[str, Any], num_images: int | None = None) -> Header:
    """What rows must say by the settings of their run.

    Args:
        settings: Contents of `settings.json`.
        num_images: How many images of each data set there must be rows of, or None.
    """
    expected: dict[tuple[Group, str], Hashable] = {
        (("run",), name): settings[name] for name in ("norm", "head") if isinstance(settings.get(name), str)
    }
    sizes: dict[str, int] = {}
    noted = settings.get("data")
    for name, told in noted.items() if isinstance(noted, Mapping) else ():
        if not isinstance(told, Mapping):
            continue
        if isinstance(told.get("num_classes"), int):
            expected[("data", name), "num_classes"] = told["num_classes"]
        if isinstance(told.get("data_size"), int):
            sizes[f"{ZeroShotRecord.kind} {name}"] = told["data_size"]
    return Header(expected=expected, num_images=num_images, sizes=sizes)


ZERO_SHOT = Rules(read=_read, of_record=_of_record, of_image=_of_image, facts=_facts, statement=_statement)
"""The rules of rows of zero-shot evaluation."""
