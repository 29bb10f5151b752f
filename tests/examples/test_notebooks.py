"""The notebooks of examples/ run from their first cell to their last, with tiny settings, and hold no outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def cells(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[Any]]:
    """Runs the cells of a notebook in a folder; what they named, and what each would show below itself."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HRVLM_EXAMPLES", "tiny")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("sys.argv", ["notebook"])  # Lightning warns of arguments from two sides
    names: dict[str, Any] = {}
    shown = []
    with torch.random.fork_rng():
        for number, cell in enumerate(cells(name)):
            body = ast.parse("".join(cell["source"])).body
            last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), f"{name}, cell {number}", "exec"), names)
            if isinstance(last, ast.Expr):
                shown.append(eval(compile(ast.Expression(last.value), f"{name}, cell {number}", "eval"), names))
    return names, shown


def test_there_are_four_without_outputs() -> None:
    assert NAMES == ["train_and_certify", "vision_language_model", "your_folder", "your_tree"]
    for name in NAMES:
        assert len(cells(name)) >= 4
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(name))


def test_a_folder_and_a_tree_of_ones_own_are_certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("your_folder", "your_tree"):
        (tmp_path / name).mkdir()
    names, shown = run("your_folder", tmp_path / "your_folder", monkeypatch)
    assert {record.index for record in names["certificates"]} == set(range(4))
    assert len(shown[-1].axes[0].get_yticklabels()) == 2
    names, shown = run("your_tree", tmp_path / "your_tree", monkeypatch)
    assert {record.level_name for record in names["certificates"] if record.level == 1} == {"level 1"}
    assert [axes.get_title() for axes in shown[-1].axes] == ["kinds"]


@pytest.mark.slow
def test_a_model_that_answers_in_words_is_certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, shown = run("vision_language_model", tmp_path, monkeypatch)
    assert {record.claim for record in names["certificates"]} == {"composite", "semantic"}
    assert shown[-1] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:The number of training batches.*")
def test_training_and_certifying_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, shown = run("train_and_certify", tmp_path, monkeypatch)
    assert len({record.index for record in names["certificates"]}) == 2
    assert shown[-1] == []
