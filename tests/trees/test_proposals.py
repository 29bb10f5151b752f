"""Superclass proposals: what is read, and one sentence for all that is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hrvlm.trees import TreeError
from hrvlm.trees.asking import VIEWS, fitting_groups, fitting_top, proposal_prompt
from hrvlm.trees.class_lists import ClassList, read_classes
from hrvlm.trees.proposals import import_proposal

ZOO = ClassList(("n1", "n2", "n3", "n4"), {"n1": "cat", "n2": "dog", "n3": "fox", "n4": "pike"}, origin="zoo.txt")
GOOD: dict[str, Any] = {
    "name": "by_home", "source": "a model; a person", "licence": "CC0-1.0", "levels": ["class", "home", "realm"],
    "groups": [
        {"name": "pet", "prompt": "a picture of a pet", "leaves": ["dog", "n1"]},
        {"name": "wild", "groups": [{"name": "forest", "leaves": ["fox"]}, {"name": "water", "leaves": ["pike"]}]},
    ],
}  # fmt: skip


def write(folder: Path, content: Any) -> Path:
    path = folder / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_proposal_becomes_a_tree(tmp_path: Path) -> None:
    tree = import_proposal(write(tmp_path, GOOD), ZOO, source="another")
    assert (tree.name, tree.source, tree.leaves) == ("by_home", "another", ZOO.ids)
    assert [level.name for level in tree.levels] == ["class", "home", "realm"]
    assert tree.prompts(0) == [f"a picture of a {name}" for name in ("cat", "dog", "fox", "pike")]
    assert [tree.nodes[leaf].parent for leaf in tree.leaves] == [
        "group/pet",
        "group/pet",
        "group/forest",
        "group/water",
    ]
    assert tree.ancestors[-1].tolist() == [0, 0, 1, 1]


def with_groups(*groups: Any) -> dict[str, Any]:
    return {**GOOD, "groups": list(groups)}


PET, REST = {"name": "pet", "leaves": ["cat", "dog"]}, {"name": "wild", "leaves": ["fox", "pike"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Here it is: {}", "not valid JSON: Expecting value: line 1.*no text around it"),
        ('{"name": "a", "name": "b"}', "the key 'name' is given twice"),
        ([], "expected a JSON object with 'groups'"),
        ({}, "missing 'name', 'source', 'licence', 'groups'"),
        ({**GOOD, "colour": 1}, "unknown 'colour'"),
        ({**GOOD, "licence": 2}, "expected 'licence' to be text, got 2"),
        ({**GOOD, "levels": "class"}, "expected 'levels' to be a list"),
        ({**GOOD, "groups": {}}, "expected 'groups' to be a list of at least one group"),
        (with_groups(PET, "wild"), "every group to be an object with a 'name', got 'wild'"),
        (with_groups(PET, {**REST, "size": 2}), "group 'wild' has the unknown key 'size'"),
        (with_groups(PET, {**REST, "groups": []}), "either 'leaves' or 'groups', got both or neither"),
        (with_groups(PET, {"name": "wild"}), "either 'leaves' or 'groups', got both or neither"),
        (with_groups(PET, {"name": "wild", "leaves": []}), "group 'wild': expected at least one leaf"),
        (with_groups(PET, {"name": "wild", "groups": []}), "'groups' of 'wild' to be a list of at least one"),
        (with_groups(PET, {**REST, "prompt": ""}), "expected 'prompt' to be text"),
        (with_groups(PET, {**REST, "name": "pet"}), "every group name once, 1 occur again: 'pet'"),
        (with_groups(PET), "2 of 4 classes are in no group: 'fox', 'pike'"),
        (with_groups(PET, REST, {"name": "x", "leaves": ["eel", "Cat"]}),
         "2 leaves are not classes of zoo.txt: 'eel', 'Cat'"),
        (with_groups(PET, {"name": "wild", "leaves": ["fox", "pike", "n1"]}),
         r"1 leaves are given more than once: 'n1 \(in pet and wild\)'"),
        (with_groups({"name": "pet", "leaves": ["cat", "cat", "eel"]}, REST),
         r"1 of 4 classes are in no group: 'dog'; 1 leaves are not .*: 'eel'; 1 leaves .*'cat \(twice in pet\)'"),
    ],
)  # fmt: skip
def test_a_faulty_proposal_is_refused_in_one_sentence(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(TreeError, match=message) as caught:
        import_proposal(path, ZOO)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_only_the_first_offenders_are_listed(tmp_path: Path) -> None:
    many = ClassList(tuple(f"c{index}" for index in range(20)))
    with pytest.raises(TreeError, match="18 of 20 classes are in no group: 'c2', 'c3', 'c4', 'c5', 'c6' and 13 more"):
        import_proposal(write(tmp_path, with_groups({"name": "all", "leaves": ["c0", "c1"]})), many)


def test_lists_of_classes_in_every_form(tmp_path: Path) -> None:
    files = {
        "a.txt": "# comment\nn1\tcat\n\nn2\tdog\n",
        "a.json": '{"n1": "cat", "n2": {"name": "dog", "synset": "n02084071"}}',
        "a.yaml": "n1: cat\nn2: dog\n",
        "tree.yaml": "name: t\nsource: s\nlicence: l\nnodes:\n  top: {parent: null}\n"
        "  n1: {parent: top, name: cat}\n  n2: {parent: top, name: dog}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = read_classes(tmp_path / name)
        assert (found.ids, list(found.names.values())) == (("n1", "n2"), ["cat", "dog"]), name
    assert read_classes(tmp_path / "a.json").synsets == {"n2": "n02084071"}
    (tmp_path / "b.json").write_text('["n02084071", "cat"]')
    assert read_classes(tmp_path / "b.json").synsets == {"n02084071": "n02084071"}
    (tmp_path / "b.yaml").write_text("dog: n02084071\ncat: null\n")
    assert (read_classes(tmp_path / "b.yaml").synsets, read_classes(tmp_path / "b.yaml").names["dog"]) == (
        {"dog": "n02084071"},
        "dog",
    )
    for name in ("dog", "cat"):
        (tmp_path / "images" / name).mkdir(parents=True)
    assert read_classes(tmp_path / "images").ids == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "expected at least one class, found none"),
        ("a.txt", "cat\ncat\n", "every class id once, 1 occur again: 'cat'"),
        ("a.txt", "a\tcat\nb\tCat\n", "every class name once, 1 occur again: 'cat'"),
        ("a.txt", "a\tb\tc\n", "at most a name after one tab, got more for 'a'"),
        ("a.json", '["a", 3]', "expected class ids as text, got 3"),
        ("a.json", '["a", "a"]', "every class id once"),
        ("a.json", '"a"', "expected a list of class ids or a mapping"),
        ("a.json", '{"a": 3}', "class 'a': expected a name, a synset id, or a mapping .*, got 3"),
        ("a.csv", "a\n", "got the ending '.csv'"),
    ],
)
def test_a_faulty_list_of_classes_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(TreeError, match=message):
        read_classes(tmp_path / name)
    with pytest.raises(TreeError, match="no such list of classes"):
        read_classes(tmp_path / "none.txt")


def test_the_prompt_names_every_class_once_and_its_view() -> None:
    for view in (*VIEWS, "how loud it is"):
        text = proposal_prompt(ZOO, view, (2, 3), (1, 2))
        assert text.splitlines()[-4:] == ["cat", "dog", "fox", "pike"]
        assert f"by {view}: " in text
        assert "Use 2 to 3 groups" in text
        json.loads(text[text.index("{") : text.rindex("}") + 1])  # the form that is asked for is JSON itself
    with pytest.raises(TreeError, match="expected a view"):
        proposal_prompt(ZOO, " ")
    with pytest.raises(TreeError, match="at least 1 up, got 3 to 2"):
        proposal_prompt(ZOO, "kind", (3, 2))


@pytest.mark.parametrize(
    ("classes", "groups", "top"),
    [(1, (1, 1), (1, 1)), (5, (2, 2), (1, 1)), (20, (5, 10), (3, 5)), (80, (8, 40), (3, 8)), (1000, (8, 40), (3, 8))],
)
def test_no_more_groups_are_asked_for_than_classes_can_fill(
    classes: int, groups: tuple[int, int], top: tuple[int, int]
) -> None:
    assert (fitting_groups(classes), fitting_top(groups)) == (groups, top)


def test_five_classes_are_asked_to_be_two_groups() -> None:
    five = ClassList(("ant", "bee", "cat", "dog", "elm"))
    assert "Use 2 groups that hold classes, and gather these into 1 group at the top." in proposal_prompt(five, "kind")
