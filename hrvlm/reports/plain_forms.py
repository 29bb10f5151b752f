"""Tables of the terminal as Markdown and LaTeX; texts in them stand for themselves, whatever they look like."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from hrvlm.trees.words import printable

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{letter: f"\\{letter}" for letter in "\\`*_[]|~#!$"}}


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown under its title, and then its caption."""
    lines = [_line(cells, markdown_text) for cells in _cells(table)]
    rule = " | ".join("---:" if column.justify == "right" else "---" for column in table.columns)
    title, caption = markdown_text(str(table.title or "")), markdown_text(str(table.caption or ""))
    body = "\n".join([lines[0], f"| {rule} |", *lines[1:]])
    return "\n\n".join(part for part in (f"**{title}**" if title else "", body, caption) if part) + "\n"


def latex(table: Table) -> str:
    """A LaTeX tabular that needs no package, with title and caption as comments before it."""
    rows = [" & ".join(map(latex_text, cells)) + r" \\" for cells in _cells(table)]
    columns = "".join("r" if column.justify == "right" else "l" for column in table.columns)
    said = [f"% {printable(str(text))}" for text in (table.title, table.caption) if text]
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([*said, begin, r"\hline", rows[0], r"\hline", *rows[1:], r"\hline", end]) + "\n"


def latex_text(text: str) -> str:
    """A text that LaTeX shows as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))


def markdown_text(text: str) -> str:
    """A text that Markdown shows as it is, within a line or a cell."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in printable(text))


def spreadsheet_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe before what could begin one."""
    shown = printable(text)
    return f"'{shown}" if text[:1] in tuple("=+-@\t\r\n") else shown


def _cells(table: Table) -> list[list[str]]:
    """Head and rows, cell by cell."""
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return [[str(column.header) for column in table.columns], *map(list, zip(*columns, strict=True))]


def _line(cells: list[str], escaped: Callable[[str], str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
