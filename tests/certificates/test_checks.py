from __future__ import annotations

import pytest
import torch
from semantic_problems import random_problem

from hrvlm.certificates import (
    check_semantic_dense,
    check_stable_sampled,
    semantic_partition,
    stable_intervals,
)


def stretched(pieces, share=0.05):
    """The same intervals, each 5% longer at its far end."""
    return [[(a, b + share * (b - a), label) for a, b, label in piece] for piece in pieces]


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_dense_check_passes_the_certificates_and_catches_inflated_ones(kind):
    problem = random_problem(kind, 30, 5, 60, seed=41)
    arguments = (problem.scorer, *problem.arguments)
    partition = semantic_partition(*arguments)
    pieces = [partition.intervals(i) for i in range(60)]
    assert check_semantic_dense(*arguments, pieces) == []
    inner = [piece[:-1] for piece in pieces]
    caught = {(v.image, v.stated) for v in check_semantic_dense(*arguments, stretched(inner))}
    assert caught == {(i, label) for i, piece in enumerate(inner) for _, _, label in piece}
    assert len(caught) > 30


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_sphere_attack_passes_stable_intervals_and_catches_inflated_ones(kind):
    problem, delta = random_problem(kind, 10, 5, 20, seed=42), 0.05
    arguments = (problem.scorer, *problem.arguments)
    pieces = stable_intervals(*arguments, delta)
    generator = torch.Generator().manual_seed(0)
    assert sum(map(len, pieces)) > 10
    assert check_stable_sampled(*arguments, delta, pieces, generator=generator) == []
    partition = semantic_partition(*arguments)
    unstable = [partition.intervals(i) for i in range(20)]
    assert len(check_stable_sampled(*arguments, delta, unstable, generator=generator)) > 10
