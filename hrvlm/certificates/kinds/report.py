"""What every kind of certificate tells of itself in words, tables and figures, from rows alone.

The module that `Kind.report` names has one such object, `REPORT`. It is imported when rows are told, not when they are
made or checked; figures are imported when they are drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hrvlm.certificates.kinds.interface import Kind
from hrvlm.rows.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a record says of its image at a level, a cell of the table of images.

    Attributes:
        tree: tree of the level, or whatever else classes are of.
        level: 0 for the leaves.
        level_name: its name.
        about: what else tells this column from others of the kind, such as a scorer.
        label: right class; -1 where none is known.
        prediction: class that is told; -1 where there is none.
        value: certified radius or share, see `KindReport.unit`; the mean is shown where several records have one.
        abstain: whether nothing is certified.
        names: classes in words, as far as records hold them.
        text: an answer in words, or None.
    """

    tree: str
    level: int
    level_name: str
    about: str = ""
    label: int
    prediction: int
    value: float | None = None
    abstain: bool = False
    names: Mapping[int, str] = field(default_factory=dict)
    text: str | None = None


def judged_at(record: Record, **told: Any) -> Judged:
    """A cell for a record's own tree and level, label and prediction; `told` is all else of it."""
    place: dict[str, Any] = {"tree": record.tree, "level": record.level, "level_name": record.level_name}
    return Judged(label=record.label, prediction=record.prediction, **place, **told)


@dataclass(frozen=True, kw_only=True)
class Change:
    """The intervals of an image along a change, which pages draw as a bar.

    Attributes:
        change: its name.
        intervals: (share of the way up to which it reaches, class), rising to 1; empty where nothing is certified.
        stretches: (rate, share of the way) on which the label is claimed to hold in pictures.
    """

    change: str
    intervals: Sequence[tuple[float, int]]
    stretches: Sequence[tuple[float, float]] = ()


class KindReport(ABC, Generic[R]):
    """How one kind of certificate is told.

    Attributes:
        heading: of its section.
        caption: what its section shows, in a sentence.
        unit: what the value of `Judged` is, for the head of a column.
        value: the field that it is; named by kinds whose records come as tables, see `kinds.together.Alike`.
    """

    heading: ClassVar[str]
    caption: ClassVar[str]
    unit: ClassVar[str] = ""
    value: ClassVar[str] = ""

    @abstractmethod
    def guarantee(self, records: Sequence[R]) -> list[str]:
        """What the records guarantee, under which alpha and which assumptions, in sentences.

        Args:
            records: of this kind, at least one.
        """

    @abstractmethod
    def table(self, summary: Mapping[str, Any]) -> Table:
        """A summary of this kind, as `Kind.summarise` gives it, for the terminal and for pages."""

    def figures(self, records: Sequence[R]) -> list[str]:
        """Figures of all records, at least one, as SVG."""
        return []

    def judged(self, record: R) -> Iterable[Judged]:
        """What the table of images shows of a record."""
        return (judged_at(record, abstain=record.reason is not None),)

    def change(self, record: R) -> Change | None:
        """The bar of a record; None for kinds that certify no change. It belongs to the one cell that is judged."""
        return None

    def ceiling(self, records: Sequence[R]) -> float | None:
        """The largest radius that any image could have been given, in pixel units; None where there is none."""
        return None

    def warnings(self, records: Sequence[R]) -> list[str]:
        """What a reader must not miss before all else, in sentences."""
        return []

    def largest_radius(self, records: Sequence[R]) -> float:
        """How far the radii of tables should reach, in pixel units, where nobody asked for any; 0 for no matter."""
        return 0.0

    def tab_separated(self, records: Sequence[R]) -> dict[str, str] | None:
        """Texts of tab-separated tables by file name, see `hrvlm.rows.tab_separated`; None if there is no such form."""
        return None

    def plots(self) -> Mapping[str, Callable[[Sequence[R]], Figure]]:
        """Figures of all records as matplotlib's, by their names in `hrvlm.reports.plots`; none where none is drawn."""
        return {}


def report_of(kind: Kind[Any]) -> KindReport[Any]:
    """How a kind is told."""
    found: KindReport[Any] = import_module(kind.report).REPORT
    return found
