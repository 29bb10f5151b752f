"""What the row of a profile must satisfy, without the model."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hrvlm.certificates.kinds.checks import TOLERANCE, alpha_findings, vote_findings
from hrvlm.certificates.kinds.profile.derivation import derive_profile
from hrvlm.certificates.kinds.profile.record import SEPARATE_CHAIN, ProfileRecord
from hrvlm.rows.record import is_right
from hrvlm.rows.verifying import Finding


def profile_faults(record: ProfileRecord) -> Iterator[Finding]:
    """Everything about a profile that cannot be derived again.

    Raises:
        ValueError: if a value lies outside its range.
    """
    faults = [*_form(record), *_alpha(record)]
    yield from faults
    if not faults:
        yield from _claims(record)


def _form(record: ProfileRecord) -> Iterator[Finding]:
    size = len(record.level_names)
    if {len(record.chain), len(record.node_names), len(record.labels), len(record.counts)} != {size} or not size:
        yield "chain", True, f"the lists do not have one entry for each of {size} levels"
        return
    rising = [*record.counts, record.n - record.invalid]
    if rising != sorted(rising) or min(record.counts) < 0 or record.invalid < 0:
        yield "counts", True, f"counts {record.counts} do not grow towards the {rising[-1]} valid samples of the root"
    if record.chain[0] < 0 and any(record.counts):
        yield "counts", True, "samples were counted for a chain that does not exist"
    if record.prediction != record.chain[0] or record.label != record.labels[0]:
        yield "prediction", True, f"prediction {record.prediction} and label {record.label} are not those of the leaf"
    if record.correct != is_right(record.prediction, record.label):
        yield "correct", record.correct, f"prediction and label contradict correct={record.correct}"
    if any((label < 0) == record.labelled for label in record.labels):
        yield "labels", True, f"true nodes {record.labels} at some levels only"
    if list(record.asked) != sorted(set(record.asked)):
        yield "asked", False, f"the radii {record.asked} do not rise"
    if (record.n0 > 0) != (record.split == SEPARATE_CHAIN):
        yield "n0", True, f"{record.n0} selection samples do not fit {record.split!r}"
    yield from _ancestors(record)


def _ancestors(record: ProfileRecord) -> Iterator[Finding]:
    """Chain and true nodes go upwards in one tree: where they meet they stay together, and a name is that of a node."""
    met = False
    for level, (node, label) in enumerate(zip(record.chain, record.labels, strict=True)):
        if (node < 0) != (record.chain[0] < 0):
            yield "chain", True, f"the chain {record.chain} has nodes at some levels only"
        if met and node != label:
            yield (
                "chain",
                True,
                f"the chain {record.chain} leaves the true nodes {record.labels} at level {level} again",
            )
        met = met or is_right(node, label)
    if any(bool(name) != (node >= 0) for node, name in zip(record.chain, record.node_names, strict=True)):
        yield "node_names", False, f"the names {record.node_names} are not those of the nodes {record.chain}"
    if any(level >= len(record.chain) for level in record.deepest):
        yield "deepest", True, f"the levels {record.deepest} are not all among {len(record.chain)}"


def _alpha(record: ProfileRecord) -> Iterator[Finding]:
    together = record.num_statements * record.label_functions
    yield from alpha_findings(record.alpha, record.alpha_share, together, "profiles")
    yield from vote_findings(record.votes, record.vote_error, record.threshold)


def _claims(record: ProfileRecord) -> Iterator[Finding]:
    derived = derive_profile(
        record.counts,
        record.n,
        alpha=record.alpha_share,
        sigma=record.sigma,
        budget=record.budget,
        split=record.split,
        asked=record.asked,
        threshold=record.threshold,
    )
    if (len(record.lower), len(record.radii), len(record.deepest)) != (
        len(derived.lower),
        len(derived.radii),
        len(derived.deepest),
    ):
        yield "radii", True, f"lower, radii and deepest do not fit the budget {record.budget!r}"
        return
    for name, numbers in (("lower", derived.lower), ("radii", derived.radii)):
        for stated, number in zip(getattr(record, name), numbers, strict=True):
            if not math.isclose(stated, number, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                more = not stated < number
                text = f"states {name} {stated!r}, {'more' if more else 'less'} than the derived {number!r}"
                yield name, more, text
    for radius, stated, level in zip(record.asked, record.deepest, derived.deepest, strict=True):
        if stated != level:
            text = f"states level {stated} as the deepest at {radius!r}, where the counts give {level}"
            yield "deepest", stated >= 0 and (level < 0 or stated < level), text
    if derived.certifies == (record.reason is not None):
        yield "reason", record.reason is None, f"the reason {record.reason!r} does not fit the counts"
