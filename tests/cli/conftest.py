"""Most runs of these tests end with a page about the same few rows, whose figures take longer than all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hrvlm.certificates.kinds.registry import kinds
from hrvlm.certificates.kinds.report import KindReport, report_of

Name = Callable[[str, int, int], str]
_drawn: dict[tuple[str, ...], Any] = {}


def remember(report: KindReport[Any], patch: pytest.MonkeyPatch) -> None:
    """Lets figures of the same records, in which classes have the same names, be drawn once in a process."""
    kind, figures, figures_of_image = type(report).__name__, report.figures, report.figures_of_image

    def of_all(records: Any) -> list[str]:
        key = (kind, repr(list(records)))
        if key not in _drawn:
            _drawn[key] = figures(records)
        return list(_drawn[key])

    def of_image(records: Any, name: Name) -> list[tuple[str, str]]:
        key = (kind, "image", repr(list(records)))
        for asked, found in _drawn.setdefault(key, []):
            if all(name(*place) == words for place, words in asked.items()):
                return list(found)
        told: dict[tuple[str, int, int], str] = {}
        drawn = figures_of_image(records, lambda *place: told.setdefault(place, name(*place)))
        _drawn[key].append((told, drawn))
        return list(drawn)

    patch.setattr(report, "figures", of_all)
    patch.setattr(report, "figures_of_image", of_image)


@pytest.fixture(autouse=True, scope="module")
def _figures_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds():
            remember(report_of(kind), patch)
        yield
