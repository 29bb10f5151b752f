"""The suite in two parts: what is marked slow runs in CI too, and what it tests is tested quickly as well."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from sweeps import COLLECTED

ROOT = Path(__file__).parents[1]
# Files of slow tests alone, and where the same behaviour is tested quickly.
QUICK_SIBLINGS = {
    "test_compare.py": "test_comparison.py",
    "test_ddp_run.py": "test_distributed.py",
    "test_explorer_in_browser.py": "test_explorer.py",
    "test_joint_soundness.py": "test_joint_rows.py",
    "test_sampling_coverage.py": "test_procedures.py",
    "test_strong_attacks.py": "test_soundness.py",
}


def recipe(target: str) -> str:
    """Commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}: .*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    return found[1].strip()


def test_ci_runs_both_parts_which_are_all() -> None:
    run = set((ROOT / ".ci" / "run").read_text().splitlines())
    assert {"make lint", "make test", "make test-slow", "make test-loggers"} <= run
    assert recipe("test") == '$(PYTEST) -m "not slow"'
    assert recipe("test-slow") == "$(PYTEST) -m slow"
    assert recipe("test-all") == "$(PYTEST)"


def test_make_alone_lists_what_can_be_made_and_makes_nothing() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^([a-z-]+):", text, re.MULTILINE)[1] == "help"  # type: ignore[index]
    assert "\nhelp:\n\t@sed" in text
    told = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^make ([a-z-]+)  ", told, re.MULTILINE))
    assert {"quickstart", "test", "lint", "docs", "demo-generative", "help"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_modules_have_names_of_their_own() -> None:
    """Folders of tests are no packages: of two modules of one name the second would not be found."""
    counts = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert {name for name, count in counts.items() if count > 1} == set()


def test_what_is_tested_slowly_is_tested_quickly_too(request: pytest.FixtureRequest) -> None:
    """Of the files that were collected."""
    collected = request.config.stash[COLLECTED]
    quick = {path.name for path, slow in collected if not slow}
    files = {path.name for path, _ in collected}
    assert files - quick == files & QUICK_SIBLINGS.keys()
    assert {QUICK_SIBLINGS[name] for name in files - quick} & files <= quick
