"""Builders on the real WordNet 3.0: a parent policy, pruning, reviewed groups, and the shipped tree byte for byte."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hrvlm.trees import ClassTree, TreeError
from hrvlm.trees.cutting import cut_by_size
from hrvlm.trees.grouped import build_grouped_tree, rebuild_file
from hrvlm.trees.structure import path_to_top
from hrvlm.trees.wordnet import build_wordnet_tree, choose_parent
from hrvlm.trees.wordnet_data import hypernyms, synset_by_id, synset_id

ROOT = Path(__file__).parents[2]
MAPPING = ROOT / "trees" / "sources" / "emoji_synsets.yaml"
SOME = {
    "dog": "n02084071", "dog face": "n02084071", "poodle": "n02113335", "cat": "n02121808", "owl": "n01621127",
    "bird": "n01503061", "apple": "n07739125", "oak": "n12268246", "car": "n02958343", "bus": "n02924116",
    "spoon": "n04284002", "milk": "n07844042",
}  # fmt: skip


def words(name: str) -> str:
    return name.split(".")[0].replace("_", " ")


@pytest.mark.slow
def test_rebuilding_the_shipped_tree_gives_the_same_bytes(wordnet: Any, tmp_path: Path) -> None:
    rebuild_file(MAPPING, tmp_path / "tree.yaml", wordnet)
    assert (tmp_path / "tree.yaml").read_bytes() == (ROOT / "trees" / "emoji_wordnet.yaml").read_bytes()


def test_every_comment_of_the_mapping_names_the_synset_it_stands_behind(wordnet: Any) -> None:
    lines = MAPPING.read_text(encoding="utf-8").split("\nleaves:\n")[1].splitlines()
    assert len(lines) == 557
    for line in lines:
        found = re.fullmatch(r"  .+: (n\d{8})  # ([^:]+): (.+)", line)
        assert found, line
        name, lemma, gloss = found.groups()
        synset = synset_by_id(wordnet, name, line)
        assert lemma == synset.lemma_names()[0].replace("_", " ")
        assert synset.definition().startswith(gloss.removesuffix(" ..."))


def test_hypernyms_come_by_offset_though_nltk_shuffles_them(wordnet: Any) -> None:
    nouns = list(islice((one for one in wordnet.all_synsets("n") if len(one.hypernyms()) > 1), 60))
    assert len(nouns) == 60
    for noun in nouns:
        offsets = [one.offset() for one in hypernyms(noun)]
        assert offsets == sorted(one.offset() for one in [*noun.hypernyms(), *noun.instance_hypernyms()])
    fuji = [words(one.name()) for one in hypernyms(wordnet.synset("fuji.n.02"))]
    assert fuji == ["volcano"], "an instance has instance hypernyms"


@pytest.mark.parametrize("policy", ["first", "shortest", "longest"])
@pytest.mark.parametrize("prune", [True, False])
def test_a_tree_follows_hypernym_links(wordnet: Any, policy: Any, prune: bool) -> None:
    tree = build_wordnet_tree(wordnet, SOME, policy=policy, prune=prune)
    assert tree.leaves == tuple(SOME)
    for leaf, name in SOME.items():
        path, synset = path_to_top(tree.nodes, leaf), synset_by_id(wordnet, name, leaf)
        allowed = {synset_id(one) for hypernym_path in synset.hypernym_paths() for one in hypernym_path}
        assert set(path[1:]) <= allowed
        if not prune:
            assert path[1] == name
            assert wordnet.synset("entity.n.01") == synset_by_id(wordnet, path[-1], leaf)
    children = [node.parent for node in tree.nodes.values()]
    if prune:
        assert all(children.count(key) > 1 for key in set(children) if key is not None)


def test_hypernyms_are_cut_by_the_classes_below_them(wordnet: Any) -> None:
    few = {"dog": "n02084071", "wolf": "n02114100", "cat": "n02121808", "lion": "n02129165", "car": "n02958343"}
    cut = cut_by_size(build_wordnet_tree(wordnet, few), [2, 4])
    assert [set(level.names) for level in cut.levels[1:]] == [{"canine", "feline", "whole"}, {"carnivore", "whole"}]


def test_policies_choose_as_they_say(wordnet: Any) -> None:
    dog = wordnet.synset("dog.n.01")
    assert {words(one.name()) for one in hypernyms(dog)} == {"canine", "domestic animal"}
    assert words(choose_parent(dog, "shortest").name()) == "domestic animal"
    assert words(choose_parent(dog, "longest").name()) == "canine"
    for name in ("spoon.n.01", "milk.n.01", "apple.n.01", "bread.n.01", "dog.n.01"):
        synset = wordnet.synset(name)
        above = synset.hypernyms()
        assert choose_parent(synset, "first").offset() == min(one.offset() for one in above)
        assert choose_parent(synset, "shortest").min_depth() == min(one.min_depth() for one in above)
        assert choose_parent(synset, "longest").max_depth() == max(one.max_depth() for one in above)
    assert choose_parent(wordnet.synset("entity.n.01"), "first") is None


def test_classes_share_a_synset_or_lie_above_others(wordnet: Any) -> None:
    tree = build_wordnet_tree(wordnet, SOME)
    dog, bird = "n02084071", "n01503061"
    assert {tree.nodes[leaf].parent for leaf in ("dog", "dog face", "poodle")} == {dog}
    assert {tree.nodes[leaf].parent for leaf in ("bird", "owl")} == {bird}
    texts = [node.name for node in tree.nodes.values()]
    assert len(set(texts)) == len(texts)


def test_a_wordnet_tree_can_be_cut(wordnet: Any) -> None:
    full, cut = build_wordnet_tree(wordnet, SOME), build_wordnet_tree(wordnet, SOME, num_levels=3)
    assert len(full.levels) > 3 == len(cut.levels)
    assert [cut.levels[i].ids for i in (0, 1, 2)] == [full.levels[i].ids for i in (0, 1, -1)]


def test_wrong_requests_are_refused(wordnet: Any) -> None:
    with pytest.raises(ValueError, match="policy to be one of first, shortest, longest, got 'deepest'"):
        build_wordnet_tree(wordnet, SOME, policy="deepest")  # type: ignore[arg-type]
    with pytest.raises(TreeError, match="at least one class"):
        build_wordnet_tree(wordnet, {})
    for name in ("n02084072", "n99999999"):
        with pytest.raises(TreeError, match=f"class 'dog': WordNet 3.0 has no synset '{name}'"):
            build_wordnet_tree(wordnet, {"dog": name})
    with pytest.raises(TreeError, match=r"class 'dog': expected a WordNet synset id .*, got 'dog\.n\.01'"):
        build_wordnet_tree(wordnet, {"dog": "dog.n.01"})


HEAD = "name: t\ndescription: t\nsource: t\nlicence: t\ntemplate: a {}\nlevels: [leaf, kind]\nsuperclasses:\n"
KINDS = "  canine: {parent: null, synsets: [n02083346]}\n  bird: {parent: null, synsets: [n01503061]}\n"
LEAVES = "leaves:\n  dog: n02084071\n  owl: n01621127\n"


def kind(name: str, entry: str) -> str:
    return f"  {name}: {{parent: null, {entry}}}\n"


def build(folder: Path, text: str, wordnet: Any) -> ClassTree:
    (folder / "map.yaml").write_text(text, encoding="utf-8")
    return build_grouped_tree(folder / "map.yaml", wordnet)


def test_groups_take_what_lies_below_their_synsets(wordnet: Any, tmp_path: Path) -> None:
    tree = build(tmp_path, HEAD + KINDS + LEAVES, wordnet)
    assert {leaf: tree.nodes[leaf].parent for leaf in tree.leaves} == {"dog": "canine", "owl": "bird"}
    assert tree.nodes["bird"].synset == "n01503061"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KINDS + LEAVES + "  spoon: n04284002\n", r"leaf 'spoon' \(n04284002\) belongs to none"),
        (KINDS + kind("pet", "synsets: [n01317541]") + LEAVES, "'dog' .* belongs to 'canine', 'pet'"),
        (KINDS + kind("pet", "synsets: [n02083346]") + LEAVES, "listed by 'canine' and by 'pet'"),
        (KINDS + kind("cat", "synsets: [n02121808]") + LEAVES, "superclass 'cat' has no leaf"),
        (KINDS + kind("cat", "synsets: [n02084072]") + LEAVES, "superclass 'cat': WordNet 3.0 has no synset"),
        (KINDS + kind("cat", "colour: red") + LEAVES, "superclass 'cat': expected 'parent' and no keys but"),
        (KINDS + "  cat: {synsets: [n02121808]}\n" + LEAVES, "superclass 'cat': expected 'parent'"),
        (KINDS + LEAVES + "colour: red\n", "unknown or missing: 'colour'"),
        (KINDS, "unknown or missing: 'leaves'"),
        (KINDS.replace("null", "top", 1) + kind("top", "synset: n01503061") + LEAVES,
         "leaf 'dog' is below 'top', but not below its synset n01503061"),
        (KINDS.replace("null", "nowhere", 1) + LEAVES, "node 'canine' has the unknown parent 'nowhere'"),
    ],
)  # fmt: skip
def test_groups_that_do_not_fit_are_refused(wordnet: Any, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TreeError, match=message) as caught:
        build(tmp_path, HEAD + text, wordnet)
    assert "map.yaml: " in str(caught.value)
