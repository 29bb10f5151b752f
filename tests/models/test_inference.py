"""Inference copies against the modules they are made of."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from tiny_models import MODEL_CONFIGS, pictures, tiny_model
from torch import nn

from hrvlm.models import VisionLanguageModel, inference_copy, inferring
from hrvlm.models.residual_inference import FoldedBottleneck

TEXTS = ["a fox", "a rather longer sentence about a boat"]


def with_statistics(module: VisionLanguageModel) -> VisionLanguageModel:
    """The module with running statistics as no two channels share them."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.num_features, generator=generator))
    return module


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize("kind", MODEL_CONFIGS)
def test_outputs_are_those_of_evaluation_and_the_module_stays_as_it_is(kind: str) -> None:
    model = with_statistics(tiny_model(kind)).double().train()
    before, parts, images = copy.deepcopy(model.state_dict()), list(model.modules()), pictures(4).double()
    twin = inference_copy(model)
    assert type(twin) is type(model)
    with inferring(model):
        expected = model.encode_image(images), model.text_features(TEXTS), model.text_hidden(TEXTS)
    found = twin.encode_image(images), twin.text_features(TEXTS), twin.text_hidden(TEXTS)
    for one, other in zip(found, expected, strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert all(one is other for one, other in zip(model.modules(), parts, strict=True))
    assert all(part.training for part in parts)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not {id(part) for part in twin.modules()} & {id(part) for part in parts}
    assert not any(part.training for part in twin.modules())
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    torch.nn.functional.normalize(model.encode_image(images)).sum().backward()
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_weights_are_shared_but_for_folded_ones() -> None:
    model = tiny_model()
    twin = inference_copy(model)
    assert norms(model) > 0
    assert norms(twin) == 0
    mine, its = dict(model.named_parameters()), dict(twin.named_parameters())
    own = {name for name, value in its.items() if name not in mine or value.data_ptr() != mine[name].data_ptr()}
    tower = twin.clip.visual
    blocks = {name for name, part in tower.named_modules() if isinstance(part, FoldedBottleneck)}
    folded = ("conv1.", "conv2.", "conv3.", *(f"{name}." for name in blocks))
    visual = "clip.visual."
    assert blocks
    assert own == {name for name in its if name.removeprefix(visual).startswith(folded) and name.startswith(visual)}
    convolutions = [part for part in tower.modules() if isinstance(part, nn.Conv2d)]
    assert len(convolutions) == 3 + len(blocks)
    assert all(part.weight.is_contiguous(memory_format=torch.channels_last) for part in convolutions)
    vit = tiny_model("vit")
    pointers = {parameter.data_ptr() for parameter in vit.parameters()}
    assert {parameter.data_ptr() for parameter in inference_copy(vit).parameters()} == pointers


class ConvolutionWithActivation(nn.Module):
    """Children named as in a residual network, with something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.bn1(self.conv1(images).relu())
        return found


def test_blocks_that_are_not_known_are_not_folded() -> None:
    block = ConvolutionWithActivation()
    twin = inference_copy(block)
    assert norms(twin) == 1
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(twin(images), block.eval()(images))
    model = tiny_model()
    model.clip.visual.bn1 = nn.GroupNorm(2, model.clip.visual.conv1.out_channels)
    assert torch.equal(
        inference_copy(model).clip.visual.bn1(images := torch.randn(1, model.clip.visual.conv1.out_channels, 3, 3)),
        model.clip.visual.bn1(images),
    )


def test_what_occurs_twice_does_so_in_the_copy() -> None:
    layer = nn.Linear(3, 3)
    tied = nn.ModuleList([layer, nn.ReLU(), layer, nn.Linear(3, 3)])
    tied[3].weight = layer.weight
    twin = inference_copy(tied)
    assert twin[0] is twin[2]
    assert twin[0].weight is twin[3].weight
    assert twin[0] is not layer
    assert twin[0].weight.data_ptr() == layer.weight.data_ptr()


def test_compiled_modules_are_copied_as_they_were() -> None:
    model = tiny_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(model.clip.visual)
    model.clip.visual = compiled
    twin = inference_copy(model)
    assert type(twin.clip.visual) is type(compiled._orig_mod)
    assert twin.clip.visual is not compiled._orig_mod
