"""The trees that ship with the repository, and what a data set needs of them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from sweeps import sweep

from hrvlm.trees import ClassTree, Forest, load_forest, load_tree, save_tree
from hrvlm.trees.class_lists import read_classes
from hrvlm.trees.proposals import import_proposal

TREES = Path(__file__).parents[2] / "trees"
FILES = sorted(TREES.glob("*.yaml"))
QUICK = [TREES / f"{name}.yaml" for name in ("cifar10", "cifar100", "emoji_unicode", "imagenet_habitat")]
CLASSES = TREES / "sources" / "imagenet_classes.yaml"


@pytest.fixture(scope="module")
def forest() -> Forest:
    return load_forest([TREES / f"emoji_{name}.yaml" for name in ("unicode", "wordnet", "form")])


def sizes(tree: ClassTree) -> list[int]:
    return [len(level.ids) for level in tree.levels]


LICENCES = {"emoji_unicode": "MIT", "emoji_wordnet": "WordNet 3.0", "imagenet_wordnet": "WordNet 3.0"}
SIZES = {
    "cifar10": [10, 5, 2], "cifar100": [100, 20, 6], "emoji_form": [557, 46, 18, 7], "emoji_unicode": [557, 30, 4],
    "emoji_wordnet": [557, 72, 21, 4], "imagenet_wordnet": [1000, 204, 63, 17, 6],
    "imagenet_form": [1000, 40, 14, 3], "imagenet_function": [1000, 40, 15, 5], "imagenet_habitat": [1000, 40, 17, 7],
    "imagenet_material": [1000, 40, 16, 4],
}  # fmt: skip


@pytest.mark.parametrize("path", sweep(FILES, quick=QUICK), ids=lambda path: path.stem)
def test_a_shipped_tree_names_its_origin_and_is_written_as_saved(path: Path, tmp_path: Path) -> None:
    tree = load_tree(path)
    assert tree.name == path.stem
    assert tree.info.description
    assert LICENCES.get(tree.name, "CC0-1.0") in tree.licence
    assert sizes(tree) == SIZES[path.stem]
    save_tree(tree, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", sweep(FILES, quick=QUICK), ids=lambda path: path.stem)
def test_every_text_of_a_level_is_its_own(path: Path) -> None:
    tree = load_tree(path)
    for level in tree.levels:
        texts = [" ".join(text.lower().split()) for text in tree.prompts(level.index)]
        assert len(set(texts)) == len(level.ids)
        assert all(name.strip() for name in level.names)


@pytest.mark.parametrize("path", sorted((TREES / "sources").glob("*.json")), ids=lambda path: path.stem)
def test_importing_a_shipped_proposal_gives_the_shipped_tree(path: Path, tmp_path: Path) -> None:
    leaves = TREES / "emoji_unicode.yaml" if path.stem.startswith("emoji") else CLASSES
    save_tree(import_proposal(path, read_classes(leaves)), tmp_path / "tree.yaml")
    assert (tmp_path / "tree.yaml").read_bytes() == (TREES / f"{path.stem}.yaml").read_bytes()


@pytest.mark.parametrize("path", sorted((TREES / "sources").glob("*.json")), ids=lambda path: path.stem)
def test_a_proposed_tree_has_three_levels_above_the_leaves_and_no_union_at_the_top(path: Path) -> None:
    tree = load_tree(TREES / f"{path.stem}.yaml")
    assert len(tree.levels) == 4
    assert not [name for name in tree.levels[-1].names if re.search(r",|\bor\b|\band\b", name)]


def test_the_review_of_proposed_trees_is_of_their_leaves_and_says_what_was_moved() -> None:
    review = json.loads((TREES.parent / "benchmarks" / "results" / "tree_review.json").read_text("utf-8"))
    for name, found in review["trees"].items():
        tree = load_tree(TREES / f"{name}.yaml")
        groups = {tree.nodes[leaf].name: tree.nodes[str(tree.nodes[leaf].parent)].name for leaf in tree.leaves}
        assert sorted(found["sample"]) == sorted(random.Random(review["seed"]).sample(sorted(groups), review["of"]))
        assert found["wrong"] == len(set(found["sample"]) & set(found["mended"]))
        assert all(groups[leaf] == after for leaf, (_, after) in found["mended"].items())
        unmoved = set(found["sample"]) - set(found["mended"])
        assert all(groups[leaf] == found["sample"][leaf] for leaf in unmoved)


def test_imagenet_has_one_forest_of_five_trees_in_class_order() -> None:
    trees = load_forest(sorted(TREES.glob("imagenet_*.yaml")))
    assert len(trees) == 5
    assert trees.leaves == read_classes(CLASSES).ids == tuple(sorted(trees.leaves))


def test_cifar_leaves_are_torchvisions_classes_and_superclasses_hold_five() -> None:
    ten = "airplane automobile bird cat deer dog frog horse ship truck"
    assert load_tree(TREES / "cifar10.yaml").leaves == tuple(ten.split())
    hundred = load_tree(TREES / "cifar100.yaml")
    assert hundred.leaves == tuple(sorted(hundred.leaves))
    assert {"aquarium_fish", "lawn_mower", "maple_tree", "pickup_truck", "sweet_pepper"} <= set(hundred.leaves)
    assert set(Counter(hundred.rows[1]).values()) == {5}


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
        assert sizes(after)[-1] == sizes(before)[-1]
        assert all(kept >= 0.9 * full for kept, full in zip(sizes(after)[1:], sizes(before)[1:], strict=True))


def test_words_with_two_meanings_were_read_the_right_way(forest: Forest) -> None:
    expected = {"bat": "mammal", "seal": "mammal", "turkey": "bird", "fly": "invertebrate", "lime": "produce",
                "mouse": "mammal", "kite": "play", "cricket": "invertebrate", "cricket game": "play", "mate": "drink",
                "orangutan": "mammal", "tangerine": "produce", "bank": "building"}  # fmt: skip
    tree = forest[1]
    family = [tree.levels[2].ids[index] for index in tree.ancestors[2].tolist()]
    for leaf, group in expected.items():
        assert family[tree.leaves.index(leaf)] == f"family/{group}", leaf
