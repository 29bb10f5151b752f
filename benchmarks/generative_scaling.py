"""How many noise samples a model that answers in words needs: predicted against measured, for the packaged captioner.

Reads the labels that `generative_draws.py` drew, finished or not. The pilot chooses the class and gives the
law that predicts; the other samples, of which a run of n takes the first n, give the counts that are measured. The
predictions are by the law of hrvlm.certificates.planning and by its exact sum, from the pilot, from uniform
probabilities, and (for more samples than were drawn) from all labels. Writes
benchmarks/results/generative_scaling.{json,md} and the quoted part of docs/generative.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import generative_labels as files
import numpy as np
import requote
import scaling_report
from machines import machine
from numpy.typing import NDArray
from scipy.special import ndtri

from hrvlm.certificates.planning.laws import Floats, MixtureLaw, ProbabilityLaw, UniformLaw, pilot_law
from hrvlm.certificates.planning.sample_size import (
    Question,
    certified_accuracy_exact,
    certified_accuracy_law,
    mean_radius_exact,
    mean_radius_law,
    plan_samples,
)
from hrvlm.certificates.statistics.binomial import radius_ceiling, smoothing_radius

RESULT = Path(__file__).parent / "results" / "generative_scaling.json"
ALPHA = 0.001
SAMPLES = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
FEWEST = 5  # rightly answered images that make a table
MULTIPLES = (0.0, 0.5, 1.0, 1.5)  # of sigma: radii of certified accuracy
LOSSES = (0.05, 0.1)
PUBLISHED, EXACT = 1.64, 2.0238  # slopes for uniform probabilities: arXiv 2404.17371, and the exact one
Hits = NDArray[np.bool_]


@dataclass
class Remembered:
    """A law that computes the distribution of the counts of each number of trials once."""

    law: ProbabilityLaw
    shares: dict[int, Floats] = field(default_factory=dict)

    def tail(self, shortfall: Floats) -> Floats:
        """See `ProbabilityLaw.tail`."""
        return self.law.tail(shortfall)

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """See `ProbabilityLaw.count_share`."""
        if trials not in self.shares:
            self.shares[trials] = self.law.count_share(np.arange(trials + 1, dtype=np.float64), trials)
        return self.shares[trials][counts.astype(int)]


def slopes(n: int, reference: int, alpha: float = ALPHA) -> dict[str, float]:
    """Share of the mean radius of `reference` samples that n keep, by 1 - slope * z / sqrt(n), each with its own z."""
    pairs = {"published": (PUBLISHED, alpha / 2), "exact": (EXACT, alpha)}
    kept = {
        name: [max(0.0, 1 + slope * float(ndtri(level)) / math.sqrt(m)) for m in (n, reference)]
        for name, (slope, level) in pairs.items()
    }
    return {name: values[0] / values[1] for name, values in kept.items()}


def block_counts(hits: Hits, n: int) -> NDArray[np.int64]:
    """Counts of the disjoint runs of n samples that fit; the first is the run of the first n."""
    whole = len(hits) // n * n
    return np.asarray(hits[:whole].reshape(-1, n).sum(1))


def measure(hits: Sequence[Hits], images: int, n: int, sigma: float) -> dict[str, Any]:
    """What runs of n samples certified over all images; those without hits count as radius 0 and never certified.

    Args:
        hits: Per rightly answered image, which of its samples got the class; at least n of each.
        images: Number of all images.
        n: Samples of a run.
        sigma: Of the noise.
    """
    radii = [np.atleast_1d(smoothing_radius(block_counts(row, n), n, ALPHA, sigma)) for row in hits]
    agreed = np.array([bool(row[:n].all()) for row in hits])
    first, means = np.array([row[0] for row in radii]), np.array([row.mean() for row in radii])
    return {
        "mean_radius": float(first.sum() / images),
        "mean_radius_runs": float(means.sum() / images),
        "runs": min(map(len, radii)),
        # certified at radius 0 is to be certified at all
        "certified_accuracy": [float((first > multiple * sigma).sum() / images) for multiple in MULTIPLES],
        "certified_accuracy_runs": [
            float(sum((row > multiple * sigma).mean() for row in radii) / images) for multiple in MULTIPLES
        ],
        "saturated": float(agreed.sum() / images),
        "mean_radius_unsaturated": float(first[~agreed].mean()) if not agreed.all() else None,
    }


def predict(law: ProbabilityLaw, n: int, sigma: float) -> dict[str, Any]:
    """What n samples are expected to certify, by the exact sum and by the planner's law."""
    question = Question(law=law, alpha=ALPHA, sigma=sigma)
    return {
        "mean_radius": mean_radius_exact(question, n),
        "mean_radius_law": mean_radius_law(question, n),
        "certified_accuracy": [certified_accuracy_exact(question, n, m * sigma) for m in MULTIPLES],
        "certified_accuracy_law": [certified_accuracy_law(question, n, m * sigma) for m in MULTIPLES],
    }


def least_measured(curve: dict[int, dict[str, Any]], goal: dict[str, Any]) -> int | None:
    """Least n whose runs lose no more on average than the goal says; None if its reference is not measured."""
    if goal["reference"] != max(curve):
        return None
    at = goal["multiple"]
    values = {
        n: found["mean_radius_runs"] if at is None else found["certified_accuracy_runs"][MULTIPLES.index(at)]
        for n, found in curve.items()
    }
    end = values[max(curve)]
    least = end * (1 - goal["loss"]) if at is None else end - goal["loss"]
    return next(n for n in sorted(values) if values[n] >= least)


def plans(hits: Sequence[Hits], images: int, sigma: float, laws: dict[str, ProbabilityLaw]) -> list[dict[str, Any]]:
    """Fewest samples for each loss: relative for the mean radius, in points for the certified accuracy."""
    found: list[dict[str, Any]] = []
    largest = min(map(len, hits))
    grid = sorted({min(largest, round(10 * 1.1**step)) for step in range(98)})  # beyond 100,000
    curve = {n: measure(hits, images, n, sigma) for n in grid}
    for reference in dict.fromkeys((largest, 10_000, 100_000)):
        for multiple in (None, *MULTIPLES[1:3]):
            for loss in LOSSES:
                goal: dict[str, Any] = {"reference": reference, "multiple": multiple, "loss": loss}
                radius = None if multiple is None else multiple * sigma
                for name, law in laws.items():
                    question = Question(law=law, alpha=ALPHA, sigma=sigma)
                    goal[name] = plan_samples(question, loss, radius=radius, n_reference=reference).n
                found.append({**goal, "measured": least_measured(curve, goal)})
    return found


def saturation(hits: Sequence[Hits], images: int, samples: Sequence[int], sigma: float) -> dict[str, Any]:
    """The images whose every drawn sample agreed, and the mean radius of the others, over the others only."""
    largest = samples[-1]
    others = [row for row in hits if not row[:largest].all()]
    rows = [measure(others, len(others), n, sigma)["mean_radius"] if others else None for n in samples]
    return {"images": len(hits) - len(others), "share": (len(hits) - len(others)) / images, "others_mean_radius": rows}


def group(rows: Sequence[dict[str, Any]], sigma: float) -> dict[str, Any]:
    """All numbers of some images; the counts that they come from included."""
    right = [row for row in rows if row["right"]]
    hits, pilots = [row["hits"] for row in right], [int(row["pilot"]) for row in right]
    length, images = min(map(len, hits)), len(rows)
    measured = [n for n in SAMPLES if n <= length]
    hits = [row[: measured[-1]] for row in hits]
    totals = [int(row["hits"].sum()) for row in right]
    laws: dict[str, ProbabilityLaw] = {
        "pilot": Remembered(pilot_law(pilots, [files.PILOT] * len(right), num_images=images)),
        "labels": Remembered(pilot_law(totals, [len(row["hits"]) for row in right], num_images=images)),
        "uniform": Remembered(MixtureLaw(((len(right) / images, UniformLaw()),))),
    }
    lines = [
        {
            "n": n,
            "ceiling": float(radius_ceiling(n, ALPHA, sigma)),
            "measured": measure(hits, images, n, sigma) if n in measured else None,
            **{name: predict(law, n, sigma) for name, law in laws.items()},
            "slopes": {str(reference): slopes(n, reference) for reference in (measured[-1], 100_000)},
        }
        for n in SAMPLES
    ]
    counts = [[row["index"], row["pilot"], *(int(row["hits"][:n].sum()) for n in measured)] for row in right]
    return {
        "images": images,
        "right": len(right),
        "largest": measured[-1],
        "labels": sum(len(row["hits"]) for row in right),
        "lines": lines,
        "plans": plans(hits, images, sigma, laws),
        "saturated": saturation(hits, images, measured, sigma),
        "counts": counts,
    }


def drawn(folder: Path, setting: dict[str, Any], sigma: float, least: int) -> list[dict[str, Any]]:
    """The first images of the drawing order of which every rightly answered one has so many samples."""
    rows: list[dict[str, Any]] = []
    for index, true in zip(setting["indices"], setting["true"], strict=True):
        labels = files.read_labels(files.label_file(folder, sigma, index))
        pilot, rest = labels[: files.PILOT], labels[files.PILOT :]
        right = len(pilot) == files.PILOT and files.mode(pilot) == true
        if len(pilot) < files.PILOT or (right and len(rest) < least):
            break
        rows.append({"index": index, "right": right, "pilot": int((pilot == true).sum()), "hits": rest == true})
    return rows


def chosen(folder: Path, setting: dict[str, Any], sigma: float) -> list[list[dict[str, Any]]]:
    """As many images as have the wide samples, and those measured furthest, if not the same; none if too few."""
    found = {least: drawn(folder, setting, sigma, least) for least in SAMPLES[::-1]}
    enough = {least: rows for least, rows in found.items() if sum(row["right"] for row in rows) >= FEWEST}
    if not enough:
        return []
    wide = next((rows for least, rows in enough.items() if least <= files.WIDE), [])
    deep = next(iter(enough.values()))
    return [deep] if len(deep) == len(wide) else [wide, deep]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=files.FOLDER)
    options = parser.parse_args()
    setting = files.read_setting(options.folder)
    sigmas = []
    for sigma in files.SIGMAS:
        groups = [group(rows, sigma) for rows in chosen(options.folder, setting, sigma)]
        if groups:
            sigmas.append({"sigma": sigma, "groups": groups})
    if not sigmas:
        raise ValueError(f"expected {FEWEST} images with {SAMPLES[0]} samples each in {options.folder}, got fewer")
    result = {
        "command": " ".join(["python", "benchmarks/generative_scaling.py", *sys.argv[1:]]),
        "machine": machine(),
        "alpha": ALPHA,
        "pilot": files.PILOT,
        "multiples": MULTIPLES,
        "split": setting["split"],
        "weights": setting["generator"]["weights"],
        "sigmas": sigmas,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    scaling_report.TABLE.write_text(scaling_report.markdown(result), encoding="utf-8")
    requote.main()
    print(scaling_report.markdown(result))


if __name__ == "__main__":
    main()
