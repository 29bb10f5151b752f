"""Pages that need nothing but themselves, of headings, texts, figures and tables of the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
from rich.table import Table

from hrvlm.reports.terminal import lines_of


def render_tables(
    title: str, subtitle: str, sections: Iterable[tuple[str, str, Sequence[Table]]], settings: Mapping[str, Any]
) -> str:
    """Tables as one HTML page.

    Args:
        title: Heading of the page.
        subtitle: What it shows, in a sentence.
        sections: Heading, text and tables of each.
        settings: What else is known.
    """
    told = [
        page_section(f"tables-{i}", heading, text, [], list(tables))
        for i, (heading, text, tables) in enumerate(sections)
    ]
    shown = json.dumps(settings, indent=2, ensure_ascii=False)
    return page_template().render(title=title, subtitle=subtitle, sections=told, settings=shown)


def page_template() -> jinja2.Template:
    """The page, with everything that is put into it escaped."""
    loader = jinja2.PackageLoader("hrvlm.reports", "")
    plain = jinja2.Environment(loader=loader, autoescape=True, finalize=_shown)
    return plain.get_template("report.html.jinja")


def _shown(value: Any) -> Any:
    """Texts with control characters written out, which pages must not hold; finished parts of the page as they are."""
    return lines_of(value) if type(value) is str else value


def page_section(name: str, heading: str, text: str, drawn: list[str], tables: list[Table]) -> dict[str, Any]:
    """A section of the page: its anchor, heading, text, figures as SVG, and tables."""
    return {"id": name, "heading": heading, "text": text, "figures": drawn, "tables": [_cells(t) for t in tables]}


def _cells(table: Table) -> dict[str, Any]:
    """A table of the terminal, cell by cell."""
    kinds = ["number" if column.justify == "right" else "" for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return {
        "title": ". ".join(str(part) for part in (table.title, table.caption) if part),
        "head": [(str(column.header), kind) for column, kind in zip(table.columns, kinds, strict=True)],
        "rows": [list(zip(cells, kinds, strict=True)) for cells in zip(*columns, strict=True)],
    }
