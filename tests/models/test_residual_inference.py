"""Rewritten parts of residual towers against open_clip's own, in evaluation mode."""

from __future__ import annotations

import copy
from collections.abc import Callable
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


def changed(block: Bottleneck) -> dict[str, Callable[[], object]]:
    """What a user may do to a block that is not in its class."""
    return {
        "activation": lambda: setattr(block, "act2", nn.SiLU()),
        "kernel": lambda: setattr(block, "conv1", nn.Conv2d(16, 4, 3, padding=1, bias=False)),
        "stride": lambda: setattr(block, "conv3", nn.Conv2d(4, 16, 1, padding=1, bias=False)),
        "pool": lambda: setattr(block, "avgpool", nn.MaxPool2d(2)),
        "shortcut": lambda: block.downsample.append(nn.Dropout()),
        "hook": lambda: block.register_forward_hook(lambda module, given, out: out * 0.5),
        "hook of a part": lambda: block.conv2.register_forward_pre_hook(lambda module, given: None),
        "method": lambda: setattr(block, "forward", lambda x: x),
    }


@pytest.mark.parametrize("change", [*changed(Bottleneck(16, 4, 2))])
def test_blocks_that_were_changed_stay(change: str) -> None:
    ours = block("pooled")
    assert rewritten(copy.deepcopy(ours)) is not ours
    changed(ours)[change]()
    assert rewritten(ours) is ours


def test_pools_that_were_changed_stay() -> None:
    hooked, wrapped = AttentionPool2d(2, 8, 2), AttentionPool2d(2, 8, 2)
    hooked.register_forward_hook(lambda module, given, out: out)
    wrapped.k_proj = nn.Sequential(nn.Linear(8, 8))
    for pool in (hooked, wrapped):
        assert rewritten(pool) is pool


def test_empty_batches() -> None:
    for kind, (channels, _) in KINDS.items():
        ours, none = block(kind), torch.zeros(0, channels, 6, 6, dtype=torch.float64)
        assert rewritten(copy.deepcopy(ours))(none).shape == ours(none).shape
    assert rewritten(AttentionPool2d(2, 8, 2, 5))(torch.zeros(0, 8, 2, 2)).shape == (0, 5)


def test_stems_are_folded_in_place() -> None:
    tower = stirred(ModifiedResNet([1, 1, 1, 1], 8, 2, image_size=32, width=4).double())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = copy.deepcopy(tower).stem(images)
    assert rewritten(tower) is tower
    assert not any(isinstance(part, nn.BatchNorm2d) for name, part in tower.named_children())
    torch.testing.assert_close(tower.stem(images), expected, rtol=1e-12, atol=1e-12)
