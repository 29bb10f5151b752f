"""Adaptive decisions against fixed numbers of samples, on pictures of the unseen artist; see smoothing.py.

The noise goes by address, so all procedures look at the same draws. "Fixed" means: would n draws certify the goal? It
stops drawing as soon as the answer is known, which makes the benchmark feasible; what the procedure itself would have
used, n0 + n, is what is compared. Known means: either the rest cannot change the answer, or it does so with a chance of
less than 1e-6 wherever the class probability lies between bounds of error 1e-9 that hold after any number of draws.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import betabinom, binom
from smoothing_report import TARGETS
from smoothing_speed import leaves

from hrvlm.certificates import anytime_lower, anytime_upper, least_count
from hrvlm.certificates.kinds.classifiers import statements
from hrvlm.certificates.run.images import Images, certify_images
from hrvlm.certificates.run.noise_pass import LevelLabels
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.batches import Drawing, Sample
from hrvlm.certificates.sampling.counts import Procedure
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.certificates.sampling.stream import sample_adaptively
from hrvlm.certificates.statistics.radii import radius_probability
from hrvlm.models import HierarchicalClassifier, LevelKey, inferring

SIGMA, GOAL, ALPHA, N0, SEED, BATCH, PIECE = 0.1, 0.1, 0.001, 100, 0, 128, 64
CAP, FIXED, LARGE = 10_000, 10_000, 100_000
SURE, UNSEEN = 1e-6, 1e-9
"""By how much the share certified may differ, and how many times fewer samples adaptive decisions must take."""
FOLDER = Path(__file__).parents[1] / "runs" / "benchmark-smoothing"
LEAF = LevelKey(0, 0)
Row = dict[str, Any]


def plan(**sampling: Any) -> CertificationPlan:
    """The leaves' certificates, with what is said of sampling."""
    options = SamplingOptions(**sampling)
    return CertificationPlan(
        semantic=False, sigma=SIGMA, n0=N0, n=CAP, alpha=ALPHA, seed=SEED, batch_size=BATCH, sampling=options
    )


def needed(n: int) -> int:
    """Least count out of n that certifies the goal."""
    return least_count(n, ALPHA, float(radius_probability(GOAL, SIGMA)))


def chances(count: int, drawn: int, n: int) -> tuple[float, float]:
    """Between which values the chance lies that n draws certify the goal, `drawn` of them being known."""
    if drawn == 0:
        return 0.0, 1.0
    bounds = (anytime_lower(count, drawn, UNSEEN), anytime_upper(count, drawn, UNSEEN))
    low, high = (float(binom.sf(needed(n) - count - 1, n - drawn, float(p))) for p in bounds)
    return low, high


def known(count: int, drawn: int, n: int) -> bool:
    """Whether the answer of n draws is known after some of them."""
    low, high = chances(count, drawn, n)
    return low > 1 - SURE or high < SURE


def fixed(sample: Sample, n: int) -> Procedure[Row]:
    """Whether n draws certify the goal; draws no more than the answer takes."""
    counts = yield [(0, range(N0))]
    best, count, drawn = int(counts[LEAF][0][:-1].argmax()), 0, 0
    while drawn < n and not known(count, drawn, n):
        more = min(drawn + max(PIECE, drawn // 10), n)
        counts = yield [(1, range(N0 + drawn, N0 + more))]
        drawn, count = more, int(counts[LEAF][1][best])
    return {
        "index": sample.index,
        "correct": best == sample.labels[LEAF],
        "certified": chances(count, drawn, n)[0] > 0.5,
        "count": count,
        "drawn": drawn,
    }


def fixed_rows(classifier: HierarchicalClassifier, data: Any, indices: Iterable[int], n: int) -> Iterator[Row]:
    """Fixed n on some images, as each is finished."""
    leaf = statements(classifier)[0]
    images = Images(classifier, data, list(indices), frozenset(), None, None, None)
    with inferring(classifier):
        yield from sample_adaptively(
            LevelLabels(classifier, statements(classifier)).of_images,
            (images.sample(index, "float32") for index in images.indices),
            {LEAF: leaf.num_classes},
            lambda sample: fixed(sample, n),
            num_groups=2,
            drawing=Drawing(SIGMA, SEED),
            batch_size=BATCH,
        )


def adaptive_rows(classifier: HierarchicalClassifier, data: Any, indices: Iterable[int]) -> Iterator[Row]:
    """Adaptive decisions on some images, as each is finished: the procedure itself."""
    chosen = plan(procedure="adaptive", goal=GOAL)
    for records in certify_images(classifier, data, list(indices), chosen):
        for record in records:
            row = record.to_row()
            yield {
                "index": row["index"],
                "correct": row["correct"],
                "certified": row["decision"] == "certified",
                "count": row["count"],
                "drawn": row["n"],
            }


def read(name: str) -> dict[int, Row]:
    """Rows on file by index; a torn last line is left out."""
    path = FOLDER / f"{name}.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return {row["index"]: row for row in map(json.loads, lines)}


def keep(name: str, rows: Iterable[Row], until: float) -> None:
    """Append rows as they come, until a time of the clock."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.jsonl"
    if path.exists():
        path.write_text("".join(json.dumps(row) + "\n" for row in read(name).values()), encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            file.flush()
            if time.monotonic() > until:
                break


def run(num_images: int, minutes: float) -> None:
    """All three on evenly spread images, in an order whose beginning is evenly spread as well; goes on where it was."""
    until = time.monotonic() + 60 * minutes
    torch.set_num_threads(1)
    classifier, data = leaves()
    order = [(k * 37 % num_images) * len(data) // num_images for k in range(num_images)]
    assert len(set(order)) == num_images

    def missing(name: str, wanted: Iterable[int]) -> list[int]:
        done = read(name)
        return [index for index in wanted if index not in done]

    keep("adaptive", adaptive_rows(classifier, data, missing("adaptive", order)), until)
    keep("fixed", fixed_rows(classifier, data, missing("fixed", order), FIXED), until)
    open_ones = [i for i, row in read("fixed").items() if not known(row["count"], row["drawn"], LARGE)]
    keep("large", fixed_rows(classifier, data, missing("large", open_ones), LARGE), until)


def answer(row: Row, n: int) -> tuple[float, str]:
    """Whether n draws certify the goal, after those of a row, and how that is known; a probability where it is not.

    Where more draws are missing the answer is simulated: a share of successes of Beta(1/2, 1/2) law before the row.
    """
    count, drawn = row["count"], row["drawn"]
    if drawn <= n and known(count, drawn, n):
        return float(chances(count, drawn, n)[0] > 0.5), "drawn"
    return float(betabinom.sf(needed(n) - count - 1, n - drawn, count + 0.5, drawn - count + 0.5)), "simulated"


def summary() -> dict[str, Any]:
    """Shares certified and samples used, on the images that have adaptive rows."""
    adaptive, more = read("adaptive"), {FIXED: read("fixed"), LARGE: read("fixed") | read("large")}
    common = sorted(adaptive)
    answers = {n: [answer(rows.get(index, adaptive[index]), n) for index in common] for n, rows in more.items()}
    size, used = len(common), sum(N0 + adaptive[index]["drawn"] for index in common)
    shares = {"adaptive": [float(adaptive[index]["certified"]) for index in common]}
    shares |= {str(n): [value for value, _ in found] for n, found in answers.items()}
    correct = [adaptive[index]["correct"] for index in common]
    return {
        "images": size,
        "sigma": SIGMA,
        "goal": GOAL,
        "alpha": ALPHA,
        "n0": N0,
        "n_max_of_adaptive": CAP,
        "share_certified": {name: sum(values) / size for name, values in shares.items()},
        "share_certified_and_correct": {
            name: sum(v for v, right in zip(values, correct, strict=True) if right) / size
            for name, values in shares.items()
        },
        "samples_per_image": {"adaptive": used / size} | {str(n): N0 + n for n in TARGETS},
        "times_fewer_samples": {str(n): (N0 + n) * size / used for n in TARGETS},
        "answers_known_by": {
            str(n): {kind: [k for _, k in found].count(kind) for kind in ("drawn", "simulated")}
            for n, found in answers.items()
        },
    }
