"""The figure of models that answer in words: how far attacks push them to a forbidden answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure

from hrvlm.generative.targeted_attack_records import TargetedAttackRecord
from hrvlm.reports import targeted_attack_figures


def attack_curves(rows: Iterable[Any]) -> Figure:
    """Success of attacks towards a forbidden answer over their L2 budget, without and with smoothing.

    Args:
        rows: of `certify.py targeted-attack`, as mappings or records.

    Raises:
        ValueError: if there are none, or a row is of another kind.
    """
    records = [TargetedAttackRecord.from_row(row) if isinstance(row, Mapping) else row for row in rows]
    if not records:
        raise ValueError("expected rows of targeted attacks for this figure, got none")
    return targeted_attack_figures.attack_curves(records)
