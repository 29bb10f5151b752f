"""Classifiers of every level against the nearest text, one image and one node at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import tiny_model
from torch import nn

from hrvlm.models import (
    CosineHead,
    Head,
    HierarchicalClassifier,
    LevelKey,
    PoincareHead,
    VisionLanguageModel,
    evaluating,
    level_keys,
)
from hrvlm.models._modes import inferring
from hrvlm.trees import Forest, load_forest

TREES = [Path(__file__).parents[2] / "trees" / f"emoji_{name}.yaml" for name in ("unicode", "wordnet")]
IMAGES = 24


@pytest.fixture(scope="module")
def forest() -> Forest:
    everything = load_forest(TREES)
    return everything.restrict(everything.leaves[5::23])


def coloured(count: int = IMAGES) -> torch.Tensor:
    """Images of pure colours with some noise: a random model sees differences between them."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(count, 3, 1, 1, generator=generator) > 0.5
    return 0.8 * colours + 0.2 * torch.rand(count, 3, 40, 40, generator=generator)


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return tiny_model("vit", seed=1)


def poincare_head(model: VisionLanguageModel, forest: Forest, levels: int = 4) -> PoincareHead:
    head = PoincareHead(text_scales=levels)
    tree = max(forest, key=lambda entry: len(entry.levels))
    with torch.no_grad():
        texts = [model.encode_text(tree.prompts(level)) for level in range(len(tree.levels))]
        head.initialise(model.encode_image(coloured()), texts[:levels])
    return head


@pytest.fixture(scope="module", params=["cosine", "poincare"])
def classifier(request: pytest.FixtureRequest, model: VisionLanguageModel, forest: Forest) -> HierarchicalClassifier:
    head = CosineHead(30.0) if request.param == "cosine" else poincare_head(model, forest)
    return HierarchicalClassifier(model, head, forest)


@pytest.fixture(scope="module")
def predictions(classifier: HierarchicalClassifier) -> dict[LevelKey, torch.Tensor]:
    with torch.no_grad():
        return classifier.predict(coloured())


def test_keys_are_the_leaves_then_the_levels_above_tree_by_tree(
    classifier: HierarchicalClassifier, forest: Forest
) -> None:
    depths = [len(tree.levels) for tree in forest]
    assert depths[0] != depths[1]
    expected = [(0, 0), *((0, level) for level in range(1, depths[0])), *((1, level) for level in range(1, depths[1]))]
    assert list(classifier.keys) == list(level_keys(forest)) == expected
    names = [classifier.name(key) for key in classifier.keys]
    assert names[:3] == ["emoji", "emoji_unicode/subgroup", "emoji_unicode/group"]
    assert len(set(names)) == len(names)


def test_predictions_are_the_nearest_text_of_each_level(
    classifier: HierarchicalClassifier, predictions: dict[LevelKey, torch.Tensor], forest: Forest
) -> None:
    model, head = classifier.model, classifier.head
    assert list(predictions) == list(classifier.keys)
    with torch.no_grad():
        points = head.lift_image(model.encode_image(coloured()))
        for key, found in predictions.items():
            prompts = forest[key.tree].prompts(key.level)
            texts = head.lift_text(model.encode_text(prompts), key.level)
            assert len(prompts) == len(texts) == len(forest[key.tree].levels[key.level].ids)
            torch.testing.assert_close(classifier.text_points(key), texts)
            for image, label in zip(points, found, strict=True):
                distances = [float(head.distance(image, text)) for text in texts]
                assert distances[int(label)] == pytest.approx(min(distances), abs=1e-6)
    # The pictures tell something apart: not every level gets one and the same prediction throughout.
    assert sum(len(found.unique()) > 1 for found in predictions.values()) >= 2


def test_predictions_are_the_largest_logit_and_the_forward_pass_gives_the_leaves(
    classifier: HierarchicalClassifier, predictions: dict[LevelKey, torch.Tensor]
) -> None:
    images = coloured()
    with torch.no_grad():
        for key, found in predictions.items():
            logits = classifier.logits(images, key)
            assert logits.shape == (IMAGES, len(classifier.text_points(key)))
            assert torch.equal(logits.argmax(dim=1), found)
        assert torch.equal(classifier(images), classifier.logits(images, LevelKey(0, 0)))
        some = classifier.predict(images, keys=classifier.keys[2:4])
    assert list(some) == list(classifier.keys[2:4])
    assert all(torch.equal(label, predictions[key]) for key, label in some.items())


def test_the_affine_scorer_predicts_the_same(
    classifier: HierarchicalClassifier, predictions: dict[LevelKey, torch.Tensor]
) -> None:
    with torch.no_grad():
        points = classifier.image_points(coloured())
        for key, found in predictions.items():
            weight, bias = classifier.head.affine(points, classifier.text_points(key))
            assert torch.equal((points.double() @ weight.T + bias).argmax(dim=1), found)


def test_what_has_no_label_has_no_superclass(classifier: HierarchicalClassifier) -> None:
    for key in classifier.keys:
        found = classifier.target(torch.tensor([-1, 2, -1]), key)
        assert found.tolist() == [-1, int(classifier.ancestors[key][2]), -1]


def test_targets_are_found_by_going_from_parent_to_parent(classifier: HierarchicalClassifier, forest: Forest) -> None:
    labels = torch.tensor([3, 0, 7, 3, len(forest.leaves) - 1])
    for key in classifier.keys:
        expected = labels.tolist()
        for level in range(key.level):
            expected = [int(forest[key.tree].parents(level)[node]) for node in expected]
        assert classifier.target(labels, key).tolist() == expected


def test_gradients_reach_pixels_but_text_points_are_fixed(classifier: HierarchicalClassifier) -> None:
    images = coloured(2).requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(images).square().sum(), images)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0
    assert not any(classifier.text_points(key).requires_grad for key in classifier.keys)
    assert not any("text_points" in name for name in classifier.state_dict())
    assert not any(name.startswith("text_points") for name, _ in classifier.named_parameters())


def test_a_model_in_training_mode_keeps_its_modes_and_statistics(forest: Forest) -> None:
    model = tiny_model(seed=6)
    model.clip.ln_final = nn.Sequential(model.clip.ln_final, nn.Dropout())  # text towers may have such parts too
    model.train()
    model.clip.visual.bn2.eval()
    modes = [part.training for part in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    in_training = HierarchicalClassifier(model, CosineHead(30.0), forest)
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    in_evaluation = HierarchicalClassifier(model.eval(), CosineHead(30.0), forest)
    for key in in_training.keys:
        assert torch.equal(in_training.text_points(key), in_evaluation.text_points(key))


def test_heads_that_do_not_fit_are_refused(tiny: VisionLanguageModel, forest: Forest) -> None:
    waiting: list[Head] = [PoincareHead(text_scales=4), CosineHead()]
    for head in waiting:
        with pytest.raises(ValueError, match="expected an initialised head"):
            HierarchicalClassifier(tiny, head, forest)


def test_a_head_with_fewer_levels_than_the_trees_is_refused(tiny: VisionLanguageModel, forest: Forest) -> None:
    head = PoincareHead(image_scale=0.1, text_scales=[0.1, 0.1])
    with pytest.raises(ValueError, match="expected a head with a text scale for level 2 of the trees"):
        HierarchicalClassifier(tiny, head, forest)


def mixed_module() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()), nn.BatchNorm1d(2))
    module.train()
    module[1][0].eval()
    module[2].eval()
    return module


@pytest.mark.parametrize("fails", [False, True])
def test_evaluating_restores_every_mode(fails: bool) -> None:
    first, second = mixed_module(), mixed_module().eval()
    modes = [part.training for module in (first, second) for part in module.modules()]

    def work() -> None:
        with evaluating(first, second):
            assert not any(part.training for module in (first, second) for part in module.modules())
            first[2].train()
            if fails:
                raise RuntimeError("stopped")

    if fails:
        with pytest.raises(RuntimeError, match="stopped"):
            work()
    else:
        work()
    assert [part.training for module in (first, second) for part in module.modules()] == modes


@pytest.mark.parametrize("fails", [False, True])
def test_inferring_restores_modes_and_gradient_flags(fails: bool) -> None:
    module = mixed_module()
    module[0].bias.requires_grad_(False)
    before = [part.training for part in module.modules()], [p.requires_grad for p in module.parameters()]
    errors: list[RuntimeError] = []
    try:
        with inferring(module):
            assert not torch.is_grad_enabled()
            assert not any(part.training for part in module.modules())
            assert not any(parameter.requires_grad for parameter in module.parameters())
            if fails:
                raise RuntimeError("stopped")
    except RuntimeError as error:
        errors.append(error)
    assert len(errors) == fails
    assert torch.is_grad_enabled()
    assert ([part.training for part in module.modules()], [p.requires_grad for p in module.parameters()]) == before
