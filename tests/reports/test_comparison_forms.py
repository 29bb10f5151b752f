"""A comparison as tables, files and a page: the same numbers everywhere, and names that stand for themselves."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from compared_models import RADII, RIGHT, comparison
from report_rows import smoothing_row
from rich.table import Table

from hrvlm.cli.certify import main
from hrvlm.evaluation.comparison import Comparison, Line
from hrvlm.evaluation.paired import difference_of_means, difference_of_shares
from hrvlm.reports.comparison import FORMS, comparison_tables, explanation, rendered
from hrvlm.reports.plain_forms import latex, latex_text, markdown, spreadsheet_text
from hrvlm.reports.terminal import PlainConsole
from hrvlm.rows.measures import Measure

HOSTILE = (
    '=HYPERLINK("x")', "+1", "@a", "[/b]", "a|b", "<script>x</script>", "50% & $x_1$ #{~^\\", "a\nb", "\x1b[31m",
)  # fmt: skip


def cells(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*([str(c) for c in column.cells] for column in table.columns), strict=True)]


def test_tables_have_a_line_per_average_and_a_difference_per_further_model() -> None:
    attacks, smoothing = comparison_tables(comparison())
    assert [str(column.header) for column in attacks.columns] == [
        "tree", "level", "measure", "images", "a", "b", "difference",
    ]  # fmt: skip
    shares = difference_of_shares(*RIGHT)
    interval = f"+25.0 ({100 * shares.low:+.1f} to {100 * shares.high:+.1f})"  # type: ignore[operator]
    assert cells(attacks) == [["(all)", "leaf", "clean", "4", "50.0", "75.0", interval]]
    first, second = cells(smoothing)
    assert first[4:6] == ["0.0750", "0.1375"]
    assert re.fullmatch(r"\+0\.0625 \(\+0\.0\d{3} to \+0\.1\d{3}\)", first[6])
    assert second[4:] == ["", "50.0", ""]
    said = " ".join(explanation(comparison()))
    for words in ("from a,", "95 %", "Newcombe", "bootstrap", "Some are left out."):
        assert words in said


def test_lines_of_csv_hold_the_numbers_themselves() -> None:
    rows = list(csv.DictReader(io.StringIO(rendered(comparison(), "csv", {}))))
    assert [(row["model"], row["measure"]) for row in rows] == [
        ("a", "clean"), ("b", "clean"), ("a", "mean radius"), ("b", "mean radius"), ("b", "only one"),
    ]  # fmt: skip
    shares, means = difference_of_shares(*RIGHT), difference_of_means(*RADII)
    told = [float(rows[1][name]) for name in ("mean", "difference", "low", "high", "p_value")]
    assert told == [0.75, shares.estimate, shares.low, shares.high, shares.p_value]
    assert [float(rows[3][name]) for name in ("difference", "low", "high")] == [means.estimate, means.low, means.high]
    assert (rows[1]["difference_from"], rows[3]["p_value"], rows[4]["difference"]) == ("a", "", "")


class Texts(HTMLParser):
    """Texts of the cells of a page's tables, and how many scripts it has."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.scripts = 0
        self._inside = False

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.scripts += tag == "script"
        if tag in ("td", "th"):
            self._inside = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stand_for_themselves_in_every_form(name: str) -> None:
    found = comparison(second=name, tree=name)
    plain = name.replace("\n", "\\n").replace("\x1b", "\\x1b")
    text = rendered(found, "csv", {})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["model"].removeprefix("'") for row in rows} == {"a", plain}
    assert not any(cell[:1] in tuple("=+-@") for row in rows for cell in (row["model"], row["tree"]))
    page = Texts()
    page.feed(rendered(found, "html", {"models": {name: ["x"]}}))
    assert plain in page.cells or name in page.cells  # a page may break a line
    assert page.scripts == 1  # the page's own
    for line in rendered(found, "md", {}).splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 8
        assert not re.search(r"<|(?<!\\)(?:\\\\)*\[", line)
    for line in rendered(found, "tex", {}).splitlines():
        if line and not line.startswith(("%", r"\begin", r"\end", r"\hline")):
            assert line.endswith(r" \\")
            without = re.sub(r"\\(?:text\w+\{\}|[&%$#_{}]|\\$)", "", line)
            assert without.count("&") == 6
            assert not re.search(r"[%$#_{}~^\\<>|]", without)
    out = PlainConsole(width=300, record=True, file=io.StringIO())
    for table in comparison_tables(found):
        out.print(table)
    shown = out.export_text()
    assert "\x1b" not in shown
    assert (name if "\n" in name else plain).split("\n")[0] in shown


def test_every_form_is_written_and_pages_are_whole() -> None:
    for form in FORMS:
        text = rendered(comparison(), form, {"models": {"a": ["x"]}})
        assert text.endswith("\n") or form == "html"
        assert "+25.0" in text or form == "csv"
    page = rendered(comparison(), "html", {"models": {"a": ["x"]}})
    assert page.startswith("<!doctype html>")
    assert "<h2>Attacks: linf</h2>" in page
    assert "Some are left out." in page


def test_tables_align_as_on_the_terminal() -> None:
    table = Table(title="T", caption="C")
    table.add_column("name")
    table.add_column("number", justify="right")
    table.add_row("x_1", "2")
    assert markdown(table) == "**T**\n\n| name | number |\n| --- | ---: |\n| x\\_1 | 2 |\n\nC\n"
    assert latex(table).splitlines() == [
        "% T", "% C", r"\begin{tabular}{lr}", r"\hline", r"name & number \\", r"\hline", r"x\_1 & 2 \\", r"\hline",
        r"\end{tabular}",
    ]  # fmt: skip


def test_texts_of_latex_and_spreadsheets() -> None:
    assert latex_text("a\\b{c}") == r"a\textbackslash{}b\{c\}"
    assert [spreadsheet_text(text) for text in ("=1", "-1", "\t1", "a=1", "")] == ["'=1", "'-1", "'\\t1", "a=1", ""]


def test_a_page_has_a_curve_per_model_over_the_radii_that_were_compared() -> None:
    measures = [Measure("t", 1, "group", f"certified at {radius}", "right") for radius in ("0", "0.1", "0.25")]
    lines = tuple(Line("Smoothing", m, 4, (0.75 - k / 4, 1 - k / 4), (None, None)) for k, m in enumerate(measures))
    more = (
        Line("Smoothing", Measure("t", 1, "group", "certified at radius 0.1, x", "right"), 4, (0.5, 0.5), (None, None)),
    )
    page = rendered(Comparison(("a", "b"), lines + more, 0.95, ()), "html", {})
    assert page.count("<svg") == 1
    assert 'data-name="a" data-x="0 0.1 0.25" data-y="75 50 25"' in page
    assert 'data-name="b" data-x="0 0.1 0.25" data-y="100 75 50"' in page
    assert "<svg" not in rendered(comparison(), "html", {})


def test_the_command_compares_folders_of_rows_and_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("one", 60), ("other", 99)):
        (tmp_path / name).mkdir()
        rows = [smoothing_row(index=index, count=count) for index in range(2)]
        (tmp_path / name / "certificates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page, folders = tmp_path / "compared.html", [str(tmp_path / name) for name in ("one", "other")]
    main(["compare", *folders, "--names", "one", "other", "--radii", "0", "0.3", "--html", str(page)])
    said = capsys.readouterr().out
    assert said.endswith(f"{page}\n")
    assert "certified at 0.3" in said
    written = page.read_text(encoding="utf-8")
    assert 'data-name="one" data-x="0 0.3" data-y="0 0"' in written  # 60 of 100 are not above 1/2
    assert 'data-name="other" data-x="0 0.3" data-y="100 100"' in written
