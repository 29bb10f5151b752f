"""The certificates of a trained model, checked against what the model itself does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import beta
from smoothed_attacks import votes_of
from torch import Tensor

from hrvlm.attacks import ThreatModel, frozen_parameters, perturb
from hrvlm.certificates import SemanticRecord, SmoothingRecord, gaussian
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import emoji
from hrvlm.data.folder import FolderDataset
from hrvlm.geometry.sphere import plane_basis
from hrvlm.models import CosineHead, HierarchicalClassifier, LevelKey, inferring, load
from hrvlm.trees import load_forest

TREES = Path(__file__).parents[2] / "trees"
ATTRIBUTES = [Attribute(name="dark", target="a dark picture of a {}"), Attribute(name="small", target="a small {}")]


@pytest.fixture(scope="module")
def classifier(finished: Any, tree_file: Path) -> HierarchicalClassifier:
    loaded = load(finished.checkpoint(1))
    return HierarchicalClassifier(loaded.model, loaded.head, load_forest([tree_file], leaves=loaded.classes)).eval()


@pytest.fixture(scope="module")
def data(pictures: Path) -> FolderDataset:
    return FolderDataset(pictures, image_size=32)


@pytest.fixture(scope="module")
def semantic(classifier: HierarchicalClassifier, data: FolderDataset) -> list[SemanticRecord]:
    plan = CertificationPlan(smoothing=False, attributes=ATTRIBUTES)
    found = [record for records in certify_images(classifier, data, range(32), plan) for record in records]
    return [record for record in found if isinstance(record, SemanticRecord)]


def predictions(
    classifier: HierarchicalClassifier, data: FolderDataset, record: SemanticRecord, angles: Tensor
) -> Tensor:
    """Labels of the rotated embedding by the head's own distances, in float64."""
    model = classifier.model
    head = classifier.head if record.scorer == "poincare" else CosineHead(logit_scale=1.0)
    with inferring(classifier):
        source, target = model.project_text(model.text_hidden([record.source_prompt, record.target_prompt])).double()
        point = head.lift_image(model.encode_image(data[record.index][0][None]))[0].double()
        prompts = classifier.forest[0].prompts(record.level)
        texts = head.lift_text(model.project_text(model.text_hidden(prompts)), record.level).double()
    plane = plane_basis(source, target)
    across, along = point @ plane.e1, point @ plane.e2
    rest = point - across * plane.e1 - along * plane.e2
    radius = torch.hypot(across, along)
    rotated = rest + radius * (angles.cos()[:, None] * plane.e1 + angles.sin()[:, None] * plane.e2)
    return head.distance(rotated[:, None], texts[None]).argmin(dim=1)


def violations(
    classifier: HierarchicalClassifier, data: FolderDataset, records: list[SemanticRecord], samples: int
) -> Iterator[SemanticRecord]:
    """Records with an angle inside an interval at which the model predicts something else."""
    for record in records:
        for start, stop, label in record.intervals:
            inside = start + (stop - start) * torch.linspace(1e-4, 1 - 1e-4, samples, dtype=torch.float64)
            if bool((predictions(classifier, data, record, inside) != label).any()):
                yield record
                break


def inflated(record: SemanticRecord) -> SemanticRecord:
    """The same record whose first interval claims 5 % more."""
    (start, stop, label), *others = record.intervals
    return dataclasses.replace(record, intervals=((start, stop + 0.05 * (stop - start), label), *others))


@pytest.mark.slow
def test_predictions_agree_densely_inside_every_semantic_interval(
    classifier: HierarchicalClassifier, data: FolderDataset, semantic: list[SemanticRecord]
) -> None:
    assert {record.scorer for record in semantic} == {"poincare", "cosine"}
    assert {record.level for record in semantic} == {0, 1}
    assert all(record.intervals for record in semantic)
    assert list(violations(classifier, data, semantic, 200)) == []


def test_an_interval_inflated_by_a_twentieth_is_caught(
    classifier: HierarchicalClassifier, data: FolderDataset, semantic: list[SemanticRecord]
) -> None:
    # Where the prediction changes twice within a twentieth there is nothing to catch; none such is expected here.
    changing = [record for record in semantic if len(record.intervals) == 2]
    assert changing, "expected the model to change its prediction within some range"
    caught = list(violations(classifier, data, [inflated(record) for record in changing], 400))
    assert len(caught) == len(changing)


SIGMA = 0.1
VOTES = 120
MOST = max(count for count in range(VOTES) if beta.ppf(1 - 1e-5, count + 1, VOTES - count) < 0.5)  # that refute


@pytest.fixture(scope="module")
def packaged() -> HierarchicalClassifier:
    """The packaged model: pretrained on pictures, so that there is something to attack."""
    loaded = load("emoji")
    forest = load_forest([TREES / "emoji_unicode.yaml"], leaves=emoji("unseen_artist").class_names)
    return HierarchicalClassifier(loaded.model, loaded.head, forest)


@pytest.fixture(scope="module")
def smoothed(packaged: HierarchicalClassifier) -> list[SmoothingRecord]:
    plan = CertificationPlan(semantic=False, sigma=SIGMA, n0=16, n=150, alpha=0.01, seed=3)
    steps = certify_images(packaged, emoji("unseen_artist"), range(0, 500, 50), plan)
    found = [record for records in steps for record in records]
    return [record for record in found if isinstance(record, SmoothingRecord) and not record.abstain]


def attack_smoothed(classifier: HierarchicalClassifier, record: SmoothingRecord, eps: float, tries: int) -> Tensor:
    """L2 PGD on the expected loss of the smoothed classifier, from several random starts at once: (tries, 3, H, W)."""
    image = emoji("unseen_artist")[record.index][0]
    noise = gaussian((tries, *image.shape), 11, record.index, range(3), SIGMA)
    labels = torch.full((tries * len(noise),), record.prediction)

    def loss(pixels: Tensor) -> Tensor:
        logits = classifier.logits((pixels + noise).flatten(0, 1), LevelKey(0, record.level))
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    generator = torch.Generator().manual_seed(record.index)
    images = image.expand(tries, -1, -1, -1).clone()
    with frozen_parameters(classifier):
        return perturb(loss, images, ThreatModel("l2", eps), 6, eps / 3, generator)


@torch.no_grad()
def is_refuted(classifier: HierarchicalClassifier, image: Tensor, record: SmoothingRecord) -> bool:
    """Whether a vote of fresh noise shows, at error 1e-5, that the certified class is not the majority."""
    key = LevelKey(0, record.level)

    def holding(draws: range) -> int:
        noise = gaussian(tuple(image.shape), 12, record.index, draws, SIGMA)
        return int((classifier.predict(image + noise, [key])[key] == record.prediction).sum())

    return votes_of(holding, VOTES, MOST) <= MOST


def successes(
    classifier: HierarchicalClassifier, records: list[SmoothingRecord], factor: float, tries: int
) -> Iterator[bool]:
    """Whether each attack at `factor` times the certified radius overturns the smoothed prediction."""
    for record in records:
        for image in attack_smoothed(classifier, record, factor * record.radius, tries):
            yield is_refuted(classifier, image, record)


@pytest.mark.slow
def test_attacks_on_the_smoothed_classifier_inside_certified_radii_never_succeed(
    packaged: HierarchicalClassifier, smoothed: list[SmoothingRecord]
) -> None:
    assert {record.level for record in smoothed} == {0, 1, 2}
    inside = list(successes(packaged, smoothed, 0.999, -(-200 // len(smoothed))))
    assert len(inside) >= 200
    assert not any(inside)


@pytest.mark.slow
def test_the_same_attacks_succeed_outside(packaged: HierarchicalClassifier, smoothed: list[SmoothingRecord]) -> None:
    assert any(successes(packaged, smoothed, 10.0, 1))
