"""What the rows of one image, and all rows of a run, must say alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import Any

from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.registry import AnyRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.rows.verifying import Fact, Finding, Group

NOISE: Group = ("noise",)
_NOISE = ("sigma", "noise_space", "alpha", "seed", "float_mode", "threshold", "precision")
_VOTE = ("votes", "vote_error")
_SHARED = ("alpha_share", "num_statements", "label_functions", "functions_chosen", "noise_shared")
_OF_KIND: dict[type, tuple[str, ...]] = {
    SmoothingRecord: (*_SHARED, "n0", "method", "n_max", "goal", "give_up"),
    ProfileRecord: _SHARED,
    JointRecord: (*_SHARED, "n0", "n", "move", "steps"),
    OracleRecord: (
        "num_statements", "label_functions", "functions_chosen", "n0", "generator", "prompt", "max_new_tokens",
        "temperature", "top_k", "top_p",
    ),
    SemanticRecord: (),
}  # fmt: skip
_OF_TREE = ("budget", "split", "asked", "level_names", "n0")
_OF_ORACLE = ("split", "method", "alpha_share", "alpha_calibration", "num_classes")
_OF_CLAIM = ("error_model", "scope", "gamma", "assumed")
_Named = tuple[AnyRecord, Group, str, Hashable]


def image_findings(records: list[AnyRecord]) -> Iterator[tuple[AnyRecord, Finding]]:
    """What the records of one image contradict each other in."""
    said: dict[tuple[Group, str], Hashable] = {}
    for record, group, name, value in _of_image(records):
        known = said.setdefault((group, name), value)
        if known != value:
            yield record, (name, False, f"has {name} {value!r}, where another row of the image says {known!r}")


def _of_image(records: list[AnyRecord]) -> Iterator[_Named]:
    """What rows of one image say of the same thing."""
    for record in records:
        if isinstance(record, OracleRecord):
            continue
        level = ("leaf",) if record.level == 0 else (record.tree, record.level)
        yield record, ("label", *level), "label", record.label
        if isinstance(record, ProfileRecord):
            for number, label in enumerate(record.labels[1:], start=1):
                yield record, ("label", record.tree, number), "label", label
            if record.chain and record.counts:  # without, the row is at fault by itself
                yield record, ("count", record.chain[0], record.n), "counts", record.counts[0]
            yield record, ("invalid", record.n), "invalid", record.invalid
        elif isinstance(record, SmoothingRecord) and record.level == 0:
            yield record, ("count", record.prediction, record.n), "counts", record.count
            yield record, ("invalid", record.n), "invalid", record.invalid
        elif isinstance(record, SemanticRecord | JointRecord):
            yield record, ("prompts", record.attribute), "source_prompt", record.source_prompt
            yield record, ("prompts", record.attribute), "target_prompt", record.target_prompt
            of = (record.kind, record.scorer, *level)
            if record.prediction >= 0:
                yield record, of, "prediction", record.prediction
            if isinstance(record, JointRecord):
                yield record, of, "selection_count", record.selection_count


def certificate_facts(records: list[AnyRecord]) -> Iterator[Fact[AnyRecord]]:
    """What the records of one image say that those of other images must say as well."""
    leaf = next((r.label for r in records if r.level == 0 and not isinstance(r, OracleRecord)), None)
    for record in records:
        if not isinstance(record, SemanticRecord):
            yield from _named(record, NOISE, _NOISE)
        if isinstance(record, SmoothingRecord | ProfileRecord | JointRecord):
            yield from _named(record, NOISE, _VOTE)
        yield from _named(record, (record.kind,), _OF_KIND[type(record)])
        if isinstance(record, OracleRecord):
            yield from _of_oracle(record)
            continue
        yield record, ("level", record.tree if record.level else "", record.level), "level_name", record.level_name
        if leaf is not None and record.level > 0:
            yield record, ("leaf", leaf, record.tree, record.level), "label", record.label
        yield from _of_kind(record, leaf)


def _named(record: AnyRecord, group: Group, names: tuple[str, ...]) -> Iterator[_Named]:
    return ((record, group, name, getattr(record, name)) for name in names)


def _of_kind(record: Any, leaf: int | None) -> Iterator[_Named]:
    if isinstance(record, SmoothingRecord):
        yield from _named(record, (record.kind, record.tree, record.level), ("split",))
        if record.n_max is None:
            yield record, ("smoothing",), "n", record.n
    elif isinstance(record, ProfileRecord):
        yield from _named(record, (record.kind, record.tree), _OF_TREE)
        if record.n > 0:
            yield record, ("profile",), "n", record.n
        yield from _tree_facts(record)
    else:
        yield record, ("attribute", record.attribute, leaf), "source_prompt", record.source_prompt
        yield record, ("attribute", record.attribute, leaf), "target_prompt", record.target_prompt
        if isinstance(record, JointRecord):
            yield record, ("joint",), "at_radii", tuple(radius for radius, _ in record.at_radii)
            yield record, ("joint",), "at_extents", tuple(extent for extent, _ in record.at_extents)
        elif record.intervals:
            yield record, ("semantic",), "stable", tuple(delta for delta, _ in record.stable)
            yield record, ("semantic", "evidence"), "waves", bool(record.waves)
            yield record, ("semantic", "evidence"), "largest_deltas", record.largest_deltas is not None


def _tree_facts(record: ProfileRecord) -> Iterator[_Named]:
    """A node has one name and one parent."""
    for level, (node, name) in enumerate(zip(record.chain, record.node_names, strict=False)):
        if node >= 0:
            yield record, ("node", record.tree, level, node), "node_names", name
    for name, path in (("chain", record.chain), ("labels", record.labels)):
        for level, (node, parent) in enumerate(pairwise(path)):
            if node >= 0:
                yield record, ("parent", record.tree, level, node), name, parent


def _of_oracle(record: OracleRecord) -> Iterator[_Named]:
    yield from _named(record, ("oracle", record.oracle), _OF_ORACLE)
    yield from _named(record, ("oracle", record.oracle, record.claim), _OF_CLAIM)
    if record.n > 0:
        yield record, ("oracle",), "n", record.n
    if record.prediction >= 0 and record.anchor is None:
        yield record, ("class", record.oracle, record.prediction), "class_name", record.class_name
    if record.claim == "semantic" and record.scope != "image":
        of_class = ("oracle", record.oracle, record.prediction, "rate")
        yield from _named(record, of_class, ("rate", "errors", "trials"))
