"""How fast semantic partitions are: against solving all pairs, and in image-attribute pairs per second.

    python benchmarks/semantic_speed.py [--classes K] [--threads T]

Both are measured in one run on the same embeddings: K classes, D features, images near their class, prompt pairs that
differ a little, as in a model, where hardly any label changes; and embeddings without structure, of few dimensions
among the D, where labels change on the way. The all-pairs solution is vectorised as well: the crossings of all
K (K - 1) / 2 pairs, in closed form and sorted, and the label halfway between neighbours; it has one thread, partitions
have T, and the ratio is per thread. Where other work shares the machine, as `load_before` tells, rates per processor
second are the fairer ones. Writes benchmarks/results/semantic_speed.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from machines import machine
from torch import Tensor

from hrvlm.certificates import AffineScorer, semantic_partition, semantic_partitions
from hrvlm.certificates.embedding.rotation import Rotation

RESULT = Path(__file__).parent / "results" / "semantic_speed.json"
FEATURES, FEW, IMAGES, ATTRIBUTES, REPEATS = 512, 16, 2000, 8, 5
Problem = tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]
TARGETS = {"over_all_pairs": 100, "pairs_per_second": 20_000}


def problem(num_classes: int, shift: float) -> Problem:
    """Class texts `(K, D)`, images `(N, D)`, and prompt pairs that differ by about `shift` radians."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / FEATURES**0.5

    def unit(x: Tensor) -> Tensor:
        return torch.nn.functional.normalize(x, dim=-1)

    common, gap = random(FEATURES), 2 * random(FEATURES)
    texts = unit(common + 0.7 * random(num_classes, FEATURES))
    images = unit(texts[torch.randint(num_classes, (IMAGES,), generator=generator)] + gap + random(IMAGES, FEATURES))
    pairs = {str(a): (texts[a], unit(texts[a] + shift * random(FEATURES))) for a in range(ATTRIBUTES)}
    return texts, images, pairs


def unstructured(num_classes: int) -> Problem:
    """The same of random directions in few dimensions: long ways past many classes."""
    generator = torch.Generator().manual_seed(1)

    def random(count: int) -> Tensor:
        points = torch.randn(count, FEW, generator=generator, dtype=torch.float64)
        return torch.nn.functional.pad(torch.nn.functional.normalize(points, dim=-1), (0, FEATURES - FEW))

    sources, targets = random(ATTRIBUTES), random(ATTRIBUTES)
    pairs = {str(a): (sources[a], targets[a]) for a in range(ATTRIBUTES)}
    return random(num_classes), random(IMAGES), pairs


def all_pairs(texts: Tensor, image: Tensor, source: Tensor, target: Tensor) -> list[tuple[float, int]]:
    """Breaks (angle, label from there on) of one image, from the crossings of all pairs of classes."""
    rotation = Rotation.of(image[None], source, target)
    start, stop = float(rotation.angle), float(rotation.plane.angle)
    waves = rotation.sinusoids(AffineScorer.cosine(texts), torch.ones(1, dtype=torch.float64))
    cosine, sine, offset = waves.cosine[0], waves.sine[0], waves.offset[0]
    first, second = torch.triu_indices(len(texts), len(texts), 1)
    a, b, c = (part[first] - part[second] for part in (cosine, sine, offset))
    size, phase = torch.hypot(a, b), torch.atan2(b, a)
    turn = (-c / size).clamp(-1, 1).acos()
    roots = torch.cat([phase + turn, phase - turn])[(c.abs() <= size).repeat(2)].remainder(2 * math.pi)
    turned = torch.tensor((stop - start + math.pi) % (2 * math.pi) - math.pi)
    direction, length = (1.0 if turned >= 0 else -1.0), turned.abs()
    roots = roots if direction > 0 else 2 * math.pi - roots
    edges = torch.cat([roots.new_zeros(1), roots[roots < length].sort().values, length[None]])
    middle = direction * (edges[1:] + edges[:-1]) / 2
    found: list[tuple[float, int]] = []
    for begin, angle in zip(edges[:-1].split(256), middle.split(256), strict=True):
        scores = torch.outer(angle.cos(), cosine) + torch.outer(angle.sin(), sine) + offset
        found += zip((start + direction * begin).tolist(), scores.argmax(dim=1).tolist(), strict=True)
    return [item for i, item in enumerate(found) if i == 0 or item[1] != found[i - 1][1]]


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Smallest wall and processor seconds of several calls."""
    times = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(wall for wall, _ in times), min(processor for _, processor in times)


def measure(given: Problem, threads: int) -> dict[str, Any]:
    """Times of both ways."""
    texts, images, pairs = given
    scorer = AffineScorer.cosine(texts)
    found = semantic_partitions({0: scorer}, images, pairs)
    parts = images.chunk(threads)
    with ThreadPoolExecutor(threads) as pool:
        wall, processor = timed(
            lambda: list(pool.map(lambda part: semantic_partitions({0: scorer}, part, pairs), parts)), REPEATS
        )
    every, every_processor = timed(lambda: all_pairs(texts, images[0], *pairs["0"]), 2)
    for i in range(3):  # both ways agree
        pieces = semantic_partition(scorer, images[i : i + 1], *pairs["0"]).intervals(0)
        reference = all_pairs(texts, images[i], *pairs["0"])
        assert [label for _, _, label in pieces] == [label for _, label in reference]
        assert all(abs(piece[0] - angle) < 1e-9 for piece, (angle, _) in zip(pieces, reference, strict=True))
    count = IMAGES * ATTRIBUTES
    intervals = [len(partition.intervals(i)) for partition in found.values() for i in range(IMAGES)]
    return {
        "range_radians": sum(float((p.stop - p.start).abs().mean()) for p in found.values()) / ATTRIBUTES,
        "intervals": sum(intervals) / count,
        "pairs_per_second": count / wall,
        "pairs_per_processor_second": count / processor,
        "all_pairs_per_second": 1 / every,
        "over_all_pairs": every * count / wall / threads,
        "over_all_pairs_processor": every_processor * count / processor,
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # each thread has images of its own; grad mode is a thread's own, too
    torch.set_grad_enabled(False)
    problems = {f"{shift:g}": problem(arguments.classes, shift) for shift in (0.5, 1.0, 3.0)}
    problems["unstructured"] = unstructured(arguments.classes)
    result = {
        "machine": machine() | {"threads": arguments.threads},
        "load_before": os.getloadavg()[0],
        "classes": arguments.classes,
        "features": FEATURES,
        "targets": TARGETS,
        "changes": {name: measure(given, arguments.threads) for name, given in problems.items()},
    }
    print(json.dumps(result, indent=2))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
