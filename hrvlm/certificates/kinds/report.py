"""What every kind of certificate tells of itself in words, tables and figures, from rows alone.

The module that `Kind.report` names has one such object, `REPORT`. It is imported when rows are told, not when they are
made or checked; figures are imported when they are drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from hrvlm.certificates.kinds.interface import Kind
from hrvlm.rows.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

R = TypeVar("R", bound=Record)
ClassName: TypeAlias = Callable[[str, int, int], str]
"""Words for a class, by tree, level and number."""


class KindReport(ABC, Generic[R]):
    """How one kind of certificate is told.

    Attributes:
        heading: of its section.
        caption: what its section shows, in a sentence.
        key_title: what the colours of figures of single images tell, see `key`.
    """

    heading: ClassVar[str]
    caption: ClassVar[str]
    key_title: ClassVar[str] = ""

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

    def figures_of_image(self, records: Sequence[R], name: ClassName) -> list[tuple[str, str]]:
        """Headings and figures, as SVG, of the records of one image; none where nothing is drawn of single images."""
        return []

    def key(self) -> list[tuple[str, str]]:
        """Colours of the figures of single images, and what each stands for."""
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
