"""Targets that pictures specify, where kept features are scored again: only the pictures go through the tower."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.certificates import FeatureStore, verify_rows
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.options import JointQuestions
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import emoji
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, load
from hrvlm.trees import load_forest

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
TARGET = "a small picture of a {}"
PLAN = CertificationPlan(
    sigma=0.1, n0=10, n=60, alpha=0.1, seed=1, joint_questions=JointQuestions(radii=[0.02], steps=32),
    attributes=[
        Attribute(name="files", target=TARGET, pictures=["small.png", "smaller.png"]),
        Attribute(name="appearances", target=TARGET, appearances=[{"size": 0.6}]),
    ],
)  # fmt: skip
INDICES = [0, 5]


def pictures(attribute: Attribute, index: int) -> torch.Tensor:
    """Two pictures for all images, or one of the image's own."""
    seed, count = (99, 2) if attribute.pictures else (index, 1)
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def rows(classifier: HierarchicalClassifier, data: Any, plan: CertificationPlan, **options: Any) -> list[Any]:
    return [r.to_row() for records in certify_images(classifier, data, INDICES, plan, **options) for r in records]


def test_new_pictures_of_targets_are_embedded_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, data = load("emoji"), emoji("unseen_artist")
    classifier = HierarchicalClassifier(loaded.model, loaded.head, load_forest([TREE], leaves=data.class_names))
    store = FeatureStore(tmp_path, {}, 70)
    rows(classifier, data, replace(PLAN, semantic=False), store=store)
    direct = rows(classifier, data, PLAN, references=pictures)
    assert {row["target_kind"] for row in direct if row["kind"] == "semantic"} == {"image"}
    seen: list[torch.Tensor] = []
    encode = VisionLanguageModel.encode_image

    def watched(model: VisionLanguageModel, images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return encode(model, images)

    monkeypatch.setattr(VisionLanguageModel, "encode_image", watched)
    plan = replace(PLAN, joint=True)
    made = rows(classifier, data, plan, kept=store, references=pictures)
    assert json.dumps([row for row in made if row["kind"] != "joint"]) == json.dumps(direct)
    files, appearances = PLAN.attributes
    expected = [pictures(files, 0), pictures(appearances, 0), pictures(appearances, 5)]
    assert len(seen) == len(expected)
    assert all(torch.equal(given, shown) for given, shown in zip(seen, expected, strict=True))
    assert {row["attribute"] for row in made if row["kind"] == "joint"} == {"files", "appearances"}
    assert verify_rows(made) == []


def test_pictures_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path) -> None:
    loaded, data = load("emoji"), emoji("unseen_artist")
    classifier = HierarchicalClassifier(loaded.model, loaded.head, load_forest([TREE], leaves=data.class_names))
    store = FeatureStore(tmp_path, {}, 70)
    rows(classifier, data, replace(PLAN, semantic=False), store=store)
    with pytest.raises(ValueError, match="expected the pictures of attribute 'files', got none: pass references"):
        rows(classifier, data, PLAN, kept=store)
    with pytest.raises(ValueError, match="expected attributes in words alone for joint rows with move: target"):
        replace(PLAN, joint=True, joint_questions=JointQuestions(move="target"))
