"""Pages that need nothing but themselves, of headings, texts, charts, tables and a table of images."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hrvlm.reports.terminal import lines_of

if TYPE_CHECKING:
    import jinja2

_ASSETS = files("hrvlm.reports") / "assets"
_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)(?:\s*\(.*)?$")


def render_page(
    *,
    title: str,
    subtitle: str,
    sections: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    **more: Any,
) -> str:
    """A page with its style and scripts inside; a browser runs no other script and fetches nothing.

    Args:
        title: Heading of the page.
        subtitle: What it shows, in a sentence.
        sections: See `page_section`.
        settings: What else is known.
        data: Columns of the table of images, see `ImageColumns`.
        **more: What else the template takes.
    """
    names = ["charts.js", *(["images.js", "picture.js"] if data else [])]
    script = "{\n" + "\n".join(_asset(name) for name in names) + "}\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        settings=json.dumps(settings, indent=2, ensure_ascii=False),
        css=_asset("page.css"),
        script=script,
        script_hash=f"'sha256-{digest}'",
        data=None if data is None else _inside(data),
        pictures=bool(data and data["pictures"]),
        columns=(("index", "image"), ("label", "right class"), ("prediction", "predicted"), ("value", "value"),
                 ("state", "state")),
        **more,
    )  # fmt: skip


def page_section(
    name: str, heading: str, text: str, drawn: list[str], tables: list[Table], **more: Any
) -> dict[str, Any]:
    """A section of the page: its anchor, heading, text, charts as SVG, and tables.

    Args:
        name: its anchor.
        heading: above it.
        text: below the heading.
        drawn: charts.
        tables: of the terminal.
        **more: "guarantee", "reading" or "numbers", see the template.
    """
    found = {"id": name, "heading": heading, "text": text, "figures": drawn, "tables": [table_cells(t) for t in tables]}
    return found | more


def table_cells(table: Table, *, heat: bool = False) -> dict[str, Any]:
    """A table of the terminal, cell by cell.

    Args:
        table: the table.
        heat: whether cells that begin with a percentage are shaded by it.
    """
    kinds = ["number" if column.justify == "right" else "" for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return {
        "title": ". ".join(str(part) for part in (table.title, table.caption) if part),
        "head": [(str(column.header), kind) for column, kind in zip(table.columns, kinds, strict=True)],
        "rows": [list(zip(cells, kinds, strict=True)) for cells in zip(*columns, strict=True)],
        "heat": heat,
    }


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    """The page, with everything that is put into it escaped."""
    import jinja2  # which a run that is to write a page at its end need not wait for

    loader = jinja2.PackageLoader("hrvlm.reports", "")
    plain = jinja2.Environment(loader=loader, autoescape=True, finalize=_shown, trim_blocks=True)
    plain.filters["share"] = _share
    return plain.get_template("report.html.jinja")


def _shown(value: Any) -> Any:
    """Texts with control characters written out, which pages must not hold; finished parts of the page as they are."""
    return lines_of(value) if type(value) is str else value


def _share(cell: str) -> str | None:
    """The share that a cell in percent begins with; None for another cell."""
    found = _NUMBER.match(cell)
    return f"{min(float(found[1]), 100.0) / 100:.3f}" if found else None


def _inside(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that holds it, whatever the texts in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
