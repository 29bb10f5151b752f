"""Projections of open_clip's transformers as one matrix product each, for gradients of pixels too.

`nn.MultiheadAttention` lays tokens first and batches second and projects that view. PyTorch multiplies such a view with
a weight that asks for no gradient image by image, forwards and backwards, which takes more than twice as long as one
product; and while a perturbation is sought, or a model is attacked, no weight asks for one. Likewise, what patches give
their pixels comes faster from a product than from a convolution that never overlaps.
"""

from __future__ import annotations

from typing import TypeGuard

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from hrvlm.models.residual_inference import plain


def with_single_products(model: nn.Module) -> None:
    """Replaces self-attention and patch projections of open_clip's transformers; names in the state dict stay.

    Args:
        model: Changed in place. Parts that are not as open_clip builds them, or were changed by hooks or a method of
            their own, are left alone, as is attention to anything but a block's own tokens.
    """
    for part in model.modules():
        if type(part) is ResidualAttentionBlock and not hasattr(part, "ln_1_kv") and known_attention(part.attn):
            part.attn = SelfAttention(part.attn).train(part.attn.training)
        elif type(part) is VisionTransformer and _known_convolution(part.conv1):
            part.conv1 = PatchProjection(part.conv1).train(part.conv1.training)


class SelfAttention(nn.Module):
    """Attention among the tokens of each image or text, (N, L, D) to (N, L, D)."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """Takes over the weights."""
        super().__init__()
        self.num_heads, self.out_proj = attention.num_heads, attention.out_proj
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """As `nn.MultiheadAttention`, which open_clip's blocks call so.

        Args:
            query: Tokens `(N, L, D)`.
            key: The same tensor.
            value: The same tensor.
            need_weights: False.
            attn_mask: Added before the softmax, `(L, L)` or `(N * heads, L, L)`.

        Raises:
            ValueError: If weights are asked for, or anything else is attended to.
        """
        if need_weights or key is not query or value is not query:
            raise ValueError("expected self-attention without its weights, got other keys or values or need_weights")
        if attn_mask is not None and attn_mask.ndim == 3:
            attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
        projected = F.linear(query, self.in_proj_weight, self.in_proj_bias)
        queries, keys, values = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attn_mask)
        found: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return found, None


class PatchProjection(nn.Module):
    """Projects patches that do not overlap, (N, 3, H, W) to (N, D, H / P, W / P)."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        """Takes over the weights (D, 3, P, P)."""
        super().__init__()
        self.weight, self.stride = convolution.weight, (convolution.stride[0], convolution.stride[1])

    def forward(self, x: Tensor) -> Tensor:
        """What the convolution gives."""
        height, width = self.stride
        rows, columns = x.shape[2] // height, x.shape[3] // width  # a rest at the border is left out there too
        patches = (
            x[:, :, : rows * height, : columns * width].unflatten(3, (columns, width)).unflatten(2, (rows, height))
        )
        tokens = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(tokens, self.weight.flatten(1)).permute(0, 3, 1, 2)


def known_attention(attention: object) -> TypeGuard[nn.MultiheadAttention]:
    """Whether an attention is as open_clip builds it for a transformer's own tokens."""
    return (
        type(attention) is nn.MultiheadAttention
        and plain(attention, NonDynamicallyQuantizableLinear)
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and attention.batch_first
        and attention.dropout == 0.0
    )


def _known_convolution(convolution: object) -> TypeGuard[nn.Conv2d]:
    return (
        type(convolution) is nn.Conv2d
        and plain(convolution)
        and convolution.kernel_size == convolution.stride
        and set(convolution.dilation) == {1}
        and convolution.padding in ("valid", (0, 0))
        and convolution.groups == 1
        and convolution.bias is None
    )
