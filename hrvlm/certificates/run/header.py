"""What the settings of a run say that its rows must say too.

`settings.json` names the plan, the trees and the data; older ones name less, and then less is held against rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hrvlm.certificates.kinds.facts import NOISE
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.profile.claim import choose_budget
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.registry import AnyRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.run.settings import NamedChange, RunSettings, Sampling, read_settings
from hrvlm.certificates.statistics.claim import FLOAT_MODES, NOISE_SPACES
from hrvlm.certificates.statistics.radii import operational_threshold
from hrvlm.rows.strict import shown
from hrvlm.rows.verifying import Finding, Group, Header

_METHODS = {"two bounds": "two bounds", "adaptive": "anytime"}
Expected = dict[tuple[Group, str], Hashable]


def header_of(settings: Mapping[str, Any], *, num_images: int | None = None) -> Header:
    """What rows must say by the settings of their run.

    Args:
        settings: contents of `settings.json`.
        num_images: how many images there must be rows of; None where that is not known.

    Raises:
        ValueError: if the settings are none of a run.
    """
    known = read_settings(settings)
    levels = {tree.name: tree.count for tree in known.forest}
    expected = _plan(known)
    for tree, count in levels.items():
        expected |= _of_tree(known, tree, count)
    expected |= _level_names(known)
    if levels and known.random_numbers is not None:
        expected[("profile",), "num_statements"] = len(levels)
    return Header(
        expected=expected,
        of_record=_Limits(levels, known.data_size, known.attributes),
        num_images=num_images,
        data_size=known.data_size,
    )


def _level_names(known: RunSettings) -> Expected:
    """Names of the levels, where settings tell them; that of the leaves is the first tree's."""
    found: Expected = {}
    for tree in reversed(known.forest):
        for number, name in enumerate(tree.names):
            found[("level", tree.name if number else "", number), "level_name"] = name
        if tree.names:
            found[("profile", tree.name), "level_names"] = tree.names
    return found


def _plan(known: RunSettings) -> Expected:
    """What the plan says of rows of all kinds, and of each kind."""
    found: Expected = {}
    found |= _told(NOISE, {"sigma": known.sigma, "alpha": known.alpha, "seed": known.seed})
    if known.deltas is not None:
        found[("semantic",), "stable"] = known.deltas
    if known.sampling is None or known.n0 is None or known.n is None:
        return found
    sampling = known.sampling
    votes = sampling.votes is not None
    tau = operational_threshold(sampling.votes, sampling.vote_error) if sampling.votes else sampling.threshold
    found |= {
        (NOISE, "float_mode"): FLOAT_MODES.get(sampling.noise),
        (NOISE, "noise_space"): NOISE_SPACES.get(sampling.noise),
        (NOISE, "precision"): sampling.precision,
        (NOISE, "threshold"): tau,
        (NOISE, "votes"): sampling.votes,
        (NOISE, "vote_error"): sampling.vote_error if votes else None,
    }
    return found | _samples(known, sampling) | _joint(known) | _functions(known, sampling)


def _samples(known: RunSettings, sampling: Sampling) -> Expected:
    adaptive, open_end = sampling.procedure == "adaptive", sampling.procedure in ("adaptive", "pilot")
    smoothing: dict[str, Hashable] = {
        "method": _METHODS.get(sampling.procedure, "clopper-pearson"),
        "n0": 0 if sampling.procedure == "shared" else known.n0,
        "n_max": known.n if open_end else None,
        "goal": sampling.goal,
        "give_up": sampling.give_up if adaptive else None,
    }
    found: Expected = {(("smoothing",), name): value for name, value in smoothing.items()}
    found[("oracle",), "n0"] = smoothing["n0"]
    found |= {((kind,), "n"): known.n for kind in ("profile", "oracle")}
    if not open_end:
        found[("smoothing",), "n"] = known.n
    return found


def _joint(known: RunSettings) -> Expected:
    if known.joint_questions is None:
        return {}
    asked = known.joint_questions
    told: dict[str, Hashable] = {"n0": known.n0, "n": known.n, "move": asked.move, "steps": asked.steps}
    told |= {"at_radii": asked.radii, "at_extents": asked.extents}
    return {(("joint",), name): value for name, value in told.items()}


def _functions(known: RunSettings, sampling: Sampling) -> Expected:
    """Scored again, each kind of row may have been chosen in its own way; settings of old say of one kind alone."""
    if known.random_numbers is None:
        return {}
    found: Expected = {}
    for kind, spends in (("smoothing", "levels"), ("profile", "profile"), ("joint", "joint"), ("oracle", "levels")):
        found[(kind,), "label_functions"] = sampling.label_functions
        chosen = sampling.functions_chosen if known.functions_chosen is None else known.functions_chosen.get(spends)
        if chosen is not None:
            found[(kind,), "functions_chosen"] = chosen
    return found


def _of_tree(known: RunSettings, tree: str, levels: int) -> Expected:
    if known.profile is None:
        return {}
    budget = choose_budget(len(known.profile.radii), levels)
    asked = tuple(sorted(known.profile.radii)) if budget == "fixed radii" else ()
    return {(("profile", tree), "budget"): budget, (("profile", tree), "asked"): asked}


def _told(group: Group, values: Mapping[str, Hashable | None]) -> Expected:
    return {(group, name): value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class _Limits:
    """Which images, trees, levels and attributes a run has."""

    levels: Mapping[str, int]
    data_size: int | None
    attributes: list[NamedChange] | None
    _by_name: dict[str, NamedChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({attribute.name: attribute for attribute in self.attributes or []})

    def __call__(self, record: AnyRecord) -> Iterator[Finding]:
        if self.data_size is not None and record.index >= self.data_size:
            yield "index", False, f"image {record.index} of a data set of {self.data_size}"
        if isinstance(record, OracleRecord):
            return
        if self.levels and record.tree not in self.levels:
            yield "tree", False, f"a tree {shown(record.tree)}, where the run has {sorted(self.levels)}"
        elif self.levels and record.level >= self.levels[record.tree]:
            yield "level", False, f"level {record.level} of a tree of {self.levels[record.tree]}"
        elif self.levels and record.level == 0 and isinstance(record, SmoothingRecord | SemanticRecord):
            first = next(iter(self.levels))
            if record.tree != first:
                yield "tree", False, f"leaves that go by {record.tree!r}, where all go by the first tree, {first!r}"
        if isinstance(record, ProfileRecord) and self.levels.get(record.tree, len(record.chain)) != len(record.chain):
            yield "chain", True, f"a chain of {len(record.chain)} levels in a tree of {self.levels[record.tree]}"
        if isinstance(record, SemanticRecord) or record.kind == "joint":
            yield from self._attribute(record)

    def _attribute(self, record: Any) -> Iterator[Finding]:
        if self.attributes is None:
            return
        known = self._by_name.get(record.attribute)
        if known is None:
            yield "attribute", False, f"an attribute {record.attribute!r} that the run does not have"
            return
        pairs = ((known.source, record.source_prompt), (known.target, record.target_prompt))
        nouns = [_noun(template, prompt) for template, prompt in pairs]
        if not all(
            template.replace("{}", noun) == prompt for (template, prompt), noun in zip(pairs, nouns, strict=True)
        ):
            text = (
                f"prompts {record.source_prompt!r} and {record.target_prompt!r} that attribute {known.name!r} has not"
            )
            yield "source_prompt", False, text
        shown_by = "image" if known.pictures or known.appearances else "text"
        if getattr(record, "target_kind", shown_by) != shown_by:
            yield "target_kind", True, f"a target by {record.target_kind}, where {known.name!r} has one by {shown_by}"


def _noun(template: str, prompt: str) -> str:
    """What a prompt has in the place of the first braces of its template."""
    before, _, after = template.partition("{}")
    return prompt[len(before) : len(prompt) - len(after.replace("{}", ""))] if "{}" in template else ""
