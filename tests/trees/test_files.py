"""Reading and writing tree files: what comes back, and one clear sentence for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrvlm.trees import ClassTree, Forest, Node, TreeError, TreeInfo, load_forest, load_tree, save_tree

HEAD = "name: zoo\nsource: here\nlicence: CC0\n"
NODES = "nodes:\n  pet: {parent: null}\n  wild: {parent: null, prompt: something wild}\n"
LEAVES = "  cat: {parent: pet, name: house cat, synset: n02121808}\n  fox: {parent: wild}\n"


def write(folder: Path, text: str, name: str = "zoo.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_a_tree(tmp_path: Path) -> None:
    tree = load_tree(write(tmp_path, HEAD + "levels: [class, home]\ntemplate: one {}\n" + NODES + LEAVES))
    assert (tree.name, tree.source, tree.licence) == ("zoo", "here", "CC0")
    assert tree.leaves == ("cat", "fox")
    assert [level.name for level in tree.levels] == ["class", "home"]
    assert tree.prompts(0) == ["one house cat", "one fox"]
    assert tree.prompts(1) == ["one pet", "something wild"]
    assert tree.nodes["cat"] == Node("cat", "house cat", "pet", synset="n02121808")
    assert [level.index for level in load_tree(tmp_path / "zoo.yaml", num_levels=1).levels] == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "expected the file to be a mapping"),
        ("name: [zoo\n", "not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (HEAD, "missing nodes"),
        (HEAD + "nodes:\n", "the tree is empty"),
        (HEAD + "nodes: {}\n", "the tree is empty"),
        (HEAD + "nodes: [a]\n", "expected 'nodes' to be a mapping"),
        (HEAD + "colour: red\n" + NODES + LEAVES, "the tree has the unknown key 'colour'"),
        (HEAD + "name: zoo\n" + NODES + LEAVES, "the key 'name' is given twice.*line 4"),
        (HEAD + NODES + LEAVES + "  fox: {parent: pet}\n", "the key 'fox' is given twice"),
        (HEAD + NODES + LEAVES + "  eel: {parent: pet, parent: wild}\n", "the key 'parent' is given twice"),
        (HEAD + NODES + LEAVES + "  eel: {parent: [pet, wild]}\n", "node 'eel' has 2 parents"),
        (HEAD + NODES + LEAVES + "  eel: {parent: 3}\n", "node 'eel': expected the parent to be a node id in quotes"),
        (HEAD + NODES + LEAVES + "  eel: {parent: sea}\n", "node 'eel' has the unknown parent 'sea'"),
        (HEAD + NODES + LEAVES + "  eel: {}\n", "node 'eel' has no 'parent'"),
        (HEAD + NODES + LEAVES + "  eel:\n", "expected node 'eel' to be a mapping, got None"),
        (HEAD + NODES + LEAVES + "  eel: {parent: pet, colour: red}\n", "node 'eel' has the unknown key 'colour'"),
        (HEAD + NODES + LEAVES + "  eel: {parent: pet, name: 8}\n", "node 'eel': expected 'name' to be text in quotes"),
        (HEAD + NODES + LEAVES + "  eel: {parent: pet, prompt: ' '}\n", "node 'eel': expected 'prompt' to be text"),
        (HEAD + NODES + LEAVES + "  8: {parent: pet}\n", "the key 8, which YAML does not read as text"),
        (HEAD + NODES + LEAVES + "  no: {parent: pet}\n", "the key False, which YAML does not read as text"),
        (HEAD + NODES + LEAVES + "  eel: {parent: eel}\n", "node 'eel' is its own ancestor"),
        (HEAD + NODES + LEAVES + "  eel: {parent: pet, name: fox}\n", "'fox' and 'eel' of 'leaf' have the same text"),
        (HEAD + "levels: class\n" + NODES + LEAVES, "expected 'levels' to be a list"),
        (HEAD.replace("CC0", "2") + NODES + LEAVES, "expected 'licence' to be text in quotes, got 2"),
    ],
)
def test_a_fault_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TreeError, match=message) as caught:
        load_tree(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"none.yaml: no such tree file; give the path"):
        load_tree(tmp_path / "none.yaml")
    with pytest.raises(TreeError, match="cannot be read as UTF-8 text"):
        load_tree(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(TreeError, match="cannot be read as UTF-8 text"):
        load_tree(tmp_path / "latin.yaml")


def test_saving_and_loading_gives_the_same_tree_and_the_same_bytes(tmp_path: Path) -> None:
    odd = [
        "8",
        "no",
        "null",
        "a: b",
        "#x",
        "it's",
        '"q"',
        "é, {y}",
        "- z",
        "t" * 200,
        "many words" + " more" * 60,
        "yes",
        "1e3",
        "~",
    ]
    nodes = [Node("top one", "the {top}", None, prompt="a: picture, [of] it"), Node("top two", "other", None)]
    nodes += [Node(text, text, "top one" if index % 2 else "top two") for index, text in enumerate(odd)]
    info = TreeInfo("odd", "a # source", "x: y", "two\nlines", "the {} here", ("leaf", "top"))
    tree = ClassTree.from_nodes(nodes, info)
    save_tree(tree, tmp_path / "a.yaml")
    again = load_tree(tmp_path / "a.yaml")
    save_tree(again, tmp_path / "b.yaml")
    assert dict(again.nodes) == dict(tree.nodes)
    assert list(again.nodes) == list(tree.nodes)
    assert (again.rows, again.row_names) == (tree.rows, tree.row_names)
    assert (again.info.description, again.info.template) == ("two\nlines", "the {} here")
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()


def test_a_forest_shares_the_leaf_order_of_its_first_tree(tmp_path: Path) -> None:
    first = write(tmp_path, HEAD + NODES + LEAVES + "  dog: {parent: pet}\n")
    other = "name: size\nsource: here\nlicence: CC0\nnodes:\n  big: {parent: null}\n  small: {parent: null}\n"
    second = write(
        tmp_path, other + "  fox: {parent: small}\n  dog: {parent: big}\n  cat: {parent: small}\n", "size.yaml"
    )
    forest = load_forest([first, second])
    assert [tree.leaves for tree in forest] == [("cat", "fox", "dog")] * 2 == [forest.leaves] * 2
    assert forest[1].ancestors[1].tolist() == [1, 1, 0]
    assert (len(forest), forest.trees[0].name) == (2, "zoo")
    assert repr(forest) == "Forest(zoo: 3/2, size: 3/2)"
    chosen = load_forest([first, second], leaves=["dog", "cat"])
    assert [tree.leaves for tree in chosen] == [("dog", "cat")] * 2 == [forest.restrict(["dog", "cat"]).leaves] * 2
    assert chosen[1].ancestors[1].tolist() == [0, 1]
    assert [len(tree.levels) for tree in load_forest([first, second], num_levels=1)] == [1, 1]


def test_trees_that_make_no_forest_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, HEAD + NODES + LEAVES + "  dog: {parent: pet}\n  eel: {parent: wild}\n")
    second = write(tmp_path, (HEAD + NODES + LEAVES).replace("zoo", "ark") + "  ox: {parent: pet}\n", "ark.yaml")
    with pytest.raises(TreeError, match=r"only in .*zoo.yaml: 'dog', 'eel'; only in .*ark.yaml: 'ox'"):
        load_forest([first, second])
    with pytest.raises(TreeError, match=r"ark.yaml: no leaf for 2 of 3 classes: 'dog', 'eel'"):
        load_forest([first, second], leaves=["dog", "cat", "eel"])
    assert load_forest([first, second], leaves=["fox", "cat"]).leaves == ("fox", "cat")
    with pytest.raises(TreeError, match="different names"):
        load_forest([first, first])
    with pytest.raises(TreeError, match="at least one tree"):
        Forest([])
    with pytest.raises(TreeError, match="expected a list of tree files"):
        load_forest(str(first))
