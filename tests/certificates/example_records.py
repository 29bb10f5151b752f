from __future__ import annotations

from semantic_problems import random_problem

from hrvlm.certificates import (
    SemanticRecord,
    SmoothingRecord,
    clopper_pearson_lower,
    semantic_partition,
    smoothing_radius,
)


def smoothing(index=0, level=0, count=95, *, label=1, prediction=1, **changes):
    share = 0.01 / 2
    lower = clopper_pearson_lower(count, 100, share)
    fields = {
        "index": index,
        "label": label,
        "tree": "Bäume",
        "level": level,
        "level_name": "leaf",
        "prediction": prediction,
        "correct": label == prediction,
        "reason": None if lower > 0.5 else "not above 1/2",
        "sigma": 0.25,
        "noise_space": "pixels",
        "alpha": 0.01,
        "alpha_share": share,
        "num_statements": 2,
        "n0": 10,
        "n": 100,
        "selection_count": 9,
        "count": count,
        "invalid": 0,
        "lower": lower,
        "radius": smoothing_radius(count, 100, share, 0.25),
        "abstain": lower <= 0.5,
        "seed": 0,
    }
    return SmoothingRecord(**(fields | changes))


def semantics(count=8, **options):
    problem = random_problem("cosine", 12, 4, count, seed=31)
    partition = semantic_partition(problem.scorer, *problem.arguments, **options)
    described = {"tree": "t", "level": 0, "level_name": "leaf", "scorer": "cosine", "attribute": "size"}
    prompts = {"source_prompt": "a fox", "target_prompt": "a big fox"}
    stable = [[(0.0, 1.0), (0.1, 0.25)] if partition.intervals(i) else [(0.0, 0.0)] for i in range(count)]
    return [
        SemanticRecord.of_partition(partition, i, label=3, index=i, **described, **prompts, stable=stable[i])
        for i in range(count)
    ], partition
