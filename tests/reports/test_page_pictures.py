"""Pictures of pages are made by a browser as a reader's would show them, from their top."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from report_rows import smoothing_row

from hrvlm.reports.html import render_report

ROOT = Path(__file__).parents[2]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    found = import_module("browser")
    if found.CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    return found


def test_a_page_opens_at_its_top_and_follows_what_its_reader_prefers(browser: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    rows = [smoothing_row(index=i, count=99, label=1, level=k) for i in range(60) for k in (0, 1)]
    page.write_text(render_report(rows), encoding="utf-8")
    with browser.browser() as tab:
        for dark in (False, True):
            tab.open(page.as_uri(), 390, 500, dark=dark)
            browser.saved(tab.picture(), tmp_path / "page.png")
            with Image.open(tmp_path / "page.png") as image:
                assert image.size == (390, 500)
                assert (sum(image.convert("RGB").getpixel((2, 2))) < 200) == dark
            place = tab.send("Runtime.evaluate", expression="`${scrollY} ${location.hash}`")
            assert place["result"]["value"] == "0 "
        tab.open(f"{page.as_uri()}#images", 390, 500, dark=False)
        place = tab.send("Runtime.evaluate", expression="`${scrollY > 0} ${location.hash}`")
        assert place["result"]["value"] == "true #images"
