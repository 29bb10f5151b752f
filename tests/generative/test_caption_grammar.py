"""The sentences that are true of a picture: whole, of the grammar, and one for each class."""

from __future__ import annotations

import re

import pytest

from hrvlm.data.emoji_pack.captions import BACKGROUNDS
from hrvlm.data.emoji_pack.pack import all_classes
from hrvlm.data.emoji_pack.splits import default_classes
from hrvlm.generative.captions import (
    ACTIONS,
    NO_ACTION,
    PROMPTS,
    answer,
    command,
    description,
    entry_of,
    reference_answers,
    sentences,
    verb_of,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red apple", "a red apple on a white background"),
        ("ear of corn", "an ear of corn on a white background"),
        ("french fries", "french fries on a white background"),
        ("bus", "a bus on a white background"),
        ("rhinoceros", "a rhinoceros on a white background"),
        ("wine glass", "a wine glass on a white background"),
        ("umbrella with rain drops", "an umbrella with rain drops on a white background"),
        ("fork and knife with plate", "a fork and knife with plate on a white background"),
    ],
)
def test_descriptions_are_english(name: str, expected: str) -> None:
    assert description(entry_of(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red apple", "pick up the red apple"),
        ("fox", "follow the fox"),
        ("bus", "go to the bus"),
        ("kite", "watch the kite"),
        ("hammer", "grasp the hammer"),
        ("health worker", "greet the health worker"),
        ("grinning face", "wait"),
    ],
)
def test_commands_follow_the_group(name: str, expected: str) -> None:
    assert command(entry_of(name)) == expected


def test_looks_are_said() -> None:
    assert description(entry_of("ant"), "orange", "small") == "a small ant on an orange background"
    assert description(entry_of("beans"), "blue", "large") == "large beans on a blue background"
    assert description(None, "grey") == "nothing on a grey background"
    assert command(None) == NO_ACTION


def test_every_group_of_the_pack_has_exactly_one_verb() -> None:
    groups = [group for groups in ACTIONS.values() for group in groups]
    assert len(groups) == len(set(groups))
    assert {entry.group for entry in all_classes()} <= set(groups)
    assert all(verb_of(group) == verb for verb, groups in ACTIONS.items() for group in groups)


def test_sentences_of_the_default_classes_differ_and_fit_the_grammar() -> None:
    entries = default_classes()
    described, commanded = ([answer(entry, prompt) for entry in entries] for prompt in PROMPTS)
    assert len(set(described)) == len(set(commanded)) == len(entries)
    assert all(re.fullmatch(r".+ on a white background", text) for text in described)
    verbs = "|".join(verb for verb in ACTIONS if verb != NO_ACTION)
    for entry, text in zip(entries, commanded, strict=True):
        match = re.fullmatch(rf"({verbs}) the (.+)", text)
        assert match is not None
        assert match[2] == entry.name


def test_references_are_what_training_says() -> None:
    entry = entry_of("red apple")
    for prompt in PROMPTS:
        found = reference_answers("red apple", prompt, background="pink", size="large")
        assert found == (answer(entry, prompt, background="pink", size="large"),)


def test_sentences_hold_every_word() -> None:
    entries = default_classes()[:9]
    words = {word for text in sentences(entries) for word in text.split()}
    for prompt in PROMPTS:
        for background in BACKGROUNDS:
            for size in ("", "small", "large"):
                for entry in (*entries, None):
                    chosen = "" if entry is None else size
                    assert words >= set(answer(entry, prompt, background=background, size=chosen).split())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: answer(None, "sing"), "prompt as one of describe, act, got 'sing'"),
        (lambda: reference_answers("no such thing", "act"), "name of a packaged emoji"),
        (lambda: description(None, "mauve"), "background as one of"),
        (lambda: description(None, "red", "huge"), "size as one of"),
        (lambda: verb_of("minerals"), "group as one of"),
    ],
)
def test_unknown_words_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
