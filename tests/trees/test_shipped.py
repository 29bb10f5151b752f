"""The trees that ship with the repository, and what a data set needs of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hrvlm.trees import ClassTree, Forest, load_forest, load_tree, save_tree

TREES = Path(__file__).parents[2] / "trees"
FILES = sorted(TREES.glob("*.yaml"))


@pytest.fixture(scope="module")
def forest() -> Forest:
    return load_forest([TREES / "emoji_unicode.yaml", TREES / "emoji_wordnet.yaml"])


def sizes(tree: ClassTree) -> list[int]:
    return [len(level.ids) for level in tree.levels]


def test_both_emoji_trees_hold_the_same_557_classes(forest: Forest) -> None:
    assert len(FILES) == 2
    assert [sizes(tree) for tree in forest] == [[557, 30, 4], [557, 72, 21, 4]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_tree_names_its_origin_and_is_written_as_saved(path: Path, tmp_path: Path) -> None:
    tree = load_tree(path)
    assert tree.name == path.stem
    assert tree.info.description
    assert {"emoji_unicode": "MIT", "emoji_wordnet": "WordNet 3.0"}[tree.name] in tree.licence
    save_tree(tree, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == path.read_bytes()


def test_the_unicode_tree_says_what_the_packaged_data_says(forest: Forest) -> None:
    index = json.loads((TREES.parent / "hrvlm" / "data" / "emoji_pack" / "files" / "index.json").read_text("utf-8"))
    entries = {entry["name"]: entry for entry in index["classes"]}
    nodes = forest[0].nodes
    for leaf in forest.leaves:
        subgroup = str(nodes[leaf].parent)
        assert subgroup == f"subgroup/{entries[leaf]['subgroup']}"
        assert nodes[subgroup].parent == f"group/{entries[leaf]['group']}"


def test_no_two_superclasses_of_a_tree_have_the_same_text(forest: Forest) -> None:
    for tree in forest:
        texts: dict[str, str] = {}
        for level in tree.levels[1:]:
            for node, text in zip(level.ids, tree.prompts(level.index), strict=True):
                assert texts.setdefault(text, node) == node, text
        assert not set(texts) & set(tree.prompts(0)), "a superclass has the text of a class"


@pytest.mark.parametrize("seed", range(20))
def test_all_levels_survive_a_random_tenth_of_the_classes_held_out(forest: Forest, seed: int) -> None:
    chosen = random.Random(seed).sample(forest.leaves, 501)
    small = forest.restrict(chosen)
    for before, after in zip(forest, small, strict=True):
        assert after.leaves == tuple(chosen)
        assert [level.name for level in after.levels] == [level.name for level in before.levels]
        assert sizes(after)[-1] == 4
        assert all(kept >= 0.9 * full for kept, full in zip(sizes(after)[1:], sizes(before)[1:], strict=True))


def test_words_with_two_meanings_were_read_the_right_way(forest: Forest) -> None:
    expected = {"bat": "mammal", "seal": "mammal", "turkey": "bird", "fly": "invertebrate", "lime": "produce",
                "mouse": "mammal", "kite": "play", "cricket": "invertebrate", "cricket game": "play", "mate": "drink",
                "orangutan": "mammal", "tangerine": "produce", "bank": "building"}  # fmt: skip
    tree = forest[1]
    family = [tree.levels[2].ids[index] for index in tree.ancestors[2].tolist()]
    for leaf, group in expected.items():
        assert family[tree.leaves.index(leaf)] == f"family/{group}", leaf
