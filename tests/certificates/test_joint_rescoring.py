"""Joint certificates from kept features: the rows of a pass through the tower, new planes, shared alpha, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hrvlm.certificates import FeatureStore, Ledger, Sample, gaussian, record_from_row, summarise, verify_rows
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.options import JointQuestions
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.label_functions import label_functions
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.plan import SamplingOptions
from hrvlm.data import emoji
from hrvlm.models import HierarchicalClassifier, PoincareHead, inferring, load
from hrvlm.trees import load_forest

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
DARK = Attribute(name="dark", target="a dark picture of a {}")
SMALL = Attribute(name="small", source="an emoji of a {}", target="a small picture of a {}")
QUESTIONS = JointQuestions(radii=[0.02], extents=[0.2], steps=64)
PLAN = CertificationPlan(
    smoothing=False, semantic=False, joint=True, sigma=0.3, n0=10, n=70, alpha=0.1, seed=2, attributes=[DARK],
    joint_questions=QUESTIONS, batch_size=64,
)  # fmt: skip
INDICES = [0, 5, 200]


@pytest.fixture(scope="module")
def classifiers() -> dict[str, HierarchicalClassifier]:
    """The packaged model with its own head, and with one in the ball."""
    loaded, classes = load("emoji"), emoji("unseen_artist").class_names
    forest = load_forest([TREE], leaves=classes)
    ball = PoincareHead(curv=1.0, image_scale=0.8, text_scales=[0.9, 0.8, 0.7], temperature=0.1)
    return {
        "cosine": HierarchicalClassifier(loaded.model, loaded.head, forest),
        "poincare": HierarchicalClassifier(loaded.model, ball, forest),
    }


@pytest.fixture(scope="module")
def data() -> Any:
    return emoji("unseen_artist")


def rows(classifier: HierarchicalClassifier, data: Any, plan: CertificationPlan = PLAN, **options: Any) -> list[Any]:
    found = certify_images(classifier, data, options.pop("indices", INDICES), plan, **options)
    return [record.to_row() for records in found for record in records]


@pytest.fixture(scope="module")
def kept(classifiers: Any, data: Any, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Features of a smoothing pass, whose batches mix images."""
    store = FeatureStore(tmp_path_factory.mktemp("kept"), {}, 80)
    rows(classifiers["cosine"], data, replace(PLAN, joint=False, smoothing=True, batch_size=50), store=store)
    return store


@pytest.fixture(scope="module")
def one_by_one(classifiers: Any, data: Any, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Features of the same draws in the batches of the joint pass: of one image, as equal as they fit in."""
    store, encode = FeatureStore(tmp_path_factory.mktemp("single"), {}, 80), classifiers["cosine"].model.encode_image
    with torch.no_grad(), inferring(classifiers["cosine"]):
        for index in INDICES:
            image = data[index][0]
            store.begin(Sample(index, image, {}), encode(image[None])[0])
            for draws in (range(40), range(40, 80)):
                noise = gaussian(image.shape, PLAN.seed, index, draws, PLAN.sigma)
                store.append(index, draws, encode(image + noise))
    return store


class NoTower:
    """Stands in for the image tower and must not be asked."""

    def __call__(self, images: Tensor) -> Tensor:
        raise AssertionError("the image tower was used")


@pytest.fixture
def no_tower(classifiers: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for classifier in classifiers.values():
            patch.setattr(classifier.model, "encode_image", NoTower())
        yield


@pytest.fixture(scope="module")
def direct(classifiers: Any, data: Any) -> dict[str, list[Any]]:
    """Rows of passes through the tower, per head and plane."""
    cosine = {"cosine": rows(classifiers["cosine"], data), "small": rows(classifiers["cosine"], data, SMALL_PLAN)}
    return cosine | {"poincare": rows(classifiers["poincare"], data)}


SMALL_PLAN = replace(PLAN, attributes=[SMALL])


def asked(name: str) -> tuple[str, CertificationPlan]:
    return ("cosine", SMALL_PLAN) if name == "small" else (name, PLAN)


@pytest.mark.parametrize("name", ["cosine", "small", "poincare"])
def test_features_of_the_same_batches_give_the_same_rows(name, direct, classifiers, data, one_by_one, no_tower):
    head, plan = asked(name)
    assert len({row["count"] for row in direct[name]}) > 3
    assert any(not row["abstain"] for row in direct[name])
    assert direct["small"] != direct["cosine"]
    assert json.dumps(rows(classifiers[head], data, plan, kept=one_by_one)) == json.dumps(direct[name])
    assert verify_rows(direct[name]) == []


@pytest.mark.parametrize("name", ["cosine", "small", "poincare"])
def test_features_of_a_smoothing_pass_differ_by_rounding_and_counts_by_less(
    name, direct, classifiers, data, kept, one_by_one, no_tower
):
    for index in INDICES:
        ours, theirs = (torch.cat(list(store.read(index, range(80)))) for store in (kept, one_by_one))
        assert (ours - theirs).norm(dim=1).max() < 1e-5 * theirs.norm(dim=1).min()
    head, plan = asked(name)
    made = rows(classifiers[head], data, plan, kept=kept)
    assert len(made) == len(direct[name])
    for row, other in zip(made, direct[name], strict=True):
        mine, yours = (record_from_row(given).counts()[::-1].cumsum() for given in (row, other))
        assert np.abs(mine - yours).max() <= 1  # one copy, if any, lies on an edge of the grid
        assert abs(row["selection_count"] - other["selection_count"]) <= 1
        assert row["prediction"] == other["prediction"]
    assert verify_rows(made) == []
    with pytest.raises(AssertionError, match="image tower"):
        rows(classifiers[head], data, plan)


def test_files_and_batches_of_other_sizes_change_nothing(classifiers, data, one_by_one, monkeypatch, tmp_path):
    monkeypatch.setattr("hrvlm.certificates.sampling.feature_store.ROWS_PER_FILE", 7)
    store = FeatureStore(tmp_path, {}, 80)
    sample = Sample(5, data[5][0], {})
    monkeypatch.setattr("hrvlm.certificates.sampling.feature_store.ROWS_PER_FILE", 1024)
    features = torch.cat(list(one_by_one.read(5, range(80))))
    monkeypatch.setattr("hrvlm.certificates.sampling.feature_store.ROWS_PER_FILE", 7)
    store.begin(sample, features[0])
    store.append(5, range(80), features)
    small = rows(classifiers["cosine"], data, kept=store, indices=[5])
    monkeypatch.setattr("hrvlm.certificates.sampling.feature_store.ROWS_PER_FILE", 1024)
    assert small == rows(classifiers["cosine"], data, kept=one_by_one, indices=[5])


def test_rows_say_how_many_label_functions_share_alpha(direct, classifiers, data, one_by_one, no_tower):
    options = SamplingOptions(label_functions=3, functions_chosen="after")
    made = rows(classifiers["cosine"], data, replace(PLAN, sampling=options), kept=one_by_one)
    assert verify_rows(made) == []
    for row, alone in zip(made, direct["cosine"], strict=True):
        assert (row["label_functions"], row["functions_chosen"]) == (3, "after")
        assert (alone["label_functions"], alone["functions_chosen"]) == (1, "before")
        assert row["alpha_share"] == 0.1 / (row["num_statements"] * 3)
        assert row["histogram"] == alone["histogram"]
        for (_, extent), (_, most) in zip(row["at_radii"], alone["at_radii"], strict=True):
            assert (extent or 0.0) <= (most or 0.0)
    sure = [record_from_row(row) for row in made if not row["abstain"]]
    assert sure
    assert all("other 2 label functions" in r.statement and "alpha does not cover" in r.statement for r in sure)
    with pytest.raises(ValueError, match="label_functions"):
        summarise([*made[:1], direct["cosine"][0] | {"index": 9}], [])


def test_forged_shares_are_caught_and_old_rows_are_read(direct, classifiers, data, one_by_one):
    plan = replace(PLAN, sampling=SamplingOptions(label_functions=2))
    made = rows(classifiers["cosine"], data, plan, kept=one_by_one)
    row = next(row for row in made if not row["abstain"])
    for changes, field, too_much in [
        ({"label_functions": 3}, "alpha_share", True),
        ({"label_functions": 1}, "alpha", False),
        ({"label_functions": 0}, "label_functions", False),  # no value of that field
        ({"alpha_share": row["alpha_share"] * 2}, "alpha_share", True),
        ({"functions_chosen": "never"}, "functions_chosen", False),
    ]:
        found = {(problem.field, problem.claims_too_much) for problem in verify_rows([row | changes])}
        assert (field, too_much) in found, (changes, found)
    old = {k: v for k, v in direct["cosine"][0].items() if k not in ("label_functions", "functions_chosen")}
    assert record_from_row(old) == JointRecord.from_row(direct["cosine"][0])
    assert verify_rows([old]) == []


def test_what_is_not_kept_is_refused_in_a_sentence(classifiers, data, one_by_one, no_tower, tmp_path):
    with pytest.raises(ValueError, match="at least 81 draws of each image for joint certificates"):
        rows(classifiers["cosine"], data, replace(PLAN, n=71), kept=one_by_one)
    shared = replace(PLAN, smoothing=True, sampling=SamplingOptions(procedure="shared"))
    store = FeatureStore(tmp_path, {}, shared.smoothing_plan().estimation.stop)
    with pytest.raises(ValueError, match=r"80 draws .* for joint certificates with n0=10 and n=70, got 70 in"):
        rows(classifiers["cosine"], data, shared, kept=store)
    with pytest.raises(ValueError, match=r"features of image 7 in .* found none"):
        rows(classifiers["cosine"], data, kept=one_by_one, indices=[7])
    with pytest.raises(ValueError, match=r"kept feature of image 7 in .* found none"):
        rows(classifiers["cosine"], data, replace(PLAN, semantic=True), kept=one_by_one, indices=[7])
    flipped = [(image.flip(0), label) for image, label in (data[index] for index in range(6))]
    with pytest.raises(ValueError, match="another one"):
        rows(classifiers["cosine"], flipped, kept=one_by_one, indices=[5])


def test_planes_and_questions_belong_to_the_label_function_of_joint_rows(classifiers, tmp_path):
    both = replace(PLAN, smoothing=True)
    levels, joint = label_functions(classifiers["cosine"], both)
    assert (levels.spends, levels.plan.smoothing, levels.plan.joint) == ("levels", True, False)
    assert (joint.spends, joint.plan.smoothing, joint.plan.joint) == ("joint", False, True)
    [alone] = label_functions(classifiers["cosine"], PLAN)
    renamed = replace(both, attributes=[replace(DARK, name="night")])
    assert alone.digest == joint.digest == label_functions(classifiers["cosine"], renamed)[1].digest
    for other in (SMALL_PLAN, replace(PLAN, joint_questions=JointQuestions(radii=[0.03], extents=[0.2], steps=64))):
        changed = label_functions(classifiers["cosine"], replace(other, smoothing=True))
        assert changed[0].digest == levels.digest
        assert changed[1].digest != joint.digest
    ledger = Ledger(FeatureStore(tmp_path, {}, 80))
    ledger.note(levels.digest, "before", 1)
    assert ledger.chosen(joint.digest, None) == "after"
    ledger.note(joint.digest, "before", 1, "joint")
    assert not ledger.overspent  # joint rows have an alpha of their own
    ledger.note("third", "before", 5, "joint")
    assert Ledger(FeatureStore(tmp_path, {}, 80)).overspent == 2
    assert joint.declared("after").plan.sampling.functions_chosen == "after"
