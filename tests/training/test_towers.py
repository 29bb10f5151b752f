"""Activation checkpointing and compilation change neither features nor gradients, and leave no trace elsewhere."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hrvlm.attacks import ThreatModel, frozen_parameters, perturb
from hrvlm.models import VisionLanguageModel
from hrvlm.models.building import from_config
from hrvlm.models.residual_inference import FoldedBottleneck
from hrvlm.models.transformer_inference import ClassTokenTransformer
from hrvlm.training.settings import TowerExecution
from hrvlm.training.towers import CompiledForward, TowerForward, checkpoint_activations

TRANSFORMER = {"image_size": 16, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
RESIDUAL = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
TEXT = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}


def made(vision: dict[str, object] = TRANSFORMER) -> VisionLanguageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return from_config({"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}}, name="tiny")


def attacked(model: VisionLanguageModel) -> Tensor:
    """Images after two steps of an attack, by gradients of images alone."""
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with frozen_parameters(model):
        found = perturb(lambda x: model.encode_image(x).square().sum(1), images, ThreatModel("linf", 0.1), 2, 0.05)
    return found


def gradients(model: VisionLanguageModel, images: Tensor) -> dict[str, Tensor]:
    model.encode_image(images).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.clip.visual.named_parameters()}


def test_checkpointing_changes_no_attack_and_no_gradient() -> None:
    plain, saving = made(), made()
    checkpoint_activations(saving.clip.visual)
    images = attacked(plain)
    assert torch.equal(attacked(saving), images)
    expected = gradients(plain, images)
    assert expected
    for name, value in gradients(saving, images).items():
        assert torch.equal(value, expected[name]), name


def test_checkpointing_keeps_fewer_activations() -> None:
    kept = []
    for model in (made(), made()):
        if kept:
            checkpoint_activations(model.clip.visual)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: to.append(x.numel()) or x, lambda x: x):
            model.encode_image(torch.rand(2, 3, 16, 16))
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


def test_towers_without_checkpointing_are_refused() -> None:
    with pytest.raises(ValueError, match="ModifiedResNet without it; use a vision transformer"):
        checkpoint_activations(made(RESIDUAL).clip.visual)


def compare_compiled(backend: str) -> None:
    plain, model = made(), made()
    compiled = CompiledForward(model.clip.visual, backend)
    keys = list(model.state_dict())
    with compiled.in_place():
        assert "forward" in vars(model.clip.visual)
        images = attacked(model)
        found = gradients(model, images)
    assert "forward" not in vars(model.clip.visual)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(images, attacked(plain), rtol=0, atol=1e-5)
    for name, value in gradients(plain, images).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    copied = copy.deepcopy(model)
    assert torch.equal(copied.encode_image(images), model.encode_image(images))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler itself looks at it
def test_compiled_where_asked_for_and_nowhere_else() -> None:
    compare_compiled("eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_by_inductor() -> None:
    compare_compiled("inductor")


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected compile_backend of .*inductor.*got 'fast'"):
        CompiledForward(torch.nn.Linear(1, 1), "fast")


@pytest.mark.parametrize(("vision", "part"), [(RESIDUAL, FoldedBottleneck), (TRANSFORMER, ClassTokenTransformer)])
def test_perturbations_are_sought_with_the_twin_for_inference(vision: dict[str, object], part: type) -> None:
    model = made(vision)
    tower, keys = model.clip.visual, list(model.state_dict())
    forward, expected = TowerForward(tower, TowerExecution()), attacked(model)
    with forward.perturbing():
        twin = vars(tower)["forward"].__self__
        assert any(isinstance(below, part) for below in twin.modules())
        torch.testing.assert_close(attacked(model), expected, rtol=0, atol=1e-6)
    assert "forward" not in vars(tower)
    assert list(model.state_dict()) == keys
    assert all(parameter.requires_grad for parameter in tower.parameters())
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.mul_(1.25)  # as a step of the optimiser
    moved = attacked(model)
    with forward.perturbing():
        torch.testing.assert_close(attacked(model), moved, rtol=0, atol=1e-6)
    assert not torch.allclose(moved, expected)
    with contextlib.suppress(KeyError), forward.perturbing():
        raise KeyError
    assert "forward" not in vars(tower)


UNKEPT: dict[str, Callable[[VisionLanguageModel], Any]] = {
    "batch norms that adapt": lambda model: model.train(),
    "a hook": lambda model: model.clip.visual.layer1[0].register_forward_hook(lambda module, given, out: out),
    "a method of its own": lambda model: setattr(model.clip.visual, "forward", model.clip.visual.forward),
    "weights elsewhere": lambda model: model.clip.visual.layer1[0].conv1.register_parameter("weight", None),
}


@pytest.mark.parametrize("change", UNKEPT)
def test_towers_that_would_answer_otherwise_run_themselves(change: str) -> None:
    model = made(RESIDUAL)
    forward = TowerForward(model.clip.visual, TowerExecution())
    UNKEPT[change](model)
    before = vars(model.clip.visual).get("forward")
    with forward.perturbing():
        assert vars(model.clip.visual).get("forward") is before


def test_checkpointed_and_dropping_towers_run_themselves() -> None:
    dropping = made(TRANSFORMER | {"patch_dropout": 0.5})
    for model, execution in ((made(), TowerExecution(checkpoint_activations=True)), (dropping, TowerExecution())):
        forward = TowerForward(model.clip.visual, execution)
        model.train()
        with forward.perturbing():
            assert "forward" not in vars(model.clip.visual)
    with TowerForward(dropping.eval().clip.visual, TowerExecution()).perturbing():
        assert "forward" in vars(dropping.clip.visual)
