"""Accuracy over levels against its words, and treecuts against label sets written out."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.trees.coherence import (
    CUTS_PER_RATE,
    PRUNING_RATES,
    hierarchical_consistent_accuracy,
    is_pruned,
    mean_treecut_accuracy,
    treecut_node,
)

CUTS = range(len(PRUNING_RATES) * CUTS_PER_RATE)
# Six leaves in three groups in two kinds: node of each leaf per level.
PATHS = [(0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 2, 1), (5, 2, 1)]
GROUPS = {0: [0, 1], 1: [2, 3], 2: [4, 5]}
KINDS = {0: [0, 1], 1: [2]}
path = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1))


def label_set(seed: int, cut: int) -> set[tuple[int, int]]:
    """The labels of a treecut, from the top down over all nodes."""
    labels: set[tuple[int, int]] = set()
    for kind, groups in KINDS.items():
        if is_pruned(2, kind, seed, cut):
            labels.add((2, kind))
            continue
        for group in groups:
            labels |= {(1, group)} if is_pruned(1, group, seed, cut) else {(0, leaf) for leaf in GROUPS[group]}
    return labels


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(PATHS), path), min_size=1, max_size=8), st.integers(0, 3))
def test_both_accuracies_follow_from_their_definitions(
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]], seed: int
) -> None:
    labels, predictions = [right for right, _ in pairs], [found for _, found in pairs]
    assert hierarchical_consistent_accuracy(labels, predictions) == sum(a == b for a, b in pairs) / len(pairs)
    correct = 0
    for cut, (right, found) in product(CUTS, pairs):
        (truth,) = [(level, right[level]) for level in range(3) if (level, right[level]) in label_set(seed, cut)]
        kept = [(2, found[2])] if is_pruned(2, found[2], seed, cut) else []
        kept += [(1, found[1])] if is_pruned(1, found[1], seed, cut) else []
        correct += [*kept, (0, found[0])][0] == truth
    assert mean_treecut_accuracy(labels, predictions, seed=seed) == pytest.approx(correct / len(pairs) / len(CUTS))


def test_a_cut_has_one_label_on_every_path_and_coherent_predictions_answer_with_it() -> None:
    sets = [label_set(0, cut) for cut in CUTS]
    for cut, labels in enumerate(sets):
        for leaf in PATHS:
            (node,) = [(level, leaf[level]) for level in range(3) if (level, leaf[level]) in labels]
            assert treecut_node(leaf, 0, cut) == node
    assert len(set(map(frozenset, sets))) > 5, "cuts differ"
    assert sets != [label_set(1, cut) for cut in CUTS]


def test_what_is_right_everywhere_is_right_in_every_cut_and_nothing_else_is() -> None:
    assert mean_treecut_accuracy(PATHS, PATHS) == 1.0
    assert mean_treecut_accuracy(PATHS, [(-1, -1, -1)] * 6) == 0.0
    only_top = [(-1, -1, kind) for _, _, kind in PATHS]
    assert hierarchical_consistent_accuracy(PATHS, only_top) == 0.0
    assert 0.2 < mean_treecut_accuracy(PATHS, only_top) < 0.8, "a cut near the top asks for no more than the top"


def test_nodes_are_pruned_as_often_as_their_cut_says() -> None:
    for place, rate in enumerate(PRUNING_RATES):
        pruned = [is_pruned(1, node, 7, place + len(PRUNING_RATES)) for node in range(2000)]
        assert sum(pruned) / 2000 == pytest.approx(rate, abs=0.04)
