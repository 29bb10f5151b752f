"""Compares semantic transformations with pictures of exactly controlled change: how well do certificates tell of them?

    python benchmarks/semantic.py [--images N] [--again]        (or: make benchmark-semantic)

Each emoji of a fixed subset by the unseen artist is shown in small known steps of one change (background, size, light,
hue, greyscale, rotation). An arc fitted to these pictures' embeddings is the reference; the discrepancy of a
transformation is the mean over images of |P_reference - P|, where P is the share of the range that keeps the image's
prediction ("Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026, arXiv 2606.18839).

Transformations: text-specified and image-specified rotations and the embedding line are exact, the pixel line is
sampled. A change that benchmarks/results/semantic.json holds for the same setting and weights is not measured again, so
the benchmark may be stopped and started at will. It ends by writing tables into benchmarks/results/semantic.md and
docs/semantic.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import requote
import semantic_report
import torch
from machines import machine
from semantic_changes import CHANGES, Change, library
from semantic_checks import sampled_misalignment
from semantic_subject import Subject
from torch import Tensor

from hrvlm.certificates import (
    AffineScorer,
    arc_alignment,
    coverage_sweep,
    embedding_line,
    fit_reference_arc,
    image_extent,
    proxy_agreement,
    reference_partition,
    sampled_invariance,
    semantic_partition,
    wording_stability,
)
from hrvlm.data import Appearance
from hrvlm.data.appearance import sequence
from hrvlm.models import (
    HierarchicalClassifier,
    VisionLanguageModel,
    inferring,
    labels_of,
)

RESULT = Path(__file__).parent / "results" / "semantic.json"
FRAMES, LINE_SAMPLES = 9, 17
DELTAS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)


def measure(subject: Subject, change: Change) -> dict[str, Any]:
    """Everything about one change."""
    start = time.perf_counter()
    family, word = change.family, change.word
    frames = subject.shown(sequence(change.start, change.stop, FRAMES))
    shares = torch.linspace(0, 1, LINE_SAMPLES)[None, :, None, None, None]
    features = subject.encode(frames)
    mixed = subject.encode(torch.lerp(frames[:, :1], frames[:, -1:], shares))
    wordings = [subject.prompts(family.attribute(word, i)) for i in range(len(family.templates))]
    levels = {
        f"{kind}/{classifier.name(key)}": compare(classifier, key, features, mixed, wordings[0])
        for kind, classifier in subject.classifiers.items()
        for key in classifier.keys
    }
    return {
        "name": change.name,
        "levels": levels,
        **quality(subject, features, wordings),
        "seconds": round(time.perf_counter() - start, 1),
    }


def compare(
    classifier: HierarchicalClassifier, key: Any, features: Tensor, mixed: Tensor, prompts: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    """Mean invariance of every transformation at one level, and how far it lies from the reference."""
    head, texts = classifier.head, classifier.text_points(key)
    points = head.lift_image(features.flatten(0, 1)).unflatten(0, features.shape[:2]).double()
    first, last = points[:, 0], points[:, -1]
    scorer = AffineScorer(*head.affine(first.float(), texts))
    arc = fit_reference_arc(points)
    reference = reference_partition(scorer, arc).invariance
    pictures = sampled_invariance(labels(head, features, texts))
    found = {
        "text": semantic_partition(scorer, first, *prompts).invariance,
        "image": semantic_partition(scorer, first, *prompts, target_extent=image_extent(last, *prompts)).invariance,
        "pixel_line": sampled_invariance(labels(head, mixed, texts)),
        "embedding_line": embedding_line(scorer, first, last).invariance,
    }
    shares = {
        name: {
            "invariance": value.mean().item(),
            "discrepancy": (value - reference).abs().mean().item(),
            "from_pictures": (value - pictures).abs().mean().item(),
        }
        for name, value in found.items()
    }
    return {"reference": reference.mean().item(), "pictures": pictures.mean().item(), **shares}


def labels(head: Any, features: Tensor, texts: Tensor) -> Tensor:
    """Predictions (N, T) of features (N, T, D)."""
    return labels_of(head.logits(head.lift_image(features.flatten(0, 1)), texts)).unflatten(0, features.shape[:2])


def quality(subject: Subject, features: Tensor, wordings: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Alignment with the reference arc, wording, and misalignment, for leaves and cosines."""
    classifier = subject.classifiers["cosine"]
    points = torch.nn.functional.normalize(features.double(), dim=-1)
    first, last = points[:, 0], points[:, -1]
    scorer = AffineScorer(*classifier.head.affine(first, classifier.text_points(classifier.keys[0])))
    arc, prompts = fit_reference_arc(points), wordings[0]
    extent = image_extent(last, *prompts)
    stability = wording_stability(scorer, first, wordings)
    others = ~torch.eye(len(wordings), dtype=torch.bool)
    return {
        "alignment": {
            "text": arc_alignment(first, *prompts, arc).mean().item(),
            "image": arc_alignment(first, *prompts, arc, target_extent=extent).mean().item(),
            "fit": arc.fit.mean().item(),
        },
        "wording": {
            "wordings": len(wordings),
            "spread": stability.spread.mean().item(),
            "alignment": stability.alignment[others].mean().item(),
        },
        "sweep": {
            "coverage": coverage_sweep(scorer, first, *prompts, DELTAS).mean(dim=1).tolist(),
            **sampled_misalignment(scorer, first, prompts, DELTAS),
        },
    }


def proxies(subject: Subject) -> dict[str, float]:
    """Mean Spearman agreement of prompts and pictures over the words of each family that has three or more here."""
    found = {}
    plain = subject.encode(subject.shown([Appearance()]))[:, 0]
    for family in dict.fromkeys(change.family.name for change in CHANGES):
        changes = [change for change in CHANGES if change.family.name == family]
        if len(changes) < 3:
            continue
        prompts = [subject.prompts(change.family.attribute(change.word)) for change in changes]
        shown = subject.encode(subject.shown([change.stop for change in changes]))
        targets = torch.stack([target for _, target in prompts], dim=1)
        found[family] = proxy_agreement(prompts[0][0], targets, plain, shown).nanmean().item()
    return found


def setting(model: VisionLanguageModel, images: int) -> dict[str, Any]:
    """What a stored result must agree with."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
    return {
        "model": "emoji",
        "weights": digest.hexdigest()[:16],
        "images": images,
        "frames": FRAMES,
        "line_samples": LINE_SAMPLES,
        "deltas": list(DELTAS),
        "library": hashlib.sha256(repr(library()).encode()).hexdigest()[:16],
    }


def main() -> None:
    """Measures what is missing, writes after every change, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    arguments = parser.parse_args()
    subject = Subject(arguments.images)
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    wanted = setting(subject.model, arguments.images)
    if arguments.again or result.get("setting") != wanted:
        result = {"setting": wanted, "changes": []}
    result["machine"] = machine()
    done = {entry["name"] for entry in result["changes"]}
    with inferring(*subject.classifiers.values()):
        for change in CHANGES:
            if change.name not in done:
                result["changes"].append(measure(subject, change))
                write(result)
                print(f"{change.name}: {result['changes'][-1]['seconds']} s", flush=True)
        result["proxies"] = proxies(subject)
    write(result)
    semantic_report.write(result)
    requote.main()


def write(result: dict[str, Any]) -> None:
    """Writes the result file at once, so that an interruption leaves a whole one."""
    RESULT.parent.mkdir(exist_ok=True)
    temporary = RESULT.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    temporary.replace(RESULT)


if __name__ == "__main__":
    main()
