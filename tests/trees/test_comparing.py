"""Agreement of trees against pair counting."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.trees import ClassTree, Node, TreeError, TreeInfo
from hrvlm.trees.comparing import adjusted_rand_index, compare_trees

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12)


@settings(max_examples=150, deadline=None)
@given(labels)
def test_adjusted_rand_index_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    both = first = second = 0
    count = 0
    for (a, b), (c, d) in combinations(pairs, 2):
        both, first, second, count = both + (a == c and b == d), first + (a == c), second + (b == d), count + 1
    expected = first * second / count
    largest = (first + second) / 2
    value = adjusted_rand_index([a for a, _ in pairs], [b for _, b in pairs])
    assert value == pytest.approx(1.0 if largest == expected else (both - expected) / (largest - expected))


def test_adjusted_rand_index_of_a_published_example() -> None:
    # scikit-learn's documentation of adjusted_rand_score
    assert adjusted_rand_index([0, 0, 1, 2], [0, 0, 1, 1]) == pytest.approx(0.5714285714)
    assert adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)
    assert adjusted_rand_index("aabb", "xxyy") == 1.0
    with pytest.raises(ValueError, match="same items, got 1 and 2"):
        adjusted_rand_index([1], [1, 2])


def tree(parents: dict[str, str | None], name: str = "t") -> ClassTree:
    return ClassTree.from_nodes([Node(key, key, above) for key, above in parents.items()], TreeInfo(name, origin=name))


def test_differences_are_found() -> None:
    first = tree({"x": None, "y": None, "a": "x", "b": "x", "c": "y", "d": "y"})
    second = tree({"x": None, "z": None, "a": "x", "b": "z", "c": "z", "e": "x"}, "u")
    found = compare_trees(first, second)
    assert found.only_nodes == (("y",), ("z",))
    assert found.only_leaves == (("d",), ("e",))
    assert found.moved == {"b": (("x",), ("z",)), "c": (("y",), ("z",))}
    assert found.agreement == ((adjusted_rand_index("xxy", "xzz"),),)
    assert not found.same
    assert compare_trees(first, first).same
    with pytest.raises(TreeError, match="got 0 that t and v share"):
        compare_trees(first, tree({"p": None, "q": None, "l": "p", "m": "q"}, "v"))
