"""Measures the packaged model on the unseen artist: zero-shot accuracy, attribute words, and how fast PGD breaks it.

    python benchmarks/packaged_model.py [--model emoji]

Prints a table and writes benchmarks/results/packaged_model.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from machines import machine

import hrvlm
from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import attacked_predictions
from hrvlm.data import Appearance
from hrvlm.data.emoji_pack.captions import BACKGROUNDS, with_article
from hrvlm.data.items import images_and_labels
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, cosine_head

TREES = ["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"]
RESULT = Path(__file__).parent / "results" / "packaged_model.json"
ATTACKED_IMAGES = 200


@torch.no_grad()
def zero_shot(classifier: HierarchicalClassifier, split: str) -> dict[str, float]:
    """Accuracy of every level's prompts, and of the superclass of the best leaf prompt."""
    data = hrvlm.data.emoji(split)
    images, labels = images_and_labels(data, range(len(data)))
    predictions = classifier.predict(images)
    leaf = predictions[classifier.keys[0]]
    found = {}
    for key in classifier.keys:
        targets = classifier.target(labels, key)
        found[classifier.name(key)] = (predictions[key] == targets).float().mean().item()
        if key.level:
            found[f"{classifier.name(key)} of best leaf"] = (
                (classifier.target(leaf, key) == targets).float().mean().item()
            )
    return found


@torch.no_grad()
def background_words(model: VisionLanguageModel) -> float:
    """How often the right background colour word wins among all, the class being named."""
    correct = []
    data = hrvlm.data.emoji("unseen_artist")
    for position, (word, colour) in enumerate(BACKGROUNDS.items()):
        chosen = range(position, len(data), 20)
        for index in chosen:
            name = data.class_names[data[index][1]]
            image = data.shown(index, [Appearance(background=colour)])
            texts = [f"a picture of a {name} on {with_article(other)} background" for other in BACKGROUNDS]
            scores = model.image_features(image) @ model.text_features(texts).T
            correct.append(list(BACKGROUNDS)[int(scores.argmax())] == word)
    return sum(correct) / len(correct)


def under_attack(classifier: HierarchicalClassifier) -> dict[str, dict[str, float]]:
    """PGD-20 accuracy of every level at several budgets, on a fixed subset."""
    data = hrvlm.data.emoji("unseen_artist")
    images, labels = images_and_labels(data, evenly_spread(len(data), ATTACKED_IMAGES))
    found: dict[str, dict[str, float]] = {}
    for eps in (0, 1, 2, 4, 8):
        budget = ThreatModel("linf", eps / 255)
        for key in classifier.keys:
            predictions = attacked_predictions(classifier, images, labels, key, budget, steps=20)
            share = (predictions == classifier.target(labels, key)).float().mean().item()
            found.setdefault(f"eps={eps}/255", {})[classifier.name(key)] = share
    return found


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--no-attack", action="store_true")
    arguments = parser.parse_args()
    model = hrvlm.load_model(arguments.model)
    forest = hrvlm.load_forest(TREES)
    seen = forest.restrict(hrvlm.data.emoji("unseen_artist").class_names)
    unseen = forest.restrict(hrvlm.data.emoji("unseen_classes").class_names)
    classifier = HierarchicalClassifier(model, cosine_head(model), seen)
    result: dict[str, Any] = {
        "model": arguments.model,
        "machine": machine(),
        "unseen_artist": zero_shot(classifier, "unseen_artist"),
        "unseen_classes": zero_shot(HierarchicalClassifier(model, cosine_head(model), unseen), "unseen_classes"),
        "background_word": background_words(model),
    }
    if not arguments.no_attack:
        result["pgd20"] = under_attack(classifier)
    print(json.dumps(result, indent=2))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
