"""What people write is read strictly: a key given twice is refused wherever it stands, and values fit their forms."""

from __future__ import annotations

import pytest
import yaml

from hrvlm.trees.strict_text import load_yaml


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: 1\nb: 2\na: 3", "a"),
        ("a:\n- {b: 1}\n- {c: {d: 1, e: 2, d: 1}}", "d"),
        ("yes: 1\ntrue: 2", "true"),
        ("16: 1\n0x10: 2", "0x10"),
        ("a: &x {b: 1, b: 2}\nc: *x", "b"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "<<"),
    ],
)
def test_a_key_given_twice_is_refused_with_its_place(text: str, key: str) -> None:
    with pytest.raises(yaml.YAMLError, match=rf"key '{key}' is given twice(.|\n)*line \d+, column \d+"):
        load_yaml(text)


def test_merged_keys_may_be_overridden_and_aliases_used() -> None:
    assert load_yaml("a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}\ne: *x") == {
        "a": {"b": 1, "c": 1},
        "d": {"b": 1, "c": 2},
        "e": {"b": 1, "c": 1},
    }
    assert load_yaml("# nothing") is None


@pytest.mark.parametrize(
    "text", ["a: 2024-13-45", "a: !!bool maybe", "a: !!int x", "a: !!timestamp x", "[" * 100 + "]" * 100]
)
def test_values_that_do_not_fit_are_errors_of_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)
