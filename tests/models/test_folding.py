"""Folded batch norms against the towers as they are."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_models import pictures, tiny_model
from torch import nn

from hrvlm.models import VisionLanguageModel, folding_batch_norms, inferring


def with_statistics(module: nn.Module) -> nn.Module:
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


def test_features_stay_and_everything_is_put_back() -> None:
    model = with_statistics(tiny_model()).double()
    assert isinstance(model, VisionLanguageModel)
    before, images = copy.deepcopy(model.state_dict()), pictures(4).double()
    parts = list(model.modules())
    with inferring(model):
        expected = model.encode_image(images)
        with folding_batch_norms(model):
            assert norms(model) == 0
            torch.testing.assert_close(model.encode_image(images), expected, rtol=1e-11, atol=1e-11)
    assert [id(part) for part in model.modules()] == [id(part) for part in parts]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_folded_convolutions_keep_their_layout() -> None:
    model = tiny_model().eval()
    with folding_batch_norms(model):
        weights = [part.weight for part in model.clip.visual.modules() if isinstance(part, nn.Conv2d)]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_it_is_put_back_after_an_error() -> None:
    model = tiny_model().eval()
    count = norms(model)
    with pytest.raises(ZeroDivisionError), folding_batch_norms(model):
        raise ZeroDivisionError
    assert norms(model) == count > 0


def test_norms_that_use_the_statistics_of_the_batch_stay() -> None:
    model = tiny_model().train()
    count = norms(model)
    with folding_batch_norms(model):
        assert norms(model) == count
    untracked = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    with folding_batch_norms(untracked):
        assert norms(untracked) == 1


def test_only_convolutions_right_before_a_norm_are_folded() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5))
    images = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    with inferring(with_statistics(block)):
        expected = block(images)
        with folding_batch_norms(block):
            assert norms(block) == 1
            torch.testing.assert_close(block(images), expected)


def test_towers_without_batch_norms_are_not_touched() -> None:
    model = tiny_model("vit").eval()
    parts = [id(part) for part in model.modules()]
    with folding_batch_norms(model):
        assert [id(part) for part in model.modules()] == parts
