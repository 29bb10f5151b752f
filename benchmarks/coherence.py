"""Measures how often the levels of a fine-tuned model are right together, under each way of decoding them.

    python benchmarks/coherence.py --checkpoint runs/quickstart/version_0/checkpoints/last.ckpt

200 pictures of the unseen artist: clean; under PGD-20 at 4/255 on the leaf classifier that decides by itself, the same
pictures for every decoding; and under the same attack on the leaf labels of the decoding itself. Prints a table and
writes benchmarks/results/coherence.json and coherence.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.adapter import attack
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.data.items import images_and_labels
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, inferring, load, state_digest
from hrvlm.models.decoding import DECODINGS
from hrvlm.trees import load_forest
from hrvlm.trees.coherence import hierarchical_consistent_accuracy, mean_treecut_accuracy

TREES = ["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"]
RESULTS = Path(__file__).parent / "results"
IMAGES, EPS = 200, 4 / 255
PICTURES = ("clean", "PGD-20 at the leaf", "PGD-20 at the decoded leaf")


def measured(classifier: HierarchicalClassifier, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Accuracy per level, and over all levels of each tree."""
    with inferring(classifier):
        found = classifier.predict(images)
    right = {key: classifier.target(labels, key) for key in classifier.keys}
    accuracy = {classifier.name(key): (found[key] == right[key]).float().mean().item() for key in classifier.keys}
    together = {}
    for number, tree in enumerate(classifier.forest):
        keys = [key for key in classifier.keys if key.level == 0 or key.tree == number]
        truth, given = (list(zip(*(of[key].tolist() for key in keys), strict=True)) for of in (right, found))
        hca, mta = hierarchical_consistent_accuracy(truth, given), mean_treecut_accuracy(truth, given)
        together[tree.name] = {"hca": hca, "mta": mta}
    return {"accuracy": accuracy, "together": together}


def rows(checkpoint: str) -> Iterator[dict[str, Any]]:
    """A row per decoding and kind of pictures."""
    loaded, module = load(checkpoint), EmojiDataModule(batch_size=128)
    data = module.evaluation_set("unseen_artist")
    images, labels = images_and_labels(data, evenly_spread(len(data), IMAGES))
    forest = load_forest(TREES, leaves=module.class_ids)
    classifiers = {name: HierarchicalClassifier(loaded.model, loaded.head, forest, name) for name in DECODINGS}
    budget = ThreatModel(norm="linf", eps=EPS)
    shared = attack(classifiers["independent"].forward, images, labels, budget, "pgd20").images
    for name, classifier in classifiers.items():
        own = shared if name == "independent" else attack(classifier.forward, images, labels, budget, "pgd20").images
        for kind, pictures in zip(PICTURES, (images, shared, own), strict=True):
            yield {"decoding": name, "pictures": kind, **measured(classifier, pictures, labels)}


def table(found: list[dict[str, Any]]) -> str:
    """The rows in percent, as Markdown."""
    names = [
        *found[0]["accuracy"],
        *(f"{key.upper()} {tree}" for tree in found[0]["together"] for key in ("hca", "mta")),
    ]
    lines = [f"| pictures | decoding | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(names)]
    for row in sorted(found, key=lambda row: PICTURES.index(row["pictures"])):
        numbers = [*row["accuracy"].values(), *(share for of in row["together"].values() for share in of.values())]
        cells = " | ".join(f"{100 * share:.1f}" for share in numbers)
        lines.append(f"| {row['pictures']} | {row['decoding']} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="runs/quickstart/version_0/checkpoints/last.ckpt")
    options = parser.parse_args()
    found = list(rows(options.checkpoint))
    loaded = load(options.checkpoint)
    head = {"images": IMAGES, "eps": EPS, "weights": state_digest(loaded.model.state_dict())}
    (RESULTS / "coherence.json").write_text(json.dumps(head | {"rows": found}, indent=1) + "\n")
    (RESULTS / "coherence.md").write_text(table(found))
    print(table(found), end="")


if __name__ == "__main__":
    main()
