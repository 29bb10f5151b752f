"""What the settings of a run say that its rows must say too.

`settings.json` names the plan, the trees and the data; older ones name less, and then less is held against rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from hrvlm.certificates.kinds.facts import NOISE
from hrvlm.certificates.kinds.interface import Expected
from hrvlm.certificates.kinds.registry import kind_named, kinds
from hrvlm.certificates.kinds.settings import RunSettings, Sampling, read_settings
from hrvlm.certificates.statistics.claim import FLOAT_MODES, NOISE_SPACES
from hrvlm.certificates.statistics.radii import operational_threshold
from hrvlm.rows.record import Record
from hrvlm.rows.verifying import Finding, Header


def header_of(settings: Mapping[str, Any], *, num_images: int | None = None) -> Header:
    """What rows must say by the settings of their run.

    Args:
        settings: contents of `settings.json`.
        num_images: how many images there must be rows of; None where that is not known.

    Raises:
        ValueError: if the settings are none of a run.
    """
    known = read_settings(settings)
    expected: Expected = _noise(known) | _level_names(known)
    for kind in kinds():
        expected |= kind.expected(known)
        if known.samples is not None and kind.spends is not None:
            expected |= _label_functions(known, known.samples, kind.name, kind.spends)

    def findings(record: Record) -> Iterator[Finding]:
        if known.data_size is not None and record.index >= known.data_size:
            yield "index", False, f"image {record.index} of a data set of {known.data_size}"
        yield from kind_named(record.kind).check_against(record, known)

    return Header(expected=expected, of_record=findings, num_images=num_images, data_size=known.data_size)


def _level_names(known: RunSettings) -> Expected:
    """Names of the levels, where settings tell them; that of the leaves is the first tree's."""
    return {
        (("level", tree.name if number else "", number), "level_name"): name
        for tree in reversed(known.forest)
        for number, name in enumerate(tree.names)
    }


def _noise(known: RunSettings) -> Expected:
    """What the plan says of rows that rest on noise, of all kinds."""
    told = {"sigma": known.sigma, "alpha": known.alpha, "seed": known.seed}
    found: Expected = {(NOISE, name): value for name, value in told.items() if value is not None}
    sampling = known.samples
    if sampling is None:
        return found
    votes = sampling.votes is not None
    tau = operational_threshold(sampling.votes, sampling.vote_error) if sampling.votes else sampling.threshold
    return found | {
        (NOISE, "float_mode"): FLOAT_MODES.get(sampling.noise),
        (NOISE, "noise_space"): NOISE_SPACES.get(sampling.noise),
        (NOISE, "precision"): sampling.precision,
        (NOISE, "threshold"): tau,
        (NOISE, "votes"): sampling.votes,
        (NOISE, "vote_error"): sampling.vote_error if votes else None,
    }


def _label_functions(known: RunSettings, sampling: Sampling, kind: str, spends: str) -> Expected:
    """Scored again, each kind of row may have been chosen in its own way; settings of old say of one kind alone."""
    if known.random_numbers is None:
        return {}
    found: Expected = {((kind,), "label_functions"): sampling.label_functions}
    chosen: Hashable = sampling.functions_chosen
    if known.functions_chosen is not None:
        chosen = known.functions_chosen.get(spends)
    return found if chosen is None else found | {((kind,), "functions_chosen"): chosen}
