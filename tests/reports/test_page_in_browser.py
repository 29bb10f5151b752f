"""The page in a browser: what its address asks for is shown, no script complains, and nothing is read as markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from report_rows import robustness_rows, semantic_rows, smoothing_row

from hrvlm.reports.html import AtHand, render_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
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


def shown(page: Path, address: str) -> str:
    """The document that the browser has made of the page; fails where a script complains."""
    profile = page.parent / "profile"
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom",
         "--enable-logging=stderr", "--virtual-time-budget=2000", f"file://{page}{address}"],
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
