"""Rows of one folder come from one tree: what it says and which class lies where, not only what it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_runs import command_line

from hrvlm.cli.certify import main

PLANS: dict[str, dict[str, Any]] = {
    "run": {"num_images": 2, "n0": 8, "n": 20, "alpha": 0.05, "semantic": False},
    "attack": {"num_images": 2, "attacks": ["pgd1"], "threat_model": {"eps": 0.01}},
}


def other_prompts(tree: dict[str, Any]) -> None:
    tree["template"] = "a drawing of a {}"


def other_prompt_of_one_node(tree: dict[str, Any]) -> None:
    tree["nodes"]["plant"]["prompt"] = "a green thing"


def exchanged_groups(tree: dict[str, Any]) -> None:
    nodes = tree["nodes"]
    nodes["ant"]["parent"], nodes["gem"]["parent"] = nodes["gem"]["parent"], nodes["ant"]["parent"]


def other_level_names(tree: dict[str, Any]) -> None:
    tree["levels"] = ["class", "group"]


@pytest.fixture(scope="module", params=PLANS)
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def finished_run(
    command: str, tiny_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Callable[..., list[str]], Path]:
    """Command line of a run, and the folder of one that is done."""
    folder = tmp_path_factory.mktemp("trees")
    given: dict[str, Any] = {"pictures": pictures, "tree": tree_file, "plan": PLANS[command], "folder": folder}
    arguments = command_line(command, tiny_model, **given)
    main(arguments(folder / "run"))
    return arguments, folder / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("change", [other_prompts, other_prompt_of_one_node, exchanged_groups, other_level_names])
def test_a_tree_that_was_edited_between_two_starts_is_refused(
    change: Callable[[dict[str, Any]], None],
    finished_run: tuple[Callable[..., list[str]], Path],
    tree_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, folder = finished_run
    tree = yaml.safe_load(tree_file.read_text(encoding="utf-8"))
    change(tree)
    other = tmp_path / "kinds.yaml"
    other.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    before = content(folder)
    with pytest.raises(SystemExit) as stopped:
        main(arguments(folder, "--trees", f"[{other}]"))
    assert stopped.value.code == 1
    assert "expected the trees that the rows in" in capsys.readouterr().err
    assert content(folder) == before


def test_the_same_tree_in_other_words_goes_on(
    finished_run: tuple[Callable[..., list[str]], Path], tree_file: Path, tmp_path: Path
) -> None:
    arguments, folder = finished_run
    tree = yaml.safe_load(tree_file.read_text(encoding="utf-8")) | {"description": "of other words", "licence": "CC0"}
    other = tmp_path / "elsewhere.yaml"
    other.write_text(yaml.safe_dump(tree, sort_keys=True), encoding="utf-8")
    main(arguments(folder, "--trees", f"[{other}]"))
