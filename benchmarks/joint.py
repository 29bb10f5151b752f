"""Compares two joint pixel-and-semantic certificates on the packaged model: the vote on extents, and the mean score.

    python benchmarks/joint.py [--model emoji] [--images 12] [--samples 1000]

Both are asked, from the same noisy copies and at the same alpha per statement, how far every image within a radius (L2)
may be turned towards an attribute, and within which radius a fixed turn is safe, under the cosine scorer of the model
and, over the same features, under a Poincaré head of start values. They certify different classifiers: the vote of
labels, and the highest mean score. Prints a table and writes benchmarks/results/joint.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machines import machine
from torch import Tensor

import hrvlm
from hrvlm.certificates import (
    AffineScorer,
    ExtentGrid,
    MarginRange,
    Sample,
    extent_at_radius,
    mean_bounds,
    radius_at_extent,
    sample_extents,
)
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.run import PromptPairs
from hrvlm.certificates.sampling.batches import Drawing, noisy_batch
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, LevelKey, PoincareHead, cosine_head, inferring

TREE = "trees/emoji_unicode.yaml"
RESULT = Path(__file__).parent / "results" / "joint.json"
ATTRIBUTES = [
    Attribute(name="small", target="a small picture of a {}"),
    Attribute(name="blue background", target="a picture of a {} on a blue background"),
]
SIGMA, ALPHA, N0, SEED = 0.1, 0.001, 32, 0
RADII, EXTENTS, LONGEST = (0.02, 0.05, 0.1), (0.0, 0.1, 0.3), 0.5
GRID = ExtentGrid("turn", 1024)
Numbers = dict[str, list[float]]


@torch.no_grad()
def features_of(classifier: HierarchicalClassifier, image: Tensor, index: int, n: int) -> Tensor:
    """Un-normalised features `(N0 + n, D)` of noisy copies."""
    sample, drawing = Sample(index, image, {}), Drawing(SIGMA, SEED)
    draws = range(N0 + n)
    pieces = [draws[begin : begin + 258] for begin in range(0, len(draws), 258)]
    device = torch.device("cpu")
    return torch.cat([classifier.model.encode_image(noisy_batch([(sample, part)], drawing, device)) for part in pieces])


def statements(
    classifiers: dict[str, HierarchicalClassifier], features: Tensor, label: int
) -> Iterator[tuple[str, Numbers, Numbers, float, float]]:
    """Per scorer, level and attribute: what each certificate gives, and the seconds each took."""
    for kind, classifier in classifiers.items():
        points, curv = classifier.head.lift_image(features), float(getattr(classifier.head, "curv", 0.0))
        for key in (LevelKey(0, 0), LevelKey(0, 1), LevelKey(0, 2)):
            texts, copies = classifier.text_points(key), points[N0:]
            first = AffineScorer(*classifier.head.affine(points[:N0], texts)).scores(points[:N0])
            voted, scored = int(first.argmax(dim=1).bincount().argmax()), int(first.mean(dim=0).argmax())
            truth = int(classifier.ancestors[key][label])
            scorer = AffineScorer(*classifier.head.affine(copies, texts))
            for change in PromptPairs(classifier, ATTRIBUTES)(label):
                plane = (copies.double(), change.source, change.target)
                begin = time.perf_counter()
                histogram = GRID.count(sample_extents(scorer, *plane, voted))
                vote: Numbers = {
                    "extent": [extent_at_radius(histogram, len(copies), ALPHA, r, SIGMA, GRID) or 0.0 for r in RADII],
                    "radius": [radius_at_extent(histogram, len(copies), ALPHA, e, SIGMA, GRID) for e in EXTENTS],
                }
                middle = time.perf_counter()
                possible = MarginRange.poincare(texts, scored, curv) if curv else MarginRange.cosine(texts, scored)
                bounds = mean_bounds(scorer, *plane, scored, possible, longest=LONGEST, sigma=SIGMA, alpha=ALPHA)
                mean: Numbers = {
                    "extent": [bounds.extent(r) or 0.0 for r in RADII],
                    "radius": [bounds.radius(e) for e in EXTENTS],
                }
                end = time.perf_counter()
                name = f"{kind}/{classifier.name(key)}/{change.attribute}"
                yield name, only(vote, voted == truth), only(mean, scored == truth), middle - begin, end - middle


def only(numbers: Numbers, correct: bool) -> Numbers:
    """The numbers, or zeros where the class is wrong."""
    return numbers if correct else {name: [0.0] * len(values) for name, values in numbers.items()}


def averages(found: dict[str, list[tuple[Numbers, Numbers, float, float]]]) -> dict[str, Any]:
    """Means over the images."""
    table: dict[str, Any] = {}
    for name, rows in found.items():
        table[name] = {
            method: {
                part: [
                    round(sum(values) / len(rows), 4) for values in zip(*(row[i][part] for row in rows), strict=True)
                ]
                for part in ("extent", "radius")
            }
            | {"milliseconds": round(1000 * sum(row[i + 2] for row in rows) / len(rows), 1)}
            for i, method in enumerate(("vote", "mean"))
        }
    return table


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--samples", type=int, default=1000)
    given = parser.parse_args()
    data = hrvlm.data.emoji("unseen_artist")
    model = hrvlm.load_model(given.model)
    forest = hrvlm.load_forest([TREE]).restrict(data.class_names)
    indices = evenly_spread(len(data), given.images)
    images = torch.stack([data[index][0] for index in indices])
    with inferring(model):
        texts = [model.project_text(model.text_hidden(forest[0].prompts(level.index))) for level in forest[0].levels]
        ball = PoincareHead(text_scales=len(texts))
        ball.initialise(model.encode_image(images), texts)
    classifiers = {
        "cosine": HierarchicalClassifier(model, cosine_head(model), forest),
        "poincare": HierarchicalClassifier(model, ball, forest),
    }
    found: dict[str, list[tuple[Numbers, Numbers, float, float]]] = defaultdict(list)
    for index in indices:
        image, label = data[index]
        with inferring(model):
            features = features_of(classifiers["cosine"], image, index, given.samples)
            for name, *numbers in statements(classifiers, features, int(label)):
                found[name].append((numbers[0], numbers[1], numbers[2], numbers[3]))
        print(f"image {index}", flush=True)
    result = {
        "model": given.model,
        "machine": machine(),
        "images": given.images,
        "samples": given.samples,
        "sigma": SIGMA,
        "alpha_per_statement": ALPHA,
        "mean_extent_at_radii": list(RADII),
        "mean_radius_at_extents": list(EXTENTS),
        "statements": averages(found),
    }
    text = json.dumps(result, indent=2)
    print(text)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
