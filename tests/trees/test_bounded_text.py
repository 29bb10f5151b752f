"""Files that would never end: refused before anything is built from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hrvlm.trees import TreeError, load_tree
from hrvlm.trees.bounded_text import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    check_yaml,
    file_digest,
    load_json,
    read_json,
    read_text,
)

LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
NESTED_BY_ALIASES = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))
MERGES = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 10)
)
YAML = {
    "aliases of aliases": (LAUGHS, "values"),
    "merges of merges": (MERGES, "values"),
    "nesting through aliases": (NESTED_BY_ALIASES, "nesting"),
    "an alias of what holds it": ("a: &a [*a]", "refers to"),
    "an alias of nothing": ("a: *b", "refers to"),
    "lists": ("[" * 1200 + "]" * 1200, "nesting"),
    "mappings": ("\n".join(" " * n + "a:" for n in range(60)), "nesting"),
    "digits": ("a: " + "9" * 6000, "digits"),
    "digits of base 16": ("a: 0x" + "f" * 6000, "digits"),
    "digits of base 60": ("a: 1" + ":59" * 2000, "digits"),
    "digits with a tag": ("a: !!int '" + "9" * 6000 + "'", "digits"),
    "an exponent": ("a: 1e1000000000", "digits"),
    "values": ("[" + "0," * (MAX_VALUES + 1) + "]", "values"),
}


@pytest.mark.parametrize("case", YAML)
def test_yaml_without_end_is_refused(case: str) -> None:
    text, named = YAML[case]
    with pytest.raises(yaml.YAMLError, match=named) as caught:
        check_yaml(text)
    assert len(str(caught.value)) < 1000


def test_yaml_of_people_passes() -> None:
    check_yaml("a: &a {x: 1, 'y': 0.5}\nb: {<<: *a, z: [1e-3, 8/255, 0x10]}\nc: '" + "9" * 6000 + "'\nd: " + "x" * 6000)
    check_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    check_yaml("")


@given(st.recursive(st.integers(-9, 9), lambda part: st.lists(part, max_size=4), max_leaves=30), st.integers(0, 3))
def test_values_and_depth_are_those_of_the_expanded_document(value: list[object], copies: int) -> None:
    def depth(part: object) -> int:
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    written = yaml.safe_dump({"first": value, "again": [value] * copies}, default_flow_style=True)
    parts: list[object] = [[value] * copies, value]
    count = sum(1 for _ in _values({"first": value, "again": [value] * copies}))
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr("hrvlm.trees.bounded_text.MAX_VALUES", count)
        changed.setattr("hrvlm.trees.bounded_text.MAX_DEPTH", depth(parts))
        check_yaml(written)
        changed.setattr("hrvlm.trees.bounded_text.MAX_VALUES", count - 1)
        with pytest.raises(yaml.YAMLError, match="values"):
            check_yaml(written)
        changed.setattr("hrvlm.trees.bounded_text.MAX_VALUES", count)
        changed.setattr("hrvlm.trees.bounded_text.MAX_DEPTH", depth(parts) - 1)
        with pytest.raises(yaml.YAMLError, match="nesting"):
            check_yaml(written)


def _values(value: object) -> list[object]:
    """Scalars, lists and mappings of a document, keys included."""
    if isinstance(value, dict):
        return [value, *value, *(part for each in value.values() for part in _values(each))]
    return [value, *(part for each in value for part in _values(each))] if isinstance(value, list) else [value]


JSON = {
    "lists": ("[" * 1200 + "]" * 1200, "nesting"),
    "lists that exhaust the stack": ("[" * 200_000, "nesting"),
    "objects": ('{"a":' * 60 + "1" + "}" * 60, "nesting"),
    "digits": ('{"a": ' + "9" * 6000 + "}", "digits"),
    "digits below Python's own limit": ('{"a": ' + "9" * 1000 + "}", "digits"),
    "a key given twice": ('{"a": 1, "a": 2}', "twice"),
    "no JSON": ("{", "JSON"),
    "no text": (b"\xff\xfe", "JSON"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_without_end_is_refused(case: str, tmp_path: Path) -> None:
    text, named = JSON[case]
    (tmp_path / "some.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=named) as caught:
        read_json(tmp_path / "some.json")
    assert "some.json" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_json_of_people_passes(tmp_path: Path) -> None:
    value = {"a": [1, 0.5, None, True, "x" * 6000], "b": {"c": 10**99}}
    (tmp_path / "some.json").write_text("\ufeff" + json.dumps(value))
    assert read_json(tmp_path / "some.json") == value
    assert load_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for path in (tmp_path / "large", Path("/dev/zero")):
        for read in (read_text, file_digest):
            with pytest.raises(ValueError, match="MiB"):
                read(path)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "some").write_bytes(b"abc")
    # the example of FIPS 180-2, appendix B.1
    known = "ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad"
    assert file_digest(tmp_path / "some") == known.replace(" ", "")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("depth", [100, 101, 1200, 5_000])
def test_a_chain_of_classes_is_read_or_refused(depth: int, order: int, tmp_path: Path) -> None:
    chain = [f"  n{n}: {{parent: {'null' if n == 0 else f'n{n - 1}'}}}" for n in range(depth)]
    path = tmp_path / "chain.yaml"
    path.write_text("\n".join(["name: c", "source: s", "licence: l", "nodes:", *chain[::order], "  m: {parent: n0}"]))
    if depth == 100:
        assert load_tree(path).leaves == ("n99", "m")
        return
    with pytest.raises(TreeError, match="at most 100 nodes"):
        load_tree(path)
