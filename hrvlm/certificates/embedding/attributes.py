"""A library of semantic changes in words, as data: families of attributes whose prompts differ in one word.

The packaged file is `attributes.yaml`; a user's file of the same form adds families, or replaces those of its own. A
template has "{}" for the class and "{word}" for the attribute:

    families:
      weather:
        templates: ["a picture of a {} in {word} weather"]
        source: dry
        words: [rainy, snowy]

`source` is the word of the source prompt; null leaves the word out. The first template is used unless another wording
is asked for; the others serve to measure how much wording matters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.trees.files import read_yaml
from hrvlm.trees.nodes import TreeError
from hrvlm.trees.words import with_name

if TYPE_CHECKING:  # a library of words is read without a model
    from hrvlm.models import VisionLanguageModel

PACKAGED = Path(__file__).with_name("attributes.yaml")
MANIFESTS = (".csv", ".tsv", ".jsonl")
_FAMILY_KEYS = ("templates", "source", "words")
_SLOTS = {"{}": "the class", "{word}": "the attribute"}


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A semantic change in words; "{}" stands for the class, other braces for themselves.

    Attributes:
        name: What it is called in records.
        target: Prompt that states the attribute.
        source: Prompt without it.
        pictures: Files, or folders of files, that show the target; their mean embedding says how far the change goes
            (image-specified), instead of the target prompt (text-specified). Manifests (.csv, .tsv, .jsonl) name other
            pictures for each image, by the columns path and image, or for each class, by path and label.
        appearances: Ways to show the image itself as the target, for data that can be shown in several ways: settings
            of `hrvlm.data.Appearance`, such as {size: 0.5}, for the packaged emoji.
        sequence: Manifest of pictures of the change in order, by the columns path, image (or label) and step: an arc is
            fitted to them, and rows tell how far what is certified along the prompts is from what it is along the arc.
    """

    name: str
    target: str
    source: str = "a picture of a {}"
    pictures: list[str] = field(default_factory=list)
    appearances: list[dict[str, Any]] = field(default_factory=list)
    sequence: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(f"expected a name of the attribute with target {self.target!r}, got {self.name!r}")
        for prompt in (self.source, self.target):
            if "{word}" in prompt:
                raise ValueError(
                    f'expected the word itself in the prompts of attribute {self.name!r}, got {prompt!r}: "{{word}}" '
                    "stands for one in the templates of a family only"
                )
            if prompt.count("{}") != 1:
                raise ValueError(
                    f'expected one "{{}}" for the class in the prompts of attribute {self.name!r}, got {prompt!r}'
                )
        if self.pictures and self.appearances:
            raise ValueError(f"expected pictures or appearances of the target of attribute {self.name!r}, got both")

    @property
    def shown(self) -> bool:
        """Whether pictures specify the target."""
        return bool(self.pictures or self.appearances)

    @property
    def same_for_all(self) -> bool:
        """Whether all images have the same pictures of the target."""
        return bool(self.pictures) and not any(Path(path).suffix.lower() in MANIFESTS for path in self.pictures)

    @property
    def target_kind(self) -> str:
        """What specifies the target: "text" or "image"."""
        return "image" if self.shown else "text"


@dataclass(frozen=True, kw_only=True)
class AttributeFamily:
    """Words for one kind of change, with the wordings to put them in.

    Attributes:
        name: Of the family, for example "colour".
        templates: Wordings, each with "{}" and "{word}" once.
        source: Word of the source prompt; None leaves it out.
        words: Words of the target prompts, all different.
    """

    name: str
    templates: tuple[str, ...]
    source: str | None
    words: tuple[str, ...]

    def attribute(self, word: str, wording: int = 0) -> Attribute:
        """The change to one word, named "family: word", in one of the wordings.

        Raises:
            ValueError: If the family has no such word or wording.
        """
        if word not in self.words:
            raise ValueError(f"expected a word of family {self.name!r}, got {word!r}; it has {', '.join(self.words)}")
        if not 0 <= wording < len(self.templates):
            raise ValueError(f"expected wording in 0..{len(self.templates) - 1} of {self.name!r}, got {wording}")
        template = self.templates[wording]
        return Attribute(
            name=library_name(self.name, word), source=filled(template, self.source), target=filled(template, word)
        )

    def attributes(self, wording: int = 0) -> list[Attribute]:
        """The changes to every word."""
        return [self.attribute(word, wording) for word in self.words]


def library_name(family: str, word: str) -> str:
    """What the change to a word of a family is called."""
    return f"{family}: {word}"


def filled(template: str, word: str | None) -> str:
    """The template with a word in its place, or without one; "a" before a vowel becomes "an"."""
    words = template.replace("{word}", word or "").split()
    for i, (first, second) in enumerate(itertools.pairwise(words)):
        if first in ("a", "an") and second != "{}":
            words[i] = "an" if second[0].lower() in "aeiou" else "a"
    return " ".join(words)


def check_changes(model: VisionLanguageModel, attributes: Iterable[Attribute], noun: str) -> None:
    """Refuses changes in words that the model cannot see: source and target are the same tokens to it.

    Raises:
        ValueError: Naming the attribute and the two texts.
    """
    for attribute in attributes:
        if not attribute.shown:
            texts = [with_name(prompt, noun) for prompt in (attribute.source, attribute.target)]
            model.check_prompts(texts, f"source and target of attribute {attribute.name!r}")


def load_attributes(*paths: str | Path, packaged: bool = True) -> dict[str, AttributeFamily]:
    """The attribute library by family name.

    Args:
        *paths: Files of a user; a family of theirs replaces one of the same name that was read before.
        packaged: Whether the packaged families come first.

    Raises:
        ValueError: For a file that cannot be used, in one sentence with file, family and what to mend.
    """
    found: dict[str, AttributeFamily] = {}
    for path in ([PACKAGED] if packaged else []) + [Path(path) for path in paths]:
        found |= _read(path)
    return found


def chosen_attributes(words: Mapping[str, Sequence[str]], files: Sequence[str | Path] = ()) -> list[Attribute]:
    """The changes to some words of the library.

    Args:
        words: Words by family.
        files: Files that add families to the packaged library.

    Raises:
        ValueError: For an unknown family or word, or a file that cannot be used.
    """
    library = load_attributes(*files)
    unknown = [name for name in words if name not in library]
    if unknown:
        raise ValueError(f"expected families of the attribute library ({', '.join(library)}), got {unknown[0]!r}")
    return [library[name].attribute(word) for name, chosen in words.items() for word in chosen]


def _read(path: Path) -> dict[str, AttributeFamily]:
    where = str(path)
    try:
        content = read_yaml(path)
    except TreeError as error:
        raise ValueError(str(error).replace("tree file", "attribute file")) from None
    if set(content) != {"families"} or not isinstance(content["families"], dict) or not content["families"]:
        raise ValueError(f"{where}: expected one key 'families' with a mapping of families, got {sorted(content)}")
    return {str(name): _family(str(name), entry, where) for name, entry in content["families"].items()}


def _family(name: str, entry: Any, where: str) -> AttributeFamily:
    what = f"{where}: family {name!r}"
    if not isinstance(entry, Mapping) or not {"templates", "words"} <= set(entry) <= set(_FAMILY_KEYS):
        got = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else repr(entry)
        raise ValueError(f"{what}: expected the keys templates and words, and perhaps source, got {got}")
    templates, words = (_texts(entry[key], f"{what}: {key}") for key in ("templates", "words"))
    source = entry.get("source")
    if source is not None and (not isinstance(source, str) or not source.strip()):
        raise ValueError(f"{what}: expected source as a word or null, got {source!r}; put words like no in quotes")
    for template in templates:
        for slot, meaning in _SLOTS.items():
            if template.count(slot) != 1:
                raise ValueError(f'{what}: expected one "{slot}" for {meaning} in the template, got {template!r}')
    if source in words:
        raise ValueError(f"{what}: expected words that differ from the source, got {source!r} as both")
    return AttributeFamily(name=name, templates=templates, source=source, words=words)


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """A list of different texts."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what}: expected a list of texts, got {value!r}")
    for text in value:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{what}: expected texts, got {text!r}; put words like no in quotes")
    if len(set(value)) != len(value):
        raise ValueError(f"{what}: expected each text once, got {value}")
    return tuple(value)
