"""Attacks on joint certificates of the packaged model: pixels by PGD, angles densely, both at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import beta
from smoothed_attacks import votes_of
from torch import Tensor

from hrvlm.attacks import ThreatModel, frozen_parameters, perturb
from hrvlm.certificates import JointQuestions, JointRecord, gaussian
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.run import PromptPairs
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import emoji
from hrvlm.geometry.sphere import plane_basis, rotate_in_plane
from hrvlm.models import HierarchicalClassifier, LevelKey, PoincareHead, inferring, load
from hrvlm.trees import load_forest

TREES = Path(__file__).parents[2] / "trees"
ATTRIBUTES = [Attribute(name="dark", target="a dark picture of a {}")]
SIGMA, VOTES, ANGLES, INDICES = 0.1, 100, 40, range(0, 500, 100)
MOST = max(count for count in range(VOTES) if beta.ppf(1 - 1e-5, count + 1, VOTES - count) < 0.5)
"""So few copies show, at error 1e-5, that less than half of all hold."""


@pytest.fixture(scope="module", params=["cosine", "poincare"])
def classifier(request: pytest.FixtureRequest) -> HierarchicalClassifier:
    """The packaged model with its own head, and with one in the ball whose scales are taken from its features."""
    loaded = load("emoji")
    forest = load_forest([TREES / "emoji_unicode.yaml"], leaves=emoji("unseen_artist").class_names)
    head = loaded.head
    if request.param == "poincare":
        model, levels = loaded.model, forest[0].levels
        head = PoincareHead(text_scales=len(levels))
        with inferring(model):
            images = torch.stack([emoji("unseen_artist")[index][0] for index in INDICES])
            texts = [model.project_text(model.text_hidden(forest[0].prompts(level.index))) for level in levels]
            head.initialise(model.encode_image(images), texts)
    return HierarchicalClassifier(loaded.model, head, forest)


@pytest.fixture(scope="module")
def records(classifier: HierarchicalClassifier) -> list[JointRecord]:
    plan = CertificationPlan(
        smoothing=False, semantic=False, joint=True, sigma=SIGMA, n0=16, n=150, alpha=0.05, seed=3,
        attributes=ATTRIBUTES, joint_questions=JointQuestions(radii=[0.05]),
    )  # fmt: skip
    steps = certify_images(classifier, emoji("unseen_artist"), INDICES, plan)
    found = [record for records in steps for record in records]
    return [record for record in found if isinstance(record, JointRecord) and not record.abstain]


def turned_points(
    classifier: HierarchicalClassifier, pixels: Tensor, record: JointRecord, angles: Tensor
) -> tuple[Tensor, LevelKey]:
    """Points `(A * B, D)` of images `(B, 3, H, W)`, turned by the angles in the plane of the record's prompts."""
    label = emoji("unseen_artist")[record.index][1]
    change = PromptPairs(classifier, ATTRIBUTES)(label)[0]
    plane = plane_basis(change.source, change.target)
    points = classifier.image_points(pixels).double()
    turned = rotate_in_plane(points[None], plane.e1, plane.e2, angles[:, None])
    return turned.flatten(0, 1), LevelKey(0, record.level)


def attack(classifier: HierarchicalClassifier, record: JointRecord, eps: float, extent: float) -> Tensor:
    """L2 PGD on the expected loss over noise and over turns up to the extent; (3, H, W)."""
    image = emoji("unseen_artist")[record.index][0]
    noise = gaussian(tuple(image.shape), 21, record.index, range(4), SIGMA)
    angles = torch.linspace(0, extent, 4, dtype=torch.float64)

    def loss(pixels: Tensor) -> Tensor:
        points, key = turned_points(classifier, pixels + noise, record, angles)
        logits = classifier.head.logits(points, classifier.text_points(key).double())
        target = torch.full((len(logits),), record.prediction)
        return torch.nn.functional.cross_entropy(logits, target, reduction="none").sum()[None]

    generator = torch.Generator().manual_seed(record.index)
    with frozen_parameters(classifier):
        return perturb(loss, image[None], ThreatModel("l2", eps), 6, eps / 3, generator)[0]


@torch.no_grad()
def refuted(classifier: HierarchicalClassifier, image: Tensor, record: JointRecord, extent: float) -> bool:
    """Whether too few of fresh noisy copies keep the class at every one of many turns up to the extent."""
    angles = torch.linspace(0, extent, ANGLES, dtype=torch.float64)

    def holding(draws: range) -> int:
        noise = gaussian(tuple(image.shape), 22, record.index, draws, SIGMA)
        points, key = turned_points(classifier, image + noise, record, angles)
        labels = classifier.head.logits(points, classifier.text_points(key).double()).argmax(dim=1)
        return int((labels.reshape(ANGLES, len(draws)) == record.prediction).all(dim=0).sum())

    return votes_of(holding, VOTES, MOST) <= MOST


@pytest.mark.slow
def test_attacks_inside_the_certified_region_never_succeed_and_far_outside_they_do(
    classifier: HierarchicalClassifier, records: list[JointRecord]
) -> None:
    assert {record.level for record in records} == {0, 1, 2}
    assert len(records) >= 8
    with inferring(classifier):
        outside = 0
        for record in records:
            radius, extent = record.at_radii[0]
            assert extent is not None
            adversary = attack(classifier, record, 0.999 * radius, extent)
            assert (adversary - emoji("unseen_artist")[record.index][0]).norm() <= radius
            assert not refuted(classifier, adversary, record, extent), record.statement
            if outside <= len(records) / 3:  # else enough have been seen
                far = attack(classifier, record, 20 * radius, extent)
                outside += refuted(classifier, far, record, extent)
        assert outside > len(records) / 3


@pytest.mark.slow
def test_turns_beyond_the_certified_extent_change_the_vote(
    classifier: HierarchicalClassifier, records: list[JointRecord]
) -> None:
    # An order statistic close to the median cannot leave most copies unchanged at the longest turn there is.
    short = [record for record in records if (record.at_radii[0][1] or 0) < 1.5]
    assert short
    with inferring(classifier):
        assert any(refuted(classifier, emoji("unseen_artist")[record.index][0], record, 3.14) for record in short)
