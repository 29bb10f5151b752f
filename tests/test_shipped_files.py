"""Shipped files are found by name or by their path in the repository, and what is there goes before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrvlm import shipped
from hrvlm.trees import TreeError, load_forest, load_tree

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tree_of_the_package_is_found_from_any_folder() -> None:
    expected = load_tree(ROOT / "trees" / "cifar10.yaml").leaves
    assert load_tree("cifar10").leaves == load_tree("trees/cifar10.yaml").leaves == expected
    assert [tree.name for tree in load_forest(["emoji_unicode", "emoji_wordnet"])] == ["emoji_unicode", "emoji_wordnet"]


def test_a_file_that_is_there_goes_before_a_shipped_one(elsewhere: Path) -> None:
    own = (ROOT / "trees" / "cifar10.yaml").read_text().replace("name: cifar10", "name: own")
    for name in ("cifar10", "trees/cifar10.yaml"):
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_text(own)
        assert load_tree(name).name == "own"


def test_an_unknown_tree_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(TreeError, match=r"no such tree file.*cifar10, cifar100"):
        load_tree("cifar11")


@pytest.mark.parametrize("path", ["trees/../pyproject.toml", "trees/none.yaml", "/trees/cifar10.yaml", "configs", "."])
def test_nothing_else_is_reached(path: str) -> None:
    assert shipped.find(path) == Path(path)


def test_a_configuration_is_named_by_its_last_parts() -> None:
    names = shipped.names("configs")
    assert {"emoji/quickstart", "certify/emoji"} <= set(names)
    assert shipped.named("quickstart", "configs") == shipped.root("configs") / "emoji" / "quickstart.yaml"
    assert shipped.named("certify/emoji", "configs") == shipped.root("configs") / "certify" / "emoji.yaml"
    assert shipped.named("start", "configs") is None


def test_a_name_of_several_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a/one or b/one"):
        shipped.named("one", "configs", among=["a/one", "b/one"])
