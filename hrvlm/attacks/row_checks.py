"""What rows of robustness must satisfy, each alone, those of an image, and those of a run."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hrvlm.attacks.records import CLEAN, SCHEMA, RobustnessRecord
from hrvlm.rows.strict import strict_reader
from hrvlm.rows.verifying import Fact, Finding, Group, Header, Rules

_CLEAN_LACKS = ("attacked_tree", "attacked_level", "broken_by", "distance", "members")


def _read(row: bytes | Mapping[str, Any]) -> RobustnessRecord:
    return strict_reader(RobustnessRecord, SCHEMA).of(row)


class Classified(Protocol):
    """A row of an image that is sorted into classes."""

    @property
    def label(self) -> int:
        """Right class."""

    @property
    def prediction(self) -> int:
        """Class that the image is given."""

    @property
    def correct(self) -> bool:
        """Whether they agree."""

    @property
    def num_classes(self) -> int:
        """How many classes there are."""


def class_findings(record: Classified) -> Iterator[Finding]:
    """What of label, prediction and their agreement does not fit together."""
    if record.correct != (record.prediction == record.label):
        text = f"prediction {record.prediction} and label {record.label} contradict correct={record.correct}"
        yield "correct", record.correct, text
    for name in ("label", "prediction"):
        if getattr(record, name) >= record.num_classes:
            yield name, False, f"class {getattr(record, name)} of {record.num_classes}"


def _of_record(record: RobustnessRecord) -> Iterator[Finding]:
    """What of one row does not follow from what it holds."""
    yield from class_findings(record)
    if record.attack == CLEAN:
        told = [name for name in _CLEAN_LACKS if getattr(record, name) is not None]
        if told or record.attacked:
            yield (told or ["attacked"])[0], False, "a clean row tells of an attack"
        if record.clean_correct != record.correct:
            yield "clean_correct", False, f"a clean row with correct={record.correct} and clean_correct otherwise"
        return
    lacking = [name for name in ("attacked_tree", "attacked_level", "members") if getattr(record, name) is None]
    if lacking:
        yield lacking[0], False, f"a row of {record.attack!r} lacks {', '.join(lacking)}"
    if not record.attacked and (record.broken_by is not None or record.distance is not None):
        yield "attacked", True, "an image that was not attacked was broken"
    if not record.attacked and record.correct != record.clean_correct:
        yield "attacked", True, "an image that was not attacked is another than the clean one"


def _of_image(records: list[RobustnessRecord]) -> Iterator[tuple[RobustnessRecord, Finding]]:
    """What rows of one image contradict each other in."""
    said: dict[tuple[Group, str], Hashable] = {}
    for record in records:
        level: Group = (record.stage, record.level, record.tree if record.level else "")
        attack: Group = (*_aim(record), record.eps)
        values = [(level, name) for name in ("label", "clean_correct", "num_classes")]
        values += [(attack, name) for name in ("attacked", "broken_by", "distance", "members")]
        for group, name in values:
            known = said.setdefault((group, name), getattr(record, name))
            if known != getattr(record, name):
                text = f"has {name} {getattr(record, name)!r}, where another row of the image says {known!r}"
                yield record, (name, False, text)


def _facts(records: list[RobustnessRecord]) -> Iterator[Fact[RobustnessRecord]]:
    """What the rows of a run must say alike."""
    leaf = next((record.label for record in records if record.level == 0), None)
    budgets = _noted_budgets(sorted({record.eps for record in records}))
    for record in records:
        yield record, ("run",), "norm", record.norm
        yield record, ("run",), "eps", budgets
        for name in ("level_name", "num_classes"):
            yield record, ("level", record.tree if record.level else "", record.level), name, getattr(record, name)
        if leaf is not None and record.level:
            yield record, ("leaf", leaf, record.tree, record.level), "label", record.label
        if record.attack != CLEAN:
            yield record, ("attack", *_aim(record)[1:]), "members", record.members


def _aim(record: RobustnessRecord) -> tuple[Any, ...]:
    """An attack on a level of a stage's model."""
    return record.stage, record.attack, record.attacked_tree, record.attacked_level


def _statement(record: RobustnessRecord) -> tuple[str, Any]:
    return record.kind, (*_aim(record), record.tree, record.level, record.eps)


def _noted_budgets(budgets: Sequence[float]) -> float | tuple[float, ...]:
    """The budgets of a run, as they are compared; of most runs it is one."""
    return budgets[0] if len(budgets) == 1 else tuple(sorted(budgets))


def robustness_header(settings: Mapping[str, Any], num_images: int | None = None) -> Header:
    """What rows must say by the settings of their run.

    Args:
        settings: contents of `settings.json`.
        num_images: how many images there must be rows of, or None.
    """
    expected: dict[tuple[Group, str], Hashable] = {
        (("run",), name): settings[name] for name in ("norm", "eps") if isinstance(settings.get(name), str | float)
    }
    budgets = settings.get("eps")
    if isinstance(budgets, list) and budgets and all(isinstance(eps, float) for eps in budgets):
        expected[("run",), "eps"] = _noted_budgets(budgets)
    size = settings.get("data_size")
    return Header(expected=expected, num_images=num_images, data_size=size if isinstance(size, int) else None)


ROBUSTNESS = Rules(read=_read, of_record=_of_record, of_image=_of_image, facts=_facts, statement=_statement)
"""The rules of rows of attacks."""
