"""What rows must say alike: those of one image, those of one run, and what the settings of the run say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from typing import Any

from hrvlm.certificates.kinds.interface import Said
from hrvlm.certificates.kinds.settings import NamedChange, RunSettings
from hrvlm.rows.agreement import Group
from hrvlm.rows.record import Record
from hrvlm.rows.strict import shown
from hrvlm.rows.verifying import Finding

NOISE: Group = ("noise",)
SHARED = ("alpha_share", "num_statements", "label_functions", "functions_chosen", "noise_shared")
"""Fields of rows that share an alpha."""
_NOISE = ("sigma", "noise_space", "alpha", "seed", "float_mode", "threshold", "precision")
_VOTE = ("votes", "vote_error")
_values = cache(attrgetter)


def named(record: Record, group: Group, *names: str) -> Iterator[Said]:
    """What a record says in several fields, told at once; two names at least."""
    yield group, names, _values(*names)(record)


def said_of_noise(record: Record, *, votes: bool = True) -> Iterator[Said]:
    """What all rows of a run say of the noise, and of the deployed vote where their kind knows one."""
    return named(record, NOISE, *_NOISE, *(_VOTE if votes else ()))


def level_of(record: Record) -> tuple[Any, ...]:
    """The level that a record is about; trees share their leaves."""
    return ("leaf",) if record.level == 0 else (record.tree, record.level)


def said_of_label(record: Record) -> Iterator[Said]:
    """The true label of the image at the record's level."""
    yield ("label", *level_of(record)), "label", record.label


def said_of_level(record: Record, leaf: int | None) -> Iterator[Said]:
    """Name of the record's level, and the ancestor of the image's leaf there."""
    yield ("level", record.tree if record.level else "", record.level), "level_name", record.level_name
    if leaf is not None and record.level > 0:
        yield ("leaf", leaf, record.tree, record.level), "label", record.label


def said_of_prompts(record: Any, leaf: int | None) -> Iterator[Said]:
    """The prompts of an attribute, which are the same for all images of a leaf; without a label nobody knows which."""
    if leaf is None or leaf >= 0:
        yield from named(record, ("attribute", record.attribute, leaf), "source_prompt", "target_prompt")


def level_findings(record: Record, settings: RunSettings, *, leaves_of_first: bool = False) -> Iterator[Finding]:
    """Whether the run has the record's tree and level.

    Args:
        record: of any kind with a class tree.
        settings: what the run's `settings.json` says.
        leaves_of_first: whether leaves go by the name of the first tree.
    """
    levels = settings.levels
    if levels and record.tree not in levels:
        yield "tree", False, f"a tree {shown(record.tree)}, where the run has {sorted(levels)}"
    elif levels and record.level >= levels[record.tree]:
        yield "level", False, f"level {record.level} of a tree of {levels[record.tree]}"
    elif levels and record.level == 0 and leaves_of_first and record.tree != next(iter(levels)):
        first = next(iter(levels))
        yield "tree", False, f"leaves that go by {record.tree!r}, where all go by the first tree, {first!r}"


def attribute_findings(record: Any, settings: RunSettings) -> Iterator[Finding]:
    """Whether the run has the record's attribute, with these prompts and this kind of target."""
    if settings.attributes is None:
        return
    known = settings.changes.get(record.attribute)
    if known is None:
        yield "attribute", False, f"an attribute {record.attribute!r} that the run does not have"
        return
    if not _prompts_of(record, known):
        text = f"prompts {record.source_prompt!r} and {record.target_prompt!r} that attribute {known.name!r} has not"
        yield "source_prompt", False, text
    shown_by = "image" if known.pictures or known.appearances else "text"
    if getattr(record, "target_kind", shown_by) != shown_by:
        yield "target_kind", True, f"a target by {record.target_kind}, where {known.name!r} has one by {shown_by}"


def _prompts_of(record: Any, change: NamedChange) -> bool:
    """Whether a record's prompts are those of a change with one noun, each in the place of the first braces."""
    pairs = ((change.source, record.source_prompt), (change.target, record.target_prompt))
    nouns = (_noun(template, prompt) for template, prompt in pairs)
    return all(template.replace("{}", noun) == prompt for (template, prompt), noun in zip(pairs, nouns, strict=True))


def _noun(template: str, prompt: str) -> str:
    """What a prompt has in the place of the first braces of its template."""
    before, _, after = template.partition("{}")
    return prompt[len(before) : len(prompt) - len(after.replace("{}", ""))] if "{}" in template else ""
