from __future__ import annotations

from pathlib import Path

import pytest

from hrvlm.certificates import Attribute, load_attributes
from hrvlm.certificates.embedding.attributes import AttributeFamily
from hrvlm.certificates.run.plan import CertificationPlan

FAMILIES = {
    "colour", "shape", "material", "style", "texture", "background", "viewpoint", "illumination", "size",
}  # fmt: skip


def difference(source: str, target: str) -> set[str]:
    """Words of one prompt and not of the other, articles aside."""
    return (set(source.split()) ^ set(target.split())) - {"a", "an"}


def test_the_packaged_library_has_every_family_and_prompts_that_differ_in_the_attribute_only() -> None:
    library = load_attributes()
    assert set(library) == FAMILIES
    for family in library.values():
        assert len(family.words) >= 4
        assert len(family.templates) >= 2
        for wording in range(len(family.templates)):
            for word, attribute in zip(family.words, family.attributes(wording), strict=True):
                words = set(word.split()) | ({family.source} if family.source else set())
                assert difference(attribute.source, attribute.target) == words
                assert attribute.source.count("{}") == attribute.target.count("{}") == 1


def test_prompts_read_well() -> None:
    library = load_attributes()
    orange = library["background"].attribute("orange")
    assert orange == Attribute(
        name="background: orange",
        source="a picture of a {} on a white background",
        target="a picture of a {} on an orange background",
    )
    assert library["illumination"].attribute("dark").source == "a picture of a {}"
    assert library["style"].attribute("abstract").target == "an abstract picture of a {}"


def test_a_file_of_a_user_adds_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "families:\n  weather: {templates: ['a picture of a {} in {word} weather'], source: dry, words: [rainy]}\n"
        "  size: {templates: ['a {word} {}'], words: [tiny]}\n"
    )
    library = load_attributes(path)
    assert set(library) == FAMILIES | {"weather"}
    assert library["weather"].attribute("rainy").source == "a picture of a {} in dry weather"
    assert library["size"].words == ("tiny",)
    assert set(load_attributes(path, packaged=False)) == {"weather", "size"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("families: {a: {templates: ['a {}'], words: [x]}}", r'family \'a\': expected one "\{word\}"'),
        ("families: {a: {templates: ['a {word}'], words: [x]}}", r'expected one "\{\}" for the class'),
        ("families: {a: {templates: ['{} {word}'], words: [x, x]}}", "each text once"),
        ("families: {a: {templates: ['{} {word}'], words: [x, 3]}}", "expected texts, got 3"),
        ("families: {a: {templates: ['{} {word}'], words: [no]}}", "got False; put words like no in quotes"),
        ("families: {a: {templates: ['{} {word}'], words: []}}", "expected a list of texts"),
        ("families: {a: {templates: ['{} {word}'], words: [x], source: x}}", "differ from the source"),
        ("families: {a: {templates: ['{} {word}'], words: [x], source: 3}}", "expected source as a word"),
        ("families: {a: {words: [x]}}", "expected the keys templates and words, and perhaps source, got words"),
        ("families: {a: {templates: ['{} {word}'], words: [x], colour: red}}", "and perhaps source, got"),
        ("families: {a: 3}", "got 3"),
        ("families: {}", "expected one key 'families'"),
        ("family: {}", "expected one key 'families'"),
        ("families: {a: 1, a: 2}", "given twice"),
        ("- 1", "expected the file to be a mapping"),
    ],
)
def test_errors_name_file_family_and_what_to_mend(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_attributes(path)
    assert str(path) in str(caught.value)


def test_absent_files_words_and_wordings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such attribute file"):
        load_attributes(tmp_path / "none.yaml")
    size = load_attributes()["size"]
    with pytest.raises(ValueError, match="expected a word of family 'size', got 'blue'"):
        size.attribute("blue")
    with pytest.raises(ValueError, match=r"expected wording in 0\.\.2"):
        size.attribute("small", 3)


def test_a_plan_takes_words_of_the_library(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("families: {mood: {templates: ['a {word} {}'], words: [sad]}}")
    own = Attribute(name="size: small", target="a wee picture of a {}")
    plan = CertificationPlan(
        smoothing=False,
        attributes=[own],
        library={"size": ["small", "large"], "mood": ["sad"]},
        library_files=[str(path)],
    )
    assert [attribute.name for attribute in plan.attributes] == ["size: small", "size: large", "mood: sad"]
    assert plan.attributes[0] is own
    assert plan.attributes[2].target == "a sad {}"
    with pytest.raises(ValueError, match=r"expected families of the attribute library .* got 'taste'"):
        CertificationPlan(smoothing=False, library={"taste": ["sweet"]})
    with pytest.raises(ValueError, match="expected a word of family 'size', got 'blue'"):
        CertificationPlan(smoothing=False, library={"size": ["blue"]})


def test_braces_of_a_user_are_put_nowhere_else() -> None:
    with pytest.raises(ValueError, match=r"expected the word itself in the prompts of attribute 'x', got .*\{word\}"):
        Attribute(name="x", target="a {} in {word} weather")
    family = AttributeFamily(name="x", templates=("a {} of {0.__class__} in {word}",), source=None, words=("{x}",))
    assert family.attribute("{x}").target == "a {} of {0.__class__} in {x}"


@pytest.mark.parametrize("name", ["", " "])
def test_an_attribute_has_a_name_that_rows_can_have(name: str) -> None:
    """Rows without one cannot be read again, which would show when all of them have been made."""
    with pytest.raises(ValueError, match=r"expected a name of the attribute with target 'a red \{\}'"):
        Attribute(name=name, target="a red {}")
