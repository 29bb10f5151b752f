"""Most runs of these tests end with a page about the same few rows, whose figures take longer than all else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hrvlm.certificates.kinds.registry import kinds
from hrvlm.certificates.kinds.report import KindReport, report_of

_drawn: dict[tuple[str, ...], Any] = {}


def remember(report: KindReport[Any], patch: pytest.MonkeyPatch) -> None:
    """Lets figures of the same records, in which classes have the same names, be drawn once in a process."""
    kind, figures = type(report).__name__, report.figures

    def of_all(records: Any) -> list[str]:
        key = (kind, repr(list(records)))
        if key not in _drawn:
            _drawn[key] = figures(records)
        return list(_drawn[key])

    patch.setattr(report, "figures", of_all)


@pytest.fixture(autouse=True, scope="module")
def _figures_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds():
            remember(report_of(kind), patch)
        yield
