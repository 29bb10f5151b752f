"""PGD, APGD and targeted APGD, averaged over noise, against certificates of the packaged model on the unseen artist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from smoothed_attacks import attacked, votes_of
from torch import Tensor

from hrvlm.attacks import frozen_parameters
from hrvlm.certificates import (
    JointQuestions,
    JointRecord,
    SmoothingRecord,
    clopper_pearson_lower,
    clopper_pearson_upper,
    gaussian,
)
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.run import PromptPairs
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data import emoji
from hrvlm.geometry.sphere import plane_basis, rotate_in_plane
from hrvlm.models import HierarchicalClassifier, LevelKey, inferring, load
from hrvlm.trees import load_forest

TREE = Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml"
SIGMA, VOTES, TINY, LEAVES = 0.1, 160, 1e-6, LevelKey(0, 0)
MAJORITY = min(count for count in range(VOTES) if clopper_pearson_lower(count, VOTES, TINY) > 0.5)
MINORITY = max(count for count in range(VOTES) if clopper_pearson_upper(count, VOTES, TINY) < 0.5)
ROUNDING = 5e-6  # float32 holds image + change to about 3e-8 per pixel, over 12,288 of them
DARK = Attribute(name="dark", target="a dark picture of a {}")


@pytest.fixture(scope="module")
def classifier() -> HierarchicalClassifier:
    loaded = load("emoji")
    forest = load_forest([TREE], leaves=emoji("unseen_artist").class_names, num_levels=1)
    return HierarchicalClassifier(loaded.model, loaded.head, forest)


def made(classifier: HierarchicalClassifier, **options: object) -> list[SmoothingRecord | JointRecord]:
    plan = CertificationPlan(semantic=False, sigma=SIGMA, n0=16, n=300, alpha=0.001, seed=5, **options)  # type: ignore[arg-type]
    steps = certify_images(classifier, emoji("unseen_artist"), range(10, 500, 40), plan)
    found = [record for records in steps for record in records]
    return [r for r in found if isinstance(r, SmoothingRecord | JointRecord) and not r.abstain]


def noise_of(record: SmoothingRecord | JointRecord, seed: int, count: int) -> Tensor:
    return gaussian((3, 64, 64), seed, record.index, range(count), SIGMA)


def find(classifier: HierarchicalClassifier, record: SmoothingRecord, eps: float) -> Tensor:
    noise = noise_of(record, 31, 4)

    def logits(images: Tensor) -> Tensor:
        copies = (images[:, None] + noise).flatten(0, 1)
        return classifier.logits(copies, LEAVES).unflatten(0, (len(images), len(noise)))

    image = emoji("unseen_artist")[record.index][0]
    with inferring(classifier), frozen_parameters(classifier):
        return attacked(logits, image, record.prediction, eps, steps=10, num_targets=3, seed=record.index)


@torch.no_grad()
def overturned(classifier: HierarchicalClassifier, image: Tensor, record: SmoothingRecord) -> bool:
    """Whether a fresh vote certifies another class, wrong with probability 1e-6."""
    labels: list[Tensor] = []

    def holding(draws: range) -> int:
        copies = image + gaussian((3, 64, 64), 32, record.index, draws, SIGMA)
        labels.append(classifier.predict(copies, [LEAVES])[LEAVES])
        return int((labels[-1] == record.prediction).sum())

    with inferring(classifier):
        if votes_of(holding, VOTES, VOTES - MAJORITY) > VOTES - MAJORITY:
            return False  # whatever the rest says, no other class has a majority
    return int(torch.cat(labels).bincount().max()) >= MAJORITY


def attacks(classifier: HierarchicalClassifier, records: list[SmoothingRecord], factor: float) -> Iterator[bool]:
    """Whether attacks within `factor` times the radius make the vote certify another class, image by image."""
    for record in records:
        images = find(classifier, record, factor * record.radius)
        moved = (images - emoji("unseen_artist")[record.index][0]).flatten(1).norm(dim=1)
        assert float(moved.max()) <= factor * record.radius + ROUNDING
        assert float(moved.max()) > 0.9 * factor * record.radius
        yield any(overturned(classifier, image, record) for image in images)


@pytest.mark.slow
def test_no_attack_within_the_radius_turns_the_vote_and_some_beyond_it_do(classifier: HierarchicalClassifier) -> None:
    records = [r for r in made(classifier) if isinstance(r, SmoothingRecord)]
    chosen = sorted(records, key=lambda record: record.radius)[:8]
    assert len(chosen) >= 6
    assert not any(attacks(classifier, chosen, 0.999))
    assert any(attacks(classifier, chosen, 12.0))


def joint_logits(
    classifier: HierarchicalClassifier, record: JointRecord, noise: Tensor, angles: Tensor, images: Tensor
) -> Tensor:
    """Logits `(B, E * A, K)` of noisy copies turned by angles."""
    change = PromptPairs(classifier, [DARK])(emoji("unseen_artist")[record.index][1])[0]
    plane = plane_basis(change.source, change.target)
    points = classifier.image_points((images[:, None] + noise).flatten(0, 1)).double()
    turned = rotate_in_plane(points[:, None], plane.e1, plane.e2, angles)
    scores = classifier.head.logits(turned.flatten(0, 1), classifier.text_points(LEAVES).double())
    return scores.unflatten(0, (len(images), len(noise) * len(angles)))


def joint_find(classifier: HierarchicalClassifier, record: JointRecord, eps: float, extent: float) -> Tensor:
    noise, angles = noise_of(record, 41, 4), torch.tensor([0.0, extent / 2, extent], dtype=torch.float64)
    image = emoji("unseen_artist")[record.index][0]

    def logits(images: Tensor) -> Tensor:
        return joint_logits(classifier, record, noise, angles, images)

    with inferring(classifier), frozen_parameters(classifier):
        return attacked(logits, image, record.prediction, eps, steps=10, num_targets=3, seed=record.index)


@torch.no_grad()
def joint_refuted(classifier: HierarchicalClassifier, image: Tensor, record: JointRecord, extent: float) -> bool:
    """Whether fresh copies show, wrong with probability 1e-6, that less than half keep the class up to the extent."""
    angles = torch.linspace(0, extent, 25, dtype=torch.float64)

    def holding(draws: range) -> int:
        noise = gaussian((3, 64, 64), 42, record.index, draws, SIGMA)
        labels = joint_logits(classifier, record, noise, angles, image[None]).argmax(dim=2)
        return int((labels.view(len(draws), len(angles)) == record.prediction).all(dim=1).sum())

    with inferring(classifier):
        return votes_of(holding, VOTES, MINORITY) <= MINORITY


def joint_refuted_beyond(classifier: HierarchicalClassifier, record: JointRecord) -> bool:
    """Whether an attack within three times the radius refutes a somewhat longer extent."""
    ((radius, extent),) = record.at_radii
    assert extent is not None
    far = joint_find(classifier, record, 3 * radius, extent)
    return any(joint_refuted(classifier, image, record, min(3.1, 1.2 * extent + 0.05)) for image in far)


@pytest.mark.slow
def test_no_joint_attack_succeeds_within_the_region_and_some_beyond_it_do(classifier: HierarchicalClassifier) -> None:
    questions = JointQuestions(radii=[0.06])
    found = made(classifier, smoothing=False, joint=True, attributes=[DARK], joint_questions=questions)
    records = [r for r in found if isinstance(r, JointRecord) and r.at_radii[0][1] is not None][:7]
    assert len(records) >= 6
    for record in records:
        ((radius, extent),) = record.at_radii
        assert extent is not None
        for image in joint_find(classifier, record, 0.999 * radius, extent):
            assert not joint_refuted(classifier, image, record, extent), record.statement
    assert any(joint_refuted_beyond(classifier, record) for record in records)
