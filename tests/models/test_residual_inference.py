"""Rewritten parts of residual towers against open_clip's own, in evaluation mode."""

from __future__ import annotations

import copy
from typing import TypeVar

import pytest
import torch
from open_clip.modified_resnet import AttentionPool2d, Bottleneck, ModifiedResNet
from torch import Tensor, nn

from hrvlm.models.residual_inference import FoldedBottleneck, PooledQuery, rewritten

M = TypeVar("M", bound=nn.Module)

KINDS = {"with a shortcut": (8, 1), "identity": (16, 1), "pooled": (16, 2)}
"""Channels that come in, and stride, of blocks of four planes."""


def stirred(module: M) -> M:
    """Every weight and every running statistic a number of its own."""
    generator = torch.Generator().manual_seed(1)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(0.3 + torch.rand(value.shape, generator=generator, dtype=value.dtype))
            value.mul_(torch.where(torch.rand(value.shape, generator=generator) < 0.5, -1, 1) if value.dim() > 1 else 1)
    return module.eval()


def block(kind: str) -> Bottleneck:
    channels, stride = KINDS[kind]
    return stirred(Bottleneck(channels, 4, stride).double())


def activations(channels: int, size: int, *, channels_last: bool = True) -> Tensor:
    values = torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return values.contiguous(memory_format=torch.channels_last) if channels_last else values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels_last", [True, False])
def test_blocks_have_the_outputs_and_gradients_of_theirs(kind: str, channels_last: bool) -> None:
    original = block(kind)
    twin = rewritten(copy.deepcopy(original))
    assert isinstance(twin, FoldedBottleneck)
    assert not twin.training
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    x = activations(KINDS[kind][0], 6, channels_last=channels_last)
    kept, one, other = x.clone(), x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = original(one), twin(other)
    assert (expected > 0).any()
    assert (expected == 0).any()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slopes = [torch.autograd.grad((out * weights).sum(), leaf)[0] for out, leaf in ((expected, one), (found, other))]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        twin(x)
    assert torch.equal(x, kept)  # additions in place are to its own


@pytest.mark.parametrize("size", [1, 3])
def test_the_pooled_query_is_the_first_token_of_full_attention(size: int) -> None:
    pool = stirred(AttentionPool2d(size, 12, 3, 5).double())
    twin = rewritten(pool)
    assert isinstance(twin, PooledQuery)
    assert {id(value) for value in twin.parameters()} == {id(value) for value in pool.parameters()}
    x = activations(12, size) / 4
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = pool(one), twin(other)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(out.square().sum(), leaf)[0] for out, leaf in ((expected, one), (found, other))]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_runs_them_in_half_precision(kind: str) -> None:
    original = block(kind).float()
    twin, x = rewritten(copy.deepcopy(original)), activations(KINDS[kind][0], 6).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = twin(x)
    assert found.dtype == torch.bfloat16
    with torch.no_grad():
        expected = original(x)
    assert (found - expected).norm() < 0.02 * expected.norm()
    pool = stirred(AttentionPool2d(3, 12, 3, 5))
    tokens = activations(12, 3).float() / 4
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        pooled = rewritten(pool)(tokens)
    assert (pooled - pool(tokens)).norm() < 0.02 * pool(tokens).norm()


def test_blocks_with_other_norms_and_other_classes_stay() -> None:
    other_norm = block("identity")
    other_norm.bn2 = nn.GroupNorm(2, 4)
    assert rewritten(other_norm) is other_norm
    without_statistics = Bottleneck(16, 4)
    without_statistics.bn1 = nn.BatchNorm2d(4, track_running_stats=False)
    assert rewritten(without_statistics) is without_statistics

    class Another(AttentionPool2d):
        """May attend in a way of its own."""

    other = Another(2, 8, 2)
    assert rewritten(other) is other


def test_stems_are_folded_in_place() -> None:
    tower = stirred(ModifiedResNet([1, 1, 1, 1], 8, 2, image_size=32, width=4).double())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = copy.deepcopy(tower).stem(images)
    assert rewritten(tower) is tower
    assert not any(isinstance(part, nn.BatchNorm2d) for name, part in tower.named_children())
    torch.testing.assert_close(tower.stem(images), expected, rtol=1e-12, atol=1e-12)
