"""What hierarchical profiles and kept features cost, on the packaged model: `python benchmarks/profile_cost.py`.

Time: the same noise pass for the leaves alone, and with the profiles of both trees, in turns; CPU time, so that other
programs on the machine count less. Memory: peak of a process of its own that keeps the features of one image and scores
them again, for few and for many draws.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hrvlm.certificates import FeatureStore, ProfileOptions
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import emoji
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.trees import load_forest

TREES = Path(__file__).parents[1] / "trees"


def subject() -> tuple[HierarchicalClassifier, object]:
    """The packaged model over both trees, and the pictures of the unseen artist."""
    data, loaded = emoji("unseen_artist"), load("emoji")
    paths = [TREES / "emoji_unicode.yaml", TREES / "emoji_wordnet.yaml"]
    return HierarchicalClassifier(loaded.model, loaded.head, load_forest(paths, leaves=data.class_names)), data


def plan(n: int) -> CertificationPlan:
    return CertificationPlan(smoothing=False, semantic=False, profile=ProfileOptions(), sigma=0.25, n0=100, n=n)


def leaves_only(classifier: HierarchicalClassifier, n: int) -> tuple[HierarchicalClassifier, CertificationPlan]:
    """The same pass without the trees: one level of one tree, and its smoothing certificate."""
    forest = load_forest([TREES / "emoji_unicode.yaml"], leaves=classifier.forest.leaves, num_levels=1)
    chosen = CertificationPlan(semantic=False, sigma=0.25, n0=100, n=n)
    return HierarchicalClassifier(classifier.model, classifier.head, forest), chosen


def time_ratio(n: int, images: int, turns: int) -> dict[str, float]:
    classifier, data = subject()
    cases = {"profile": (classifier, plan(n)), "leaves": leaves_only(classifier, n)}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns + 1):
        for name, (subject_of, chosen) in cases.items():
            start = time.process_time()
            for _ in certify_images(subject_of, data, range(images), chosen):
                pass
            if turn:  # the first one warms up
                seconds[name].append(time.process_time() - start)
    ratios = [a / b for a, b in zip(seconds["profile"], seconds["leaves"], strict=True)]
    return {name: statistics.median(values) for name, values in seconds.items()} | {"ratio": statistics.median(ratios)}


def peak_mebibytes(n: int) -> float:
    command = [sys.executable, __file__, "--keep", str(n)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def keep(n: int) -> None:
    """Keep the features of one image, score them again, print the peak memory of this process."""
    classifier, data = subject()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(folder, {}, 100 + n)
        for options in ({"store": store}, {"kept": store}):
            for _ in certify_images(classifier, data, [0], plan(n), **options):
                pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--keep", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.keep is not None:
        keep(given.keep)
        return
    measured = {"seconds": time_ratio(given.n, given.images, given.turns)}
    measured["peak_mebibytes"] = {str(n): peak_mebibytes(n) for n in given.memory}
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
