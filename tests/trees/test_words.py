"""Words of users: braces, forms of Unicode, marks at the start of files, ids in place of words."""

from __future__ import annotations

import json
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrvlm.trees import ClassTree, Node, TreeError, TreeInfo, load_forest, load_tree, save_tree
from hrvlm.trees.class_lists import read_classes
from hrvlm.trees.proposals import import_proposal
from hrvlm.trees.words import all_composed, looks_like_id, printable, shortened, spoken, with_name

HEAD = "name: t\nsource: s\nlicence: l\n"


@pytest.mark.parametrize(
    ("class_id", "words"),
    [
        ("golden_retriever", "golden retriever"), ("GoldenRetriever", "Golden Retriever"), ("T-shirt", "T shirt"),
        ("BMWCar", "BMW Car"), ("iPod", "iPod"), ("McDonald", "McDonald"), ("n02084071", "n02084071"),
        ("two-hump camel", "two-hump camel"), ("__", "__"), ("sea__otter-", "sea otter"), ("fox", "fox"),
    ],
)  # fmt: skip
def test_ids_become_words(class_id: str, words: str) -> None:
    assert spoken(class_id) == words
    assert spoken(words) == words or "-" in words or words == "__"


def test_what_looks_like_an_id() -> None:
    assert all(map(looks_like_id, ("golden_retriever", "GoldenRetriever", "a picture of a sea_otter")))
    assert not any(map(looks_like_id, ("golden retriever", "T-shirt", "iPod", "yo-yo", "Labrador", "a Great Dane")))


def test_a_tree_and_a_list_say_that_names_are_made_from_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leaves = "  golden_retriever: {parent: dog}\n  sea-otter: {parent: dog}\n  fox: {parent: dog, name: my_fox}\n"
    path = tmp_path / "tree.yaml"
    path.write_text(f"{HEAD}nodes:\n  dog: {{parent: null}}\n{leaves}", encoding="utf-8")
    tree = load_tree(path)
    assert tree.prompts(0) == ["a picture of a golden retriever", "a picture of a sea otter", "a picture of a my_fox"]
    assert tree.leaves == ("golden_retriever", "sea-otter", "fox")
    load_tree(path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: no names are given for 2 ids, which are read as words: 'golden_retriever' as 'golden retriever', "
        "'sea-otter' as 'sea otter'"
    ]
    save_tree(tree, tmp_path / "again.yaml")
    caplog.clear()
    assert load_tree(tmp_path / "again.yaml").prompts(0) == tree.prompts(0)
    assert caplog.records == []
    (tmp_path / "classes.txt").write_text("GoldenRetriever\nsea_otter\tsea_otter\n")
    assert read_classes(tmp_path / "classes.txt").names == {
        "GoldenRetriever": "Golden Retriever",
        "sea_otter": "sea_otter",
    }
    for name in ("RedFox", "sea_otter"):
        (tmp_path / "images" / name).mkdir(parents=True)
    assert list(read_classes(tmp_path / "images").names.values()) == ["Red Fox", "sea otter"]
    assert "classes.txt: no names are given for 1 ids" in caplog.text
    assert "images: no names are given for 2 ids" in caplog.text


def test_ids_that_are_the_same_words_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("sea_otter\nsea-otter\n")
    with pytest.raises(TreeError, match="expected every class name once"):
        read_classes(tmp_path / "classes.txt")


@pytest.mark.parametrize("name", ["{}", "{0.__class__}", "{word}", "{", "}}", "%s", "$name", "\\1"])
def test_braces_in_names_and_templates_stand_for_themselves(name: str) -> None:
    nodes = [Node("top", "top", None), Node("leaf", name, "top")]
    tree = ClassTree.from_nodes(nodes, TreeInfo(template="a photo {indoors} of a {} {0.__class__} {{x}}"))
    assert tree.prompts(0) == [f"a photo {{indoors}} of a {name} {{0.__class__}} {{{{x}}}}"]


BRACES = st.text(alphabet="{}a", max_size=9)  # beside each other, too


@given(st.text() | BRACES, (st.text(alphabet=string.printable) | BRACES).filter(lambda text: "{}" not in text))
def test_only_the_pair_of_braces_is_replaced(name: str, around: str) -> None:
    assert with_name(f"{around} {{}} after", name) == f"{around} {name} after"


def test_composed_and_decomposed_names_are_the_same_class(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "ångström über café")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    for number, form in enumerate((composed, decomposed)):
        text = f"name: t{number}\nsource: s\nlicence: l\nnodes:\n  top: {{parent: null}}\n  {form}: {{parent: top}}\n"
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
        (tmp_path / f"{number}.txt").write_text(form, encoding="utf-8")
        (tmp_path / f"{number}.json").write_text(json.dumps([form]), encoding="utf-8")
        for suffix in ("yaml", "txt", "json"):
            assert read_classes(tmp_path / f"{number}.{suffix}").ids == (composed,)
    (tmp_path / "images" / decomposed).mkdir(parents=True)
    assert read_classes(tmp_path / "images").ids == (composed,)
    forest = load_forest([tmp_path / "0.yaml", tmp_path / "1.yaml"], leaves=[decomposed])
    assert forest.leaves == (composed,)
    proposal = {"name": "t", "source": "s", "licence": "l", "groups": [{"name": "g", "leaves": [decomposed]}]}
    (tmp_path / "p.json").write_text(json.dumps(proposal))
    assert import_proposal(tmp_path / "p.json", read_classes(tmp_path / "0.txt")).leaves == (composed,)
    (tmp_path / "both.yaml").write_text(
        f"{HEAD}nodes:\n  {composed}: {{parent: null}}\n  {decomposed}: {{parent: null}}\n"
    )
    with pytest.raises(TreeError, match="is given twice, in two forms of Unicode"):
        load_tree(tmp_path / "both.yaml")
    assert all_composed([1, None, {decomposed: (decomposed,)}]) == [1, None, {composed: (decomposed,)}]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("fox\notter\n", encoding="utf-8-sig")
    assert read_classes(tmp_path / "classes.txt").ids == ("fox", "otter")
    (tmp_path / "classes.json").write_text('["fox"]', encoding="utf-8-sig")
    assert read_classes(tmp_path / "classes.json").ids == ("fox",)


def test_only_what_a_terminal_would_act_on_is_written_out() -> None:
    assert printable("\x1b[31mred\x07\r\n\u202eabc\ud800") == r"\x1b[31mred\x07\r\n\u202eabc\ud800"
    for text in ("grüße", "日本語", "👩\u200d🚀 ☀\ufe0f", "a\u0301", "a b"):
        assert printable(text) == text
    assert all(character.isprintable() for character in printable("".join(map(chr, range(0xA0)))))


def test_long_names_are_cut_after_control_characters_were_written_out() -> None:
    assert shortened("abcd", 4) == "abcd"
    assert shortened("abcde", 4) == "abc…"
    assert shortened("a\nbc", 4) == "a\\n…"
