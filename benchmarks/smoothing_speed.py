"""Throughput and memory of the smoothing loop, measured in processes of their own; see smoothing.py."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from profile_cost import leaves_only, subject, time_ratio
from smoothing_loop import BATCH_SIZES, Scores, as_built, certify_one, encode_all

from hrvlm.certificates import Sample
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.batches import Drawing, noisy_batch
from hrvlm.models import HierarchicalClassifier, inference_copy, inferring

SIGMA, ALPHA, N0, N, IMAGES, BATCH = 0.1, 0.001, 100, 1000, 4, 128
CASES = {"one core": (1, 1), "one thread, another core for noise": (2, 1), "two cores, two threads": (2, 2)}
"""Processor cores that a process may use, and threads of the encoder."""
MEMORY = (200, 5000)


def plan(n: int = N) -> CertificationPlan:
    """The leaves' smoothing certificates alone."""
    return CertificationPlan(semantic=False, sigma=SIGMA, n0=N0, n=n, alpha=ALPHA, batch_size=BATCH)


def leaves() -> tuple[HierarchicalClassifier, Any]:
    """The packaged model over the leaves, and the pictures of the unseen artist."""
    classifier, data = subject()
    return leaves_only(classifier, N)[0], data


def run_loop(classifier: HierarchicalClassifier, data: Any, indices: list[int], n: int = N) -> None:
    """The loop that is measured."""
    for _ in certify_images(classifier, data, indices, plan(n)):
        pass


def contenders(classifier: HierarchicalClassifier, data: Any, indices: list[int]) -> dict[str, Callable[[], None]]:
    """What takes turns; each handles the same number of noisy copies."""
    copies = torch.cat(
        [
            noisy_batch([(Sample(i, data[i][0], {}), range(N0 + N))], Drawing(SIGMA, 0), torch.device("cpu"))
            for i in indices
        ]
    )
    batches, num_classes = list(copies.split(BATCH)), len(classifier.forest.leaves)

    def plain(scores: Scores, batch: int) -> None:
        for i in indices:
            certify_one(scores, data[i][0], n0=N0, n=N, sigma=SIGMA, alpha=ALPHA, batch=batch, num_classes=num_classes)

    tower = inference_copy(classifier.model)  # as in the loop

    def encoder() -> None:
        encode_all(tower.encode_image, batches)

    found: dict[str, Callable[[], None]] = {"encoder": encoder, "loop": lambda: run_loop(classifier, data, indices)}
    towers: dict[str, Scores] = {"plain loop": as_built(classifier), "plain loop, our layout": classifier}
    for (name, scores), size in product(towers.items(), BATCH_SIZES):
        found[f"{name}, batches of {size}"] = partial(plain, scores, size)
    return found


def turns(cores: int, threads: int, repeats: int) -> dict[str, Any]:
    """Seconds of each contender in each turn, by wall and by processor time; the first turn warms up."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(threads)
    classifier, data = leaves()
    step = len(data) // IMAGES
    seconds: dict[str, dict[str, list[float]]] = {}
    with inferring(classifier):
        ready = contenders(classifier, data, [step * k for k in range(IMAGES)])
        for turn in range(repeats + 1):
            for name, call in ready.items():
                wall, processor = time.perf_counter(), time.process_time()
                call()
                spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
                for clock in spent if turn else ():
                    seconds.setdefault(name, {}).setdefault(clock, []).append(spent[clock])
    return {"cores": cores, "threads": threads, "load_after": os.getloadavg()[0], "seconds": seconds}


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Rates, and medians over the turns of the loop's throughput over that of the others."""
    copies = IMAGES * (N0 + N)
    found: dict[str, Any] = {key: measured[key] for key in ("cores", "threads", "load_after")}
    found["turns"] = len(measured["seconds"]["loop"]["wall"])
    for name, clocks in measured["seconds"].items():
        entry = {f"copies_per_{clock}_second": copies / statistics.median(values) for clock, values in clocks.items()}
        if name != "loop":
            for clock, values in clocks.items():
                own = measured["seconds"]["loop"][clock]
                ratios = [other / loop for other, loop in zip(values, own, strict=True)]
                entry[f"loop_over_it_by_{clock}"] = statistics.median(ratios)
        found[name] = {key: round(value, 4 if "over" in key else 1) for key, value in entry.items()}
    return found


def own_process(*arguments: str) -> Any:
    """What this file prints when it is run with these arguments."""
    command = [sys.executable, str(Path(__file__)), *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def throughput(case: str, repeats: int) -> dict[str, Any]:
    """One case, in a process that may use its cores only."""
    cores, threads = CASES[case]
    return summary(own_process("--turns", str(cores), str(threads), str(repeats)))


def memory() -> dict[str, Any]:
    """Peak resident memory, in MiB, of one image with few and with many samples."""
    return {"peak_mebibytes": {str(n): own_process("--peak", str(n)) for n in MEMORY}}


def profile() -> dict[str, Any]:
    """What full hierarchical profiles of both trees cost over the leaves' certificate; see profile_cost.py."""
    torch.set_num_threads(1)
    return {"over_leaves_by_processor": round(time_ratio(1000, 2, 5)["ratio"], 4)}


def _peak(n: int) -> float:
    torch.set_num_threads(1)
    classifier, data = leaves()
    run_loop(classifier, data, [0], n)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> None:
    """What `own_process` asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, nargs=3)
    parser.add_argument("--peak", type=int)
    given = parser.parse_args()
    print(json.dumps(turns(*given.turns) if given.turns else _peak(given.peak)))


if __name__ == "__main__":
    main()
