"""Rows of every kind of certificate, for the tests that all kinds must pass: a new kind gets its entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from example_records import smoothing
from oracle_examples import ERRORS, made
from run_examples import RUNS, Rows, profile_run
from semantic_problems import random_problem
from test_semantic_evidence import records as semantic_records


@dataclass(frozen=True)
class Example:
    """Rows of one kind.

    Attributes:
        rows: of a finished run over several images, most of them certifying.
        abstaining: of a finished run over several images, none of them certifying.
        texts: fields that may be any text, or nothing, without contradicting anything.
        partly: fields of which numbers may be raised as far as no claim depends on them, see docs/records.md.
    """

    rows: Callable[[], Rows]
    abstaining: Callable[[], Rows]
    texts: frozenset[str] = frozenset()
    partly: frozenset[str] = frozenset()


def unsure_smoothing() -> Rows:
    return [smoothing(index, level, 40).to_row() for index in range(3) for level in range(2)]


def embeddings_outside_the_plane() -> Rows:
    """Rotating them in the plane of the prompts does nothing, so nothing is claimed."""
    problem = random_problem("cosine", 12, 4, 5, 31)
    features, source, target = problem.arguments
    outside = torch.linalg.qr(torch.stack([source, target], 1), mode="complete").Q[:, 2:]
    return [
        record.to_row() for record in semantic_records(problem.scorer, features @ outside @ outside.T, source, target)
    ]


def claimless(rows: Rows) -> Rows:
    """Those of the images of which no row claims anything."""
    claiming = {row["index"] for row in rows if row["reason"] is None}
    return [row for row in rows if row["index"] not in claiming]


def unsure_answers() -> Rows:
    return [record.to_row() for index in range(3) for record in made(ERRORS["given overall"], index=index, count=40)]


EXAMPLES = {
    "smoothing": Example(RUNS["smoothing, split"], unsure_smoothing),
    "semantic": Example(
        RUNS["semantic"], embeddings_outside_the_plane, partly=frozenset({"waves", "distances", "largest_deltas"})
    ),
    "joint": Example(
        RUNS["joint"],
        lambda: claimless(RUNS["joint"]()),
        partly=frozenset({"at_radii", "at_extents", "histogram", "vote_error"}),
    ),
    "profile": Example(RUNS["profile"], lambda: claimless(profile_run(n=9)), partly=frozenset({"invalid_selection"})),
    "oracle": Example(RUNS["oracle, given"], unsure_answers, texts=frozenset({"answer", "anchor", "top_k", "top_p"})),
}
