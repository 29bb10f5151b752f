"""The explorer as it is used: the command serves it, a browser shows it, a person chooses, types and presses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from devtools import CHROMIUM, Browser
from PIL import Image

pytest.importorskip("panel")
AXE = Path(__file__).parents[1] / "reports" / "node_modules" / "axe-core" / "axe.min.js"
JUDGED = """axe.run(document).then((found) => JSON.stringify([found.passes.length, found.violations.map(
  (rule) => [rule.id, rule.nodes.map((node) => node.target.join(" "))])]))"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Where the command serves the packaged model, from an empty folder."""
    here = folder / "here"
    here.mkdir()
    command = [sys.executable, "-m", "hrvlm", "explore", "--checkpoint", "emoji"]
    given = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    # Programs that a shell started in its background ignore Ctrl-C, and so does whatever they start.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    server = subprocess.Popen(command, cwd=here, env=given, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, kept)
    try:
        assert server.stdout is not None
        said = next((line for line in server.stdout if "http://" in line), "")
        assert "Explorer of emoji: http://127.0.0.1:" in said
        yield said.partition("http://")[2].split()[0]
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 128 + signal.SIGINT
    finally:
        server.kill()
        server.communicate()
    assert list(here.iterdir()) == []


def answer(address: str, *, path: str = "/", **headers: str) -> int:
    connection = HTTPConnection(address, timeout=60)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_other_sites_are_refused(address: str) -> None:
    assert answer(address) == 200
    assert answer(address, Origin=f"http://{address}") == 200
    assert answer(address, Origin="http://evil.example") == 403
    assert answer(address, Host="evil.example") == 403
    assert answer(address, path="/components/this/s/css/a") == 403
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert answer(f"{address}", Origin="http://evil.example", **upgrade) == 403


def test_a_picture_is_explored(address: str, folder: Path) -> None:
    photo = folder / "red.png"
    Image.new("RGB", (90, 60), (220, 30, 30)).save(photo)
    with Browser(folder / "profile") as browser:
        browser.open(f"http://{address}/")
        browser.wait('text().includes("What is guaranteed")')
        bars = 'deep(document, (e) => e.className === "change").textContent'
        first = browser.evaluate(bars)
        assert "emoji_unicode/group" in first

        browser.type("Target prompt", "a dark picture of a {}")
        browser.wait(f"{bars} !== {first!r}")
        browser.type("Target prompt", "no place for the class")
        browser.wait('text().includes("for the class in the prompts")')
        browser.type("Target prompt", "a small picture of a {}")
        browser.wait('!text().includes("for the class in the prompts")')

        browser.type("Samples (n)", "150")
        browser.leave("Samples (n)")
        counted = 'text().includes(" of 150") && text().includes("bars reach to an L2 radius")'
        browser.press("Start the vote")
        if not browser.seen(counted, 60):  # a busy server may take the number after the press that follows it
            browser.press("Start the vote")
        browser.wait(counted)
        browser.press("Attack")
        browser.wait('text().includes("The attack")')
        assert browser.evaluate('deep(document, (e) => e.alt === "attacked").naturalWidth') == 64

        seen = 'deep(document, (e) => e.tagName === "IMG" && e.alt.startsWith("the picture")).src'
        before = browser.evaluate(seen)
        browser.upload(photo)
        browser.wait(f"{seen} !== {before!r}")
        browser.wait('!text().includes("The attack")')
        browser.type("Class names", "a red thing, a blue thing")
        browser.leave("Class names")
        for tree in ("emoji_unicode", "emoji_wordnet"):
            box = f'deep(document, (e) => e.type === "checkbox" && e.parentElement.textContent === "{tree}")'
            browser.evaluate(f"{box}.click(); true")
        browser.wait(f'{bars}.includes("a red thing")')

        assert browser.errors == []
        own = (f"http://{address}/", f"ws://{address}/", f"blob:http://{address}/", "data:")
        assert [where for where in browser.addresses if not where.startswith(own)] == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install --prefix tests/reports")
def test_axe_finds_no_violations_after_a_vote_and_an_attack(
    width: int, dark: bool, address: str, tmp_path: Path
) -> None:
    with Browser(tmp_path / "profile", size=(width, 900), dark=dark) as browser:
        browser.open(f"http://{address}/")
        browser.wait('text().includes("What is guaranteed")')
        browser.press("Start the vote")
        browser.wait('text().includes("bars reach to an L2 radius")')
        browser.press("Attack")
        browser.wait('text().includes("difference, magnified")')
        browser.send("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
        passes, violations = json.loads(browser.evaluate(JUDGED))
        assert passes > 10
        assert violations == []
