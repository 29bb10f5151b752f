"""Labels over levels that lie on one path, against sums written out class by class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import pictures, tiny_model
from torch import Tensor

from hrvlm.models import CosineHead, HierarchicalClassifier, VisionLanguageModel
from hrvlm.models._modes import inferring
from hrvlm.models.decoding import best_below, decode, labels_along, leaf_sums, path_scores
from hrvlm.models.finite import NO_LABEL
from hrvlm.trees import Forest, load_forest

TREES = [Path(__file__).parents[2] / "trees" / f"emoji_{name}.yaml" for name in ("unicode", "wordnet")]
COHERENT = ("path", "leaves")


@pytest.fixture(scope="module")
def forest() -> Forest:
    everything = load_forest(TREES)
    return everything.restrict(everything.leaves[5::23])


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return tiny_model("vit", seed=1)


def made(model: VisionLanguageModel, forest: Forest, decoding: Any) -> HierarchicalClassifier:
    return HierarchicalClassifier(model, CosineHead(30.0), forest, decoding)


def some_points(count: int = 200) -> Tensor:
    points = torch.randn(count, 32, generator=torch.Generator().manual_seed(0))
    return points / points.norm(dim=1, keepdim=True)


def probabilities(scores: list[float]) -> list[float]:
    parts = [math.exp(score - max(scores)) for score in scores]
    return [part / sum(parts) for part in parts]


def test_a_superclass_has_the_sum_of_its_leaves() -> None:
    scores, ancestors = torch.tensor([[0.3, -1.0, 2.0, 0.0, 0.5]], dtype=torch.float64), torch.tensor([1, 0, 1, 2, 0])
    found = leaf_sums(scores, ancestors)[0].exp().tolist()
    leaf = probabilities(scores[0].tolist())
    assert found == pytest.approx([leaf[1] + leaf[4], leaf[0] + leaf[2], leaf[3]])
    far = leaf_sums(torch.tensor([[0.0, -500.0, -501.0]]), torch.tensor([0, 1, 1]))[0]
    assert far[1].item() == pytest.approx(-500 + math.log1p(math.exp(-1))), "far too small for a probability in float32"


@pytest.mark.parametrize("decoding", COHERENT)
def test_paths_are_scored_class_by_class(model: VisionLanguageModel, forest: Forest, decoding: Any) -> None:
    classifier, points = made(model, forest, decoding), some_points(8)
    with torch.no_grad():
        raw = {key: classifier.head.logits(points, classifier.text_points(key)).double() for key in classifier.keys}
    found = decode(raw, classifier.ancestors, decoding)
    for image in range(len(points)):
        leaf = probabilities(raw[classifier.keys[0]][image].tolist())
        for label in range(len(leaf)):
            expected = 0.0
            for key, nodes in classifier.ancestors.items():
                own = probabilities(raw[key][image].tolist())[int(nodes[label])]
                held = sum(leaf[other] for other in range(len(leaf)) if nodes[other] == nodes[label])
                expected += math.log(held if decoding == "leaves" else own)
            assert found[image, label].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("decoding", COHERENT)
def test_labels_of_all_levels_lie_on_one_path(model: VisionLanguageModel, forest: Forest, decoding: Any) -> None:
    classifier, points = made(model, forest, decoding), some_points()
    with torch.no_grad():
        labels = classifier.labels(points)
        leaf = labels[classifier.keys[0]]
        for key in classifier.keys:
            assert torch.equal(labels[key], classifier.ancestors[key][leaf])
            assert torch.equal(classifier.scores(points, key).argmax(dim=1), labels[key])
        alone = made(model, forest, "independent").labels(points)
    assert any(bool((classifier.ancestors[key][alone[classifier.keys[0]]] != alone[key]).any()) for key in alone)
    assert not torch.equal(alone[classifier.keys[-1]], labels[classifier.keys[-1]])


@pytest.mark.parametrize("decoding", COHERENT)
def test_pixels_have_the_labels_of_their_points_and_a_gradient(
    model: VisionLanguageModel, forest: Forest, decoding: Any
) -> None:
    classifier, images = made(model, forest, decoding), pictures(5)
    with inferring(classifier):
        expected = classifier.labels(classifier.image_points(images))
        for key, labels in classifier.predict(images).items():
            assert torch.equal(labels, expected[key])
            assert torch.equal(classifier.logits(images, key).argmax(dim=1), labels)
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.logits(pixels, classifier.keys[-1]).amax(dim=1).sum(), pixels)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("decoding", COHERENT)
def test_scores_that_are_no_numbers_give_no_label_anywhere(
    model: VisionLanguageModel, forest: Forest, decoding: Any
) -> None:
    points = some_points(3)
    points[1, 0] = torch.nan
    with torch.no_grad():
        labels = made(model, forest, decoding).labels(points)
    for found in labels.values():
        assert (found == NO_LABEL).tolist() == [False, True, False]


def test_ties_go_one_way_at_all_levels() -> None:
    scores, ancestors = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([0, 1, 0])
    assert labels_along(scores, ancestors).tolist() == [1]
    assert best_below(scores, ancestors).tolist() == [[2.0, 2.0]]
    assert path_scores([scores, scores], [torch.arange(3), torch.tensor([2, 0, 1])]).tolist() == [[3.0, 3.0, 4.0]]


def test_a_decoding_that_there_is_not_is_refused(model: VisionLanguageModel, forest: Forest) -> None:
    with pytest.raises(ValueError, match="one of independent, path, leaves, got 'best'"):
        made(model, forest, "best")
