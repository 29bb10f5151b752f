"""The benchmark of start-up stops the clock at the first line, and again where work begins."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def start_up(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("start_up")


def test_a_command_is_timed_until_it_says_something_and_until_it_works(start_up: ModuleType) -> None:
    busy = "import time\nwhile time.process_time() < {}: pass\n"
    said = {"loading": 0.3, "Preparing 12 prompts": 0.6, "done 0/8": 0.9}
    code = "".join(f"{busy.format(seconds)}print({line!r}, flush=True)\n" for line, seconds in said.items())
    found = start_up.until_it_works([sys.executable, "-c", code + "time.sleep(600)"], os.environ)
    assert 0.25 <= found["processor_until_first_line"] <= found["processor_until_begun"] - 0.2
    assert found["processor_until_begun"] <= found["processor_until_work"] - 0.2
    assert found["wall_until_first_line"] <= found["wall_until_begun"] <= found["wall_until_work"] < 300
    code = "print('done 0/8', flush=True)\nimport time\ntime.sleep(600)"
    found = start_up.until_it_works([sys.executable, "-c", code], os.environ)
    assert found["wall_until_begun"] == found["wall_until_work"]


def test_commands_that_fail_are_not_timed(start_up: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="to succeed, got exit code 3"):
        start_up.to_the_end([sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    with pytest.raises(RuntimeError, match="to work, it ended: no model"):
        start_up.until_it_works([sys.executable, "-c", "print('no model')"], os.environ)


def test_command_lines_name_folders_that_are_there(start_up: ModuleType, tmp_path: Path) -> None:
    words = start_up.filled(("certify.py", "compare", "ROWS", "OTHER", "--output", "NEW/certify.yaml"), tmp_path)
    assert words[1:5] == ["certify.py", "compare", str(tmp_path / "ROWS"), str(tmp_path / "OTHER")]
    assert Path(words[-1]).parent.is_dir()
    assert Path(words[-1]).name == "certify.yaml"
