"""Summaries as flat numbers with names: what several kinds share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CERTIFIED_AT = "certified_accuracy_at_"
"""Begins the names of shares certified at a radius, which follows."""


def levels_of(summary: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names "TREE/LEVEL" and what a summary holds for each."""
    for tree, levels in summary.items():
        for level, found in levels.items():
            yield f"{tree}/{level}", found


def radii_of(numbers: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Mean radius, where there is one, and shares certified at radii."""
    if numbers.get("average_certified_radius") is not None:
        yield "average_certified_radius", numbers["average_certified_radius"]
    for radius, share in numbers["certified_accuracy"].items():
        if share is not None:
            yield f"{CERTIFIED_AT}{radius}", share
