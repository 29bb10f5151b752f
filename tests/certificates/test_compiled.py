"""Machine code that is kept between starts: damaged, it is made again."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from hrvlm.certificates import _jit as compiled

MODULE = """
from hrvlm.certificates._jit import compiled

@compiled
def double(number):
    return 2 * number
"""


def doubled(folder: Path) -> tuple[int, Any]:
    """What a module answers that is imported anew, as by another process, and how it came by its machine code."""
    spec = importlib.util.spec_from_file_location("doubling", folder / "doubling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double(4), module.double.stats


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compiled")
    (made / "doubling.py").write_text(MODULE)
    assert doubled(made)[0] == 8
    return made


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("size", [0, 30])
def test_damaged_code_is_made_again(kind: str, size: int, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (kept,) = folder.rglob(f"*.{kind}")
    kept.write_bytes(kept.read_bytes()[:size])
    with caplog.at_level(logging.WARNING):
        assert doubled(folder)[0] == 8
    assert f"{kept.parent} is damaged" in caplog.text
    answer, found = doubled(folder)
    assert answer == 8
    assert sum(found.cache_hits.values()) == 1


def test_code_that_cannot_be_kept_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "doubling.py").write_text(MODULE)
    monkeypatch.setattr(compiled.FunctionCache, "save_overload", full)
    with caplog.at_level(logging.WARNING):
        assert doubled(tmp_path)[0] == 8
    assert "cannot be kept" in caplog.text
