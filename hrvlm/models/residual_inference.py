"""open_clip's residual image towers rewritten for inference: the same functions in fewer, larger operations.

Batch norms in evaluation mode are affine, so they join the convolutions before them. Channels lie last, so a pointwise
convolution is the product of a (pixels, channels) matrix. Only the pooled token of the attention pool leaves it, so the
other tokens ask no questions and are never projected: with one query, keys and values need no matrices of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import AttentionPool2d, Bottleneck, ModifiedResNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def rewritten(part: nn.Module) -> nn.Module:
    """What takes the place of a module in evaluation mode; the module itself, if nothing faster is known.

    Args:
        part: Known are exactly open_clip's `Bottleneck` and `AttentionPool2d`, and the stem of its `ModifiedResNet`,
            whose convolutions are replaced in place. What was changed in any way, by other parts, hooks or a method of
            its own, is left alone.
    """
    if type(part) is ModifiedResNet:
        for convolution, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
            if _foldable(pair := (part.get_submodule(convolution), part.get_submodule(norm))):
                part.set_submodule(convolution, _folded(*pair))
                part.set_submodule(norm, nn.Identity().eval())
    elif type(part) is AttentionPool2d and plain(part, nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return PooledQuery(part).eval()
    elif type(part) is Bottleneck and _known(part):
        return FoldedBottleneck(part).requires_grad_(False).eval()
    return part


class FoldedBottleneck(nn.Module):
    """A residual block as two products, one convolution and additions in place, (N, C, H, W) to (N, D, H', W').

    The last product is added to the shortcut where it lies.
    """

    def __init__(self, block: Bottleneck) -> None:
        """Folds a block with batch norms; weights and biases are copies."""
        super().__init__()
        first, second, third, *shortcut = (_folded(*pair) for pair in _pairs(block))
        self.reduce_weight, self.reduce_bias = _pointwise(first)
        self.spatial, self.pool = second, block.avgpool
        self.expand_weight, self.bias = _pointwise(third)
        self.shortcut_pool: nn.Module | None = None
        if shortcut:
            self.shortcut_pool = block.downsample[0]
            self.shortcut_weight, bias = _pointwise(shortcut[0])
            self.bias = nn.Parameter(self.bias + bias)

    def forward(self, x: Tensor) -> Tensor:
        """The block's activations, with channels last in memory."""
        reduced = F.linear(x.movedim(1, -1), self.reduce_weight, self.reduce_bias).relu_()
        spatial = self.pool(self.spatial(reduced.movedim(-1, 1)).relu_()).movedim(1, -1)
        if self.shortcut_pool is None:
            out = (x.movedim(1, -1) + self.bias).to(spatial.dtype).contiguous()
        else:
            out = F.linear(self.shortcut_pool(x).movedim(1, -1), self.shortcut_weight, self.bias)
        pixels = out.view(-1, out.shape[-1])
        pixels.addmm_(spatial.flatten(0, -2), self.expand_weight.to(out.dtype).T)  # autocast leaves it alone
        return out.relu_().movedim(-1, 1)


class PooledQuery(nn.Module):
    """Attention of the mean over all tokens, (N, C, H, W) to (N, D); shares the weights of the pool it replaces."""

    def __init__(self, pool: AttentionPool2d) -> None:
        """Takes over the projections and the positional embedding (1 + H W, C)."""
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.c_proj = pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj
        self.positional_embedding, self.num_heads = pool.positional_embedding, pool.num_heads

    def forward(self, x: Tensor) -> Tensor:
        """The pooled features; a bias of the keys would shift all weights of a head alike and is left out."""
        num, channels, heads = *x.shape[:2], self.num_heads
        tokens = x.flatten(2).mT
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.positional_embedding.to(x.dtype)
        query = self.q_proj(tokens[:, 0]).view(num, heads, channels // heads) * (channels // heads) ** -0.5
        asked = torch.einsum("nhd,hdc->nhc", query, self.k_proj.weight.view(heads, -1, channels))
        mixed = (asked @ tokens.mT).softmax(dim=-1).to(asked.dtype) @ tokens
        values = torch.einsum("nhc,hdc->nhd", mixed, self.v_proj.weight.view(heads, -1, channels))
        found: Tensor = self.c_proj(values.reshape(num, channels) + self.v_proj.bias)
        return found


def _known(block: Bottleneck) -> bool:
    """Whether a block is as open_clip builds it."""
    parts = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.Identity, nn.Sequential)
    pointwise = [pair[0] for k, pair in enumerate(_pairs(block)) if k != 1]
    acts = (block.act1, block.act2, block.act3)
    shortcut = [] if block.downsample is None else [type(part) for part in block.downsample]
    return (
        plain(block, *parts)
        and all(_foldable(pair) for pair in _pairs(block))
        and all((c.kernel_size, c.stride, c.padding, c.groups) == ((1, 1), (1, 1), (0, 0), 1) for c in pointwise)
        and all(type(act) is nn.ReLU for act in acts)
        and type(block.avgpool) in (nn.AvgPool2d, nn.Identity)
        and shortcut in ([], [nn.AvgPool2d, nn.Conv2d, nn.BatchNorm2d])
    )


def plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether neither hooks nor other classes nor methods of an object's own change what a module does."""
    below = list(module.modules())
    return all(type(part) in kinds for part in below[1:]) and all(map(untouched, below))


def untouched(part: nn.Module) -> bool:
    """Whether a module alone, whatever its parts are, has neither hooks nor a forward method of its own."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" not in part.__dict__ and not any(getattr(part, name) for name in hooks)


def _pairs(block: Bottleneck) -> list[tuple[Any, Any]]:
    """Convolutions and the norms behind them."""
    shortcut = [] if block.downsample is None else [tuple(block.downsample)[1:3]]
    return [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3), *shortcut]


def _foldable(pair: Sequence[nn.Module]) -> bool:
    if len(pair) != 2 or not all(plain(part) for part in pair):
        return False
    convolution, norm = pair
    return type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_mean is not None


def _folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """Both as one convolution with a bias."""
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm).requires_grad_(False)


def _pointwise(convolution: nn.Conv2d) -> tuple[nn.Parameter, nn.Parameter]:
    """Weights (D, C) and bias (D) of a pointwise convolution."""
    assert convolution.bias is not None
    return nn.Parameter(convolution.weight[:, :, 0, 0].contiguous()), nn.Parameter(convolution.bias)
