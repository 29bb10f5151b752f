"""Scores that are no numbers give no label: not class 0, whatever is asked of the noisy copies."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sweeps import sweep
from torch import Tensor

from hrvlm.certificates import gaussian, verify_rows
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.kinds.joint.options import JointQuestions
from hrvlm.certificates.kinds.profile.options import ProfileOptions
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.data import emoji
from hrvlm.models import CosineHead, HierarchicalClassifier, PoincareHead, load
from hrvlm.models.head_files import kind_of
from hrvlm.trees import load_forest

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
INDEX = 0
PLAN = CertificationPlan(
    sigma=0.1,
    n0=10,
    n=40,
    alpha=0.3,
    seed=2,
    attributes=[Attribute(name="dark", target="a dark picture of a {}")],
    deltas=[0.1],
    profile=ProfileOptions(),
    joint=True,
    joint_questions=JointQuestions(radii=[0.0], extents=[0.0]),
    batch_size=32,
)
DRAWS = PLAN.n0 + PLAN.n


@pytest.fixture(scope="module")
def data() -> Any:
    return emoji("unseen_artist")


@pytest.fixture(scope="module", params=sweep(["cosine", "poincare"], quick=["poincare"]))
def classifier(request: pytest.FixtureRequest, data: Any) -> HierarchicalClassifier:
    loaded, forest = load("emoji"), load_forest([TREE], leaves=emoji("unseen_artist").class_names)
    head = CosineHead(50.0) if request.param == "cosine" else PoincareHead(image_scale=0.1, text_scales=[0.1] * 3)
    return HierarchicalClassifier(loaded.model, head, forest)


def rows(classifier: HierarchicalClassifier, data: Any, plan: CertificationPlan = PLAN, **options: Any) -> list[Any]:
    found = [r.to_row() for records in certify_images(classifier, data, [INDEX], plan, **options) for r in records]
    assert verify_rows(found) == []
    return found


def claims_nothing(row: dict[str, Any]) -> bool:
    nothing = row["prediction"] == -1 and not row["correct"] and row["reason"] is not None
    if row["kind"] == "semantic":
        nothing &= row["intervals"] == [] and row["invariance"] == 0 and all(share == 0 for _, share in row["stable"])
    if row["kind"] == "joint":
        nothing &= row["abstain"] and row["count"] == 0
    if row["kind"] == "profile":
        nothing &= set(row["chain"]) == {-1} and not any(row["radii"])
    return nothing and row.get("radius", 0) == 0


def odd(images: Tensor) -> Tensor:
    """Which noisy copies `(B,)` the tower fails on, by a pixel of theirs."""
    return images[:, 0, 0, 0] > 1.0


def failing(encode: Callable[[Tensor], Tensor], none: float) -> Callable[[Tensor], Tensor]:
    def failing_encode(images: Tensor) -> Tensor:
        features = encode(images)
        features[odd(images), 3] = none
        return features

    return failing_encode


@pytest.mark.parametrize("none", sweep([torch.nan, torch.inf, -torch.inf], quick=[torch.nan]))
def test_copies_without_finite_scores_count_for_no_class(
    classifier: HierarchicalClassifier, data: Any, none: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier.model, "encode_image", failing(classifier.model.encode_image, none))
    store = FeatureStore(tmp_path, {}, DRAWS)
    found = rows(classifier, data, store=store)
    bad = odd(data[INDEX][0] + gaussian((3, 64, 64), PLAN.seed, INDEX, range(DRAWS), PLAN.sigma))
    features = torch.cat(list(store.read(INDEX, range(DRAWS))))[~bad]
    head, leaves = classifier.head, classifier.keys[0]
    labels = head.logits(head.lift_image(features), classifier.text_points(leaves)).argmax(dim=1)
    selected = int((~bad[: PLAN.n0]).sum())
    for row in (row for row in found if row["kind"] != "semantic"):
        assert row["invalid"] == int(bad[PLAN.n0 :].sum()) > 0
        assert row["invalid_selection"] == PLAN.n0 - selected > 0
        if row["level"] == 0:
            count = row["counts"][0] if row["kind"] == "profile" else row["count"]
            if row.get("scorer", kind_of(head)) == kind_of(head):
                assert count == int((labels[selected:] == row["prediction"]).sum())
    monkeypatch.setattr(classifier.model, "encode_image", None)
    assert json.dumps(rows(classifier, data, kept=store)) == json.dumps(found)


def test_a_model_of_no_numbers_certifies_nothing(
    classifier: HierarchicalClassifier, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        model.clip.visual.attnpool.c_proj.weight[0, 0] = torch.nan
    broken = HierarchicalClassifier(model, classifier.head, classifier.forest)
    assert set(broken.predict(data[0][0][None])[broken.keys[0]].tolist()) == {-1}
    store = FeatureStore(tmp_path, {}, DRAWS)
    found = rows(broken, data, store=store)
    assert {row["kind"] for row in found} == {"smoothing", "profile", "joint", "semantic"}
    assert all(map(claims_nothing, found))
    assert all(row["reason"] == Reason.NOT_FINITE for row in found if row["kind"] == "semantic")
    assert all((row["invalid"], row["invalid_selection"]) == (40, 10) for row in found if row["kind"] != "semantic")
    monkeypatch.setattr(broken.model, "encode_image", None)
    assert json.dumps(rows(broken, data, kept=store)) == json.dumps(found)


def test_copies_that_overflow_in_sixteen_bits_are_invalid(classifier: HierarchicalClassifier, data: Any) -> None:
    model = copy.deepcopy(classifier.model)
    copies = data[INDEX][0] + gaussian((3, 64, 64), PLAN.seed, INDEX, range(DRAWS), PLAN.sigma)
    with torch.no_grad():
        largest = model.encode_image(copies).abs().amax(dim=1).median()
        for parameter in model.clip.visual.attnpool.c_proj.parameters():  # features of half the copies exceed 65,504
            parameter *= 65_504 / largest
    large = HierarchicalClassifier(model, classifier.head, classifier.forest)
    plan = replace(PLAN, semantic=False, joint=isinstance(classifier.head, CosineHead))
    assert {row.get("invalid", 0) for row in rows(large, data, plan)} == {0}
    halved = rows(large, data, replace(plan, sampling=SamplingOptions(precision="float16")))
    shares = [row["invalid"] / row["n"] for row in halved]
    assert all(0.2 < share < 0.8 for share in shares)
