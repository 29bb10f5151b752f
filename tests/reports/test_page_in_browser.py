"""The page in a browser: what its address asks for is shown, no script complains, and nothing is read as markup."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from devtools import Browser
from report_rows import robustness_rows, semantic_rows, smoothing_row

from hrvlm.reports.html import AtHand, render_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
JUDGED = """<script src="axe.min.js"></script><script>
axe.run(document).then((found) => {
  const told = document.createElement("pre");
  told.id = "judged";
  told.textContent = JSON.stringify({
    width: innerWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    passes: found.passes.length,
    violations: found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.target.join(" "))]),
  }).replaceAll("<", "(");
  document.body.append(told);
});
</script>"""
NAMES = ["ant", "<img src=x onerror=alert(1)>", "cat", "dog"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = [99, 40, 95]
    rows = [
        smoothing_row(index=i, count=counts[i % 3], label=1 + (i % 5 == 0), level=k) for i in range(60) for k in (0, 1)
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    at_hand = AtHand(lambda index: torch.full((3, 8, 8), 0.5), {("t", 0): NAMES}, {("t", 0): [0, 0, 1, 1]})
    path.write_text(render_report([*rows, *semantic_rows()], robustness_rows(), at_hand=at_hand), encoding="utf-8")
    return path


def shown(page: Path, address: str, *more: str) -> str:
    """The document that the browser has made of the page; fails where a script complains."""
    profile = page.parent / "profile"
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom",
         "--enable-logging=stderr", "--virtual-time-budget=2000", *more, f"file://{page}{address}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    return done.stdout


def lines(document: str) -> list[str]:
    body = document.partition('id="shown"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return re.findall(r"<tr>.*?</tr>", body, flags=re.DOTALL)


def test_the_first_page_of_all_images(page: Path) -> None:
    document = shown(page, "")
    assert len(lines(document)) == 50
    assert "60 of 60 images, page 1 of 2" in document
    assert '<img src="x"' not in document
    assert document.count('role="button"') >= 2  # keys of curves that can be hidden
    assert '<dialog id="picture" aria-labelledby="picture-title">' in document  # and is closed


def test_an_address_chooses_level_filter_order_and_image(page: Path) -> None:
    document = shown(page, "#show=wrong&view=1&sort=index&down=1&image=2")
    assert "Smoothing · t/level 1" in document
    found = lines(document)
    wrong = [i for i in range(60) if i % 5 == 0 and i % 3 != 1]
    assert [int(re.findall(r">(\d+)</button>", line)[0]) for line in found] == wrong[::-1]
    dialog = document.partition("<dialog")[2].partition("</dialog>")[0]
    assert "Image 2" in dialog
    assert "&lt;img src=x onerror=alert(1)&gt;" in dialog
    assert 'class="bar"' in dialog
    assert "small, cosine" in dialog
    assert " open" in document.partition("<dialog")[2].partition(">")[0]


def test_images_that_a_level_says_nothing_of_are_left_out_of_its_table(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    certificates = [smoothing_row(index=1), smoothing_row(index=7)]
    page.write_text(render_report(certificates, robustness_rows()), encoding="utf-8")
    certified, attacked = shown(page, ""), shown(page, "#view=1")  # images 1 and 7; 0 and 1
    assert [re.findall(r">(\d+)</button>", line) for line in lines(certified)] == [["1"], ["7"]]
    assert "2 of 3 images" in certified
    assert [re.findall(r">(\d+)</button>", line) for line in lines(attacked)] == [["0"], ["1"]]


def test_a_long_title_and_wide_tables_do_not_widen_the_page_of_a_phone(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    rows = [smoothing_row(), *semantic_rows()]
    text = render_report(rows, robustness_rows(), title=f"Certificates of /{'a_long_folder' * 20}.ckpt")
    page.write_text(text, encoding="utf-8")
    with Browser(tmp_path / "browser", size=(390, 844)) as browser:
        browser.open(page.as_uri())
        browser.wait('text().includes("Certificates of")')
        whole = "document.documentElement"
        assert browser.evaluate(f"{whole}.scrollWidth === {whole}.clientWidth")


def judged(page: Path, folder: Path, *more: str, address: str = "", dark: bool = False) -> dict[str, Any]:
    """What axe-core says of the page, which lets no foreign script run, so of a copy that does."""
    text = page.read_text(encoding="utf-8")
    text, policies = re.subn(r"<meta http-equiv=.Content-Security-Policy.*?>", "", text)
    assert policies == 1
    if dark:
        text, schemes = re.subn(r"@media \(prefers-color-scheme: dark\)", "@media all", text)
        assert schemes
    copy = folder / "page.html"
    copy.write_text(text.replace("</body>", f"{JUDGED}</body>"), encoding="utf-8")
    shutil.copy(AXE, folder)
    document = shown(copy, address, "--virtual-time-budget=20000", *more)
    told = re.search(r'<pre id="judged">(.*?)</pre>', document, re.DOTALL)
    assert told is not None
    found: dict[str, Any] = json.loads(html.unescape(told[1]))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install --prefix tests/reports")
def test_axe_finds_no_violations_light_dark_narrow_and_with_an_image_open(page: Path, tmp_path: Path) -> None:
    light = judged(page, tmp_path)
    dark = judged(page, tmp_path, dark=True)
    narrow = judged(page, tmp_path, "--window-size=390,844")
    opened = judged(page, tmp_path, address="#image=2")
    assert light["ground"] != dark["ground"]
    assert narrow["width"] < 600 < light["width"]
    for found in (light, dark, narrow, opened):
        assert found["passes"] > 10
        assert found["violations"] == []


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install --prefix tests/reports")
def test_axe_sees_what_is_wrong(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    broken.write_text(text.replace('<html lang="en">', "<html>"), encoding="utf-8")
    assert [rule for rule, _ in judged(broken, tmp_path)["violations"]] == ["html-has-lang"]


def test_charts_tell_values_and_hide_levels_and_the_shown_rows_become_a_table(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "browser") as browser:
        browser.open(page.as_uri() + "#show=wrong")
        browser.wait('text().includes("of 60 images")')
        browser.evaluate("""
          window.chart = document.querySelector("#smoothing svg[data-chart]");
          chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true})); true
        """)
        told = 'chart.parentElement.querySelector(".readout").textContent'
        assert browser.evaluate(told).startswith("0: level 0 53.33 (")
        browser.evaluate("""
          const box = chart.getBoundingClientRect();
          const at = {clientX: box.right - 5, clientY: box.top + 80, bubbles: true};
          chart.dispatchEvent(new PointerEvent("pointermove", at)); true
        """)
        assert "level 0 26.67 (" in browser.evaluate(told)  # the 16 of 60 that are right at the largest radius
        browser.evaluate('chart.querySelector(".key").dispatchEvent(new MouseEvent("click", {bubbles: true})); true')
        assert "level 0" not in browser.evaluate(told)
        browser.evaluate("""
          window.kept = null; URL.createObjectURL = (blob) => { window.kept = blob; return "#"; };
          document.getElementById("download").click(); true
        """)
        lines = browser.evaluate("window.kept.text()").strip().splitlines()
        assert len(lines) == 1 + sum(i % 5 == 0 and i % 3 != 1 for i in range(60))
        assert browser.errors == []
