"""Class lists and templates by one text each."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrvlm.data import chosen_classes, chosen_templates, open_images


def test_classes_by_names_file_tree_and_data(tmp_path: Path) -> None:
    assert chosen_classes("red shoe, blue shoe").ids == ("red shoe", "blue shoe")
    assert chosen_classes(["projector, slide", "lamp"]).ids == ("projector, slide", "lamp")
    (tmp_path / "shoes.txt").write_text("red shoe\n# no class\nblue_shoe\n")
    listed = chosen_classes(str(tmp_path / "shoes.txt"))
    assert listed.names == {"red shoe": "red shoe", "blue_shoe": "blue shoe"}
    assert len(chosen_classes("emoji_unicode").ids) == len(chosen_classes("trees/emoji_unicode.yaml").ids) == 557
    assert chosen_classes("imagenet").names["n01440764"] == "tench"
    assert len(chosen_classes(None, open_images("emoji:unseen_classes")).ids) == 56


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shoe, hat, shoe", "expected every class id once, 1 occur again: 'shoe'"),
        ("Shoe, shoe", "expected every class name once"),
        ("shoe,", "expected at least 2 classes in classes, got 1"),
        ("shoe", "expected at least 2 classes with commas between them, .*, got 'shoe', which is one name and no file"),
        (",", "expected at least one class"),
        ("no/file.txt", "no such list of classes"),
    ],
)
def test_bad_class_lists_are_refused_in_a_sentence(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chosen_classes(given)


def test_a_text_that_is_no_template_is_told_in_words() -> None:
    with pytest.raises(ValueError, match=r"got 'a shoe': no such file or directory$"):
        chosen_templates("a shoe")


def test_templates_by_name_file_and_text(tmp_path: Path) -> None:
    assert chosen_templates(None) is None
    assert chosen_templates("tecoa") == ("This is a photo of a {}.",)
    assert len(chosen_templates("openai") or ()) == 80
    assert chosen_templates("openai", open_images("emoji")) == chosen_templates("openai")
    (tmp_path / "words.txt").write_text("a {}\n\n  the {}  \n")
    assert chosen_templates(str(tmp_path / "words.txt")) == ("a {}", "the {}")
    assert chosen_templates("one {} on a table") == ("one {} on a table",)


@pytest.mark.parametrize("content", ["a shoe\n", "{} and {}\n", ""])
def test_templates_without_a_place_for_the_class_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "words.txt").write_text(content)
    with pytest.raises(ValueError, match=r'expected templates with exactly one "{}" for the class in .*words.txt, got'):
        chosen_templates(str(tmp_path / "words.txt"))
    with pytest.raises(ValueError, match=r'expected templates as "tecoa", "openai", a template with {}'):
        chosen_templates("tecao")
