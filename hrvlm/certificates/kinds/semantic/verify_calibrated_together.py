"""Which calibrated stretches are sound, of many records at once: what `calibrated_findings` derives, in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.semantic.verify_arrays import (
    LABELS,
    Floats,
    Items,
    Keys,
    Mask,
    arcs_at_most,
    close,
    label_keys,
)
from hrvlm.certificates.kinds.semantic.verify_calibrated import raw_extent
from hrvlm.certificates.kinds.semantic.verify_stable import ARC_TOLERANCE


def sound_stretches(records: Sequence[SemanticRecord]) -> Mask:
    """Records `(R,)` in which `calibrated_findings` finds nothing; False where that is not known."""
    found = np.array([bool(r.calibration) == bool(r.population) and not r.calibrated for r in records], dtype=np.bool_)
    asked = np.array([_usual(record) for record in records], dtype=np.bool_)
    usual = [record for record, is_usual in zip(records, asked.tolist(), strict=True) if is_usual]
    if usual:
        with np.errstate(all="ignore"):  # what is not finite is found out
            found[asked] = _derived(usual)
    return found


def _usual(record: SemanticRecord) -> bool:
    """Whether a record states stretches, each of a claim of its own, that follow from scores as they are."""
    if not record.calibrated or not (record.calibration and record.population) or record.margins:
        return False
    labels = [record.prediction, *(wave[0] for wave in record.waves)]
    named = {label for pair in record.distances for label in pair[:2]}
    small = min(labels) >= 0 and max(labels) < LABELS
    once = len(set(labels[1:])) == len(record.waves)
    return small and once and named <= set(labels[1:]) and record.calibrated.once


def _derived(records: Sequence[SemanticRecord]) -> Mask:
    """Whether the stretches of each record are those that its scores give."""
    owner = np.repeat(np.arange(len(records)), [len(record.calibrated) for record in records])
    threshold, in_weights, growth = np.concatenate([record.calibrated.numbers for record in records]).T
    extent, share = (
        np.fromiter(chain.from_iterable(some), dtype=np.float64)
        for some in ((r.calibrated_extents for r in records), (r.calibrated_shares for r in records))
    )
    whole = np.array([raw_extent(record) for record in records])[owner]
    rivals = _rivals(records)
    pair, at = rivals.beside(owner)
    a, b, c, distance, other = rivals.values[at].T
    slack = threshold[pair] * np.where(in_weights[pair] > 0, distance, other)
    lead = np.stack([a, b - growth[pair] * slack, c])
    reach = whole.copy()
    for low, high in arcs_at_most(lead, slack, np.zeros(len(pair)), whole[pair]):
        np.minimum.at(reach, pair, np.where(low < high, low, np.inf))
    np.minimum.at(reach, pair, np.where(lead[0] + lead[2] > slack, np.inf, 0.0))
    reach = np.where(np.isnan(threshold), 0.0, reach)
    good = close(extent, reach, ARC_TOLERANCE) & ~((share > 0) & ~(extent > 0))
    holds = np.ones(len(records), dtype=np.bool_)
    holds[owner[~good]] = False
    return holds


def _rivals(records: Sequence[SemanticRecord]) -> Items:
    """Of each record the classes whose distance from its prediction it holds.

    Their values are a, b and c of the prediction's margin, the distance, and 1, or 0 for the prediction itself.
    """
    waves, distances = Items.of((r.waves for r in records), 4), Items.of((r.distances for r in records), 3)
    prediction = np.array([r.prediction for r in records], dtype=np.int64)
    labels = Keys(label_keys(waves.owner, waves.values[:, 0]))
    own = distances.values[:, 0] == prediction[distances.owner]
    owner, (label, other, distance) = distances.owner[own], distances.values[own].T
    first, second = (labels.find(label_keys(owner, each))[0] for each in (label, other))
    margin: Floats = waves.values[first, 1:] - waves.values[second, 1:]
    values = np.column_stack([margin, distance, label != other])
    return Items(owner, values, np.bincount(owner, minlength=len(records)))
