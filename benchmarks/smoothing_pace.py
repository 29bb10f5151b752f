"""Time per decision: the loop with adaptive decisions against the plain loop with fixed n; see smoothing.py."""

from __future__ import annotations

import time
from typing import Any

from smoothing_decisions import ALPHA, FIXED, N0, SIGMA, adaptive_rows
from smoothing_loop import BATCH_SIZES, as_built, certify_one
from smoothing_speed import leaves

from hrvlm.models import inferring

IMAGES = 8


def pace() -> dict[str, Any]:
    """Seconds for the same decisions on evenly spread images, one after the other in one process."""
    classifier, data = leaves()
    indices = [k * len(data) // IMAGES for k in range(IMAGES)]
    num_classes = len(classifier.forest.leaves)
    given = {"n0": N0, "sigma": SIGMA, "alpha": ALPHA, "batch": BATCH_SIZES[0], "num_classes": num_classes}
    with inferring(classifier):
        scores = as_built(classifier)
        certify_one(scores, data[indices[0]][0], n=1000, **given)  # warms up
        list(adaptive_rows(classifier, data, indices[:1]))
        begin = time.perf_counter()
        drawn = [N0 + row["drawn"] for row in adaptive_rows(classifier, data, indices)]
        adaptive = time.perf_counter() - begin
        begin = time.perf_counter()
        for index in indices:
            certify_one(scores, data[index][0], n=FIXED, **given)
        plain = time.perf_counter() - begin
    return {
        "images": IMAGES,
        "n": FIXED,
        "plain_batch": BATCH_SIZES[0],
        "adaptive_samples_per_image": sum(drawn) / IMAGES,
        "seconds": {"adaptive": round(adaptive, 2), "plain": round(plain, 2)},
        "times_faster": round(plain / adaptive, 2),
    }
