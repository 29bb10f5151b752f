"""Summaries of certificates as flat numbers with names, for loggers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Numbers = Iterator[tuple[str, float]]


def flatten_summary(summary: dict[str, Any], label: str = "certificates") -> dict[str, float]:
    """The numbers to log, named "LABEL/KIND/TREE/LEVEL/…".

    Args:
        summary: What `hrvlm.certificates.summarise` gives.
        label: First part of the names.
    """
    parts = {"smoothing": _smoothing, "semantic": _semantic, "joint": _joint, "profile": _profiles}
    return {
        f"{label}/{kind}/{name}": number for kind, flat in parts.items() for name, number in flat(summary.get(kind, {}))
    }


def _levels(trees: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tree, levels in trees.items():
        for level, found in levels.items():
            yield f"{tree}/{level}", found


def _radii(numbers: dict[str, Any]) -> Numbers:
    """Mean radius, where there is one, and shares certified at radii."""
    if "average_certified_radius" in numbers:
        yield "average_certified_radius", numbers["average_certified_radius"]
    for radius, share in numbers["certified_accuracy"].items():
        yield f"certified_accuracy_at_{radius}", share


def _smoothing(trees: dict[str, Any]) -> Numbers:
    for start, numbers in _levels(trees):
        yield from ((f"{start}/{name}", number) for name, number in _radii(numbers))


def _semantic(trees: dict[str, Any]) -> Numbers:
    """A target in words alone goes by its scorer; pictures that show it are told after."""
    for start, attributes in _levels(trees):
        for attribute, scorers in attributes.items():
            for scorer, kinds in scorers.items():
                for kind, numbers in kinds.items():
                    name = f"{start}/{attribute}/{scorer}" if kind == "text" else f"{start}/{attribute}/{scorer}/{kind}"
                    yield f"{name}/invariance", numbers["mean_invariance"]
                    for delta, share in numbers["stable_coverage"].items():
                        yield f"{name}/stable_coverage_at_{delta}", share


def _joint(trees: dict[str, Any]) -> Numbers:
    kinds = (("at_radii", "mean_extent"), ("at_extents", "mean_radius"))
    for start, attributes in _levels(trees):
        for attribute, scorers in attributes.items():
            for scorer, numbers in scorers.items():
                for part, mean in kinds:
                    for asked, found in numbers[part].items():
                        yield f"{start}/{attribute}/{scorer}/{mean}_at_{asked}", found[mean]


def _profiles(trees: dict[str, Any]) -> Numbers:
    for tree, found in trees.items():
        yield f"{tree}/abstention_rate", found["abstention_rate"]
        for level, numbers in found["levels"].items():
            yield from ((f"{tree}/{level}/{name}", number) for name, number in _radii(numbers))
