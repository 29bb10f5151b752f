"""The page on paper: nothing is wider than the sheet or cut by its end, and nothing is there that paper cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from compared_models import comparison
from devtools import CHROMIUM, Browser
from pushed_rows import RECORDS
from report_rows import all_rows, robustness_rows, semantic_rows, smoothing_row

from hrvlm.reports.comparison import rendered
from hrvlm.reports.html import AtHand, render_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
SHEETS = {"A4, half an inch of margin": (698, 1027), "Letter, an inch of margin": (624, 864)}
"""Width and height of what is printed on, in the pixels of style sheets (96 an inch)."""
RADII = [0.05 * step for step in range(9)]
NAMES = ["ant", "a class whose name goes on and on, as names of synsets with all their lemmas do", "cat", "dog"]

WIDER = """
const right = document.documentElement.clientWidth + 1;
const printed = [...document.querySelectorAll("h1, h2, p, li, figure, svg, table, th, td, img, pre, summary, .state")];
printed.filter((each) => each.getClientRects().length && each.getBoundingClientRect().right > right)
  .map((each) => each.outerHTML.slice(0, 80))
"""
OUTSIDE = """
[...document.querySelectorAll("svg")].flatMap((drawing) => {
  const frame = drawing.getBoundingClientRect();
  const beyond = (box) => box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
  return [...drawing.querySelectorAll("text")].filter((each) => beyond(each.getBoundingClientRect()))
    .map((each) => each.textContent);
})
"""
OVERLAPPING = """
[...document.querySelectorAll("svg")].flatMap((drawing) => {
  const texts = [...drawing.querySelectorAll("text")].filter((each) => each.textContent.trim());
  const boxes = texts.map((each) => each.getBoundingClientRect());
  const beside = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1;
  const apart = (a, b) => beside(a, b) || a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
  return boxes.flatMap((box, k) => boxes.slice(k + 1).flatMap((other, j) =>
    apart(box, other) ? [] : [texts[k].textContent + " | " + texts[k + 1 + j].textContent]));
})
"""
CUT = """
[...document.querySelectorAll("figure, tr, .numbers li")].filter((each) => {
  const kept = getComputedStyle(each).breakInside === "avoid";
  return each.getClientRects().length && !(kept && each.getBoundingClientRect().height < HEIGHT);
}).map((each) => each.outerHTML.slice(0, 80))
"""
ALONE = """
[...document.querySelectorAll("h2, h3, caption, summary")]
  .filter((each) => getComputedStyle(each).breakAfter !== "avoid").map((each) => each.outerHTML.slice(0, 80))
"""
CONTROLS = """
[...document.querySelectorAll("nav, select, input, dialog, button, [role=status]")].filter((each) => {
  const heading = each.closest("#shown"), count = each.id === "count"; // words of a table, which paper has as well
  return each.getClientRects().length && !heading && !count;
}).map((each) => each.outerHTML.slice(0, 80))
"""


def certificates() -> str:
    rows = [smoothing_row(index=i, level=k, count=[99, 40, 95][i % 3]) for i in range(60) for k in (0, 1)]
    more = [row for row in all_rows() if row["kind"] in ("joint", "profile")]
    semantic = [row for name in ("small", "dark", "blue background") for row in semantic_rows(attribute=name)]
    title = f"Certificates of /{'a_long_folder' * 20}.ckpt"
    at_hand = AtHand(lambda index: torch.full((3, 8, 8), 0.5), {("t", 0): NAMES}, {("t", 0): [0, 0, 1, 1]})
    settings = {"checkpoint": "/" + "a_long_folder" * 30}
    return render_report(
        [*rows, *more, *semantic], robustness_rows(), title=title, radii=RADII, settings=settings, at_hand=at_hand
    )


def towards_an_answer() -> str:
    return render_report([], targeted_attacks=[record.to_row() for record in RECORDS])


def compared() -> str:
    return rendered(comparison("a model with a long name", "another model with a long name"), "html", {})


@pytest.fixture(scope="module", params=[certificates, towards_an_answer, compared])
def printed(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page, laid out as for paper."""
    folder = tmp_path_factory.mktemp("printed")
    (folder / "report.html").write_text(request.param(), encoding="utf-8")
    with Browser(folder / "browser") as browser:
        browser.open((folder / "report.html").as_uri())
        browser.wait('document.readyState === "complete" && document.querySelectorAll("main").length')
        browser.send("Emulation.setEmulatedMedia", media="print")
        yield browser


@pytest.mark.parametrize("sheet", SHEETS.values(), ids=SHEETS)
def test_nothing_is_wider_than_a_sheet_or_cut_by_its_end(printed: Browser, sheet: tuple[int, int]) -> None:
    width, height = sheet
    printed.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    assert printed.evaluate('document.querySelectorAll("main table").length') >= 1
    assert printed.evaluate(WIDER) == []
    assert printed.evaluate(OUTSIDE) == []
    assert printed.evaluate(OVERLAPPING) == []
    assert printed.evaluate(CUT.replace("HEIGHT", str(height))) == []
    assert printed.evaluate(ALONE) == []  # a heading stays with what follows it


def test_paper_has_no_controls_and_folds_nothing(printed: Browser) -> None:
    assert printed.evaluate(CONTROLS) == []
    folded = (
        '[...document.querySelectorAll("details")].filter((each) => each.lastElementChild.offsetHeight === 0).length'
    )
    assert printed.evaluate(folded) == 0
    assert printed.errors == []
