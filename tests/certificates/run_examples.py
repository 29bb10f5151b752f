"""Small runs, as rows: every kind of certificate, by every procedure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oracle_examples import ERRORS, made
from semantic_problems import random_problem
from test_altered_rows import PLANS, smoothing_rows
from test_joint_rows import PLAN as JOINT_PLAN
from test_joint_rows import certified, family
from test_joint_rows import samples as joint_samples
from test_profile import FLAT, TREE, profiles
from test_profile import PLAN as PROFILE_PLAN
from test_semantic_evidence import of_problem

Rows = list[dict[str, Any]]


def semantic_run(kind: str = "cosine") -> Rows:
    problem = random_problem(kind, 12, 4, 8, 31)
    return [record.to_row() for record in of_problem(problem, deltas=(0.0, 0.1))]


def joint_run() -> Rows:
    families = [family(), family(level=1)]
    records = certified(families, JOINT_PLAN, samples=joint_samples(families, 4))
    return [record.to_row() for record in records]


def profile_run(radii: tuple[float, ...] = (), **plan: Any) -> Rows:
    return [record.to_row() for record in profiles(replace(PROFILE_PLAN, **plan), radii=radii, trees=(TREE, FLAT))]


def oracle_run(error: str) -> Rows:
    return [record.to_row() for i, c in enumerate((97, 95, 40)) for record in made(ERRORS[error], index=i, count=c)]


RUNS: dict[str, Callable[[], Rows]] = {
    **{f"smoothing, {name}": lambda name=name: smoothing_rows(**PLANS[name]) for name in PLANS},  # type: ignore[misc]
    "smoothing, grid": lambda: smoothing_rows(noise="grid"),
    "semantic": semantic_run,
    "joint": joint_run,
    "profile": profile_run,
    "profile, fixed radii": lambda: profile_run((0.05, 0.2)),
    "profile, shared": lambda: profile_run(procedure="shared"),
    "oracle, given": lambda: oracle_run("given overall"),
    "oracle, estimated": lambda: oracle_run("estimated false positive"),
    "oracle, population": lambda: oracle_run("population"),
}
