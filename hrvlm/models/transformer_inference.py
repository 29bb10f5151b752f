"""open_clip's vision transformers rewritten for inference: the last block computes the class token alone.

Towers that pool their class token read nothing else of it. The other tokens then need no queries, no output projection
and no feed-forward network; and with a single query per image, keys and values need no matrices of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.transformer import (
    LayerNorm,
    LayerNormFp32,
    LayerScale,
    QuickGELU,
    ResidualAttentionBlock,
    Transformer,
    VisionTransformer,
)
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from hrvlm.models.residual_inference import plain, untouched
from hrvlm.models.single_products import SelfAttention, known_attention

_NORMS = (nn.LayerNorm, LayerNorm, LayerNormFp32)
_PARTS = (
    nn.MultiheadAttention, SelfAttention, nn.Linear, NonDynamicallyQuantizableLinear, nn.Sequential, nn.Identity,
    nn.GELU, QuickGELU, LayerScale, *_NORMS,
)  # fmt: skip


def with_class_token_alone(tower: VisionTransformer) -> VisionTransformer:
    """Lets the transformer of an open_clip tower that pools its class token end with it, see `ClassTokenTransformer`.

    Args:
        tower: In evaluation mode; changed in place. Left alone where its tokens are asked for or pooled otherwise, or
            where its transformer or last block was changed in any way, by other parts, hooks or a method of its own.
    """
    asked = type(tower) is VisionTransformer and tower.pool_type == "tok" and tower.attn_pool is None
    changed = {"forward", "_pool", "_global_pool"} & tower.__dict__.keys()
    if asked and not changed and not tower.output_tokens and _known(tower.transformer):
        tower.transformer = ClassTokenTransformer(tower.transformer).eval()
    return tower


class ClassTokenTransformer(nn.Module):
    """A transformer whose last block sees to the first token alone, (N, L, D) to (N, 1, D); shares its weights."""

    def __init__(self, transformer: Transformer) -> None:
        """Takes over the blocks."""
        super().__init__()
        self.full, self.last = transformer, ClassTokenBlock(transformer.resblocks[-1])

    @property
    def resblocks(self) -> nn.ModuleList:
        """The blocks as they were."""
        blocks: nn.ModuleList = self.full.resblocks
        return blocks

    def forward(self, x: Tensor) -> Tensor:
        """The first token's activations after the last block."""
        for block in self.resblocks[:-1]:
            x = block(x)
        found: Tensor = self.last(x)
        return found

    def forward_intermediates(self, *arguments: Any, **named: Any) -> Any:
        """Activations of all tokens after any block, as before."""
        return self.full.forward_intermediates(*arguments, **named)


class ClassTokenBlock(nn.Module):
    """A residual attention block for the first token alone, (N, L, D) to (N, 1, D); shares the block's weights."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        """Takes over its parts."""
        super().__init__()
        self.ln_1, self.attn, self.ls_1 = block.ln_1, block.attn, block.ls_1
        self.ln_2, self.mlp, self.ls_2 = block.ln_2, block.mlp, block.ls_2

    def forward(self, x: Tensor) -> Tensor:
        """What the block makes of the first token."""
        token = x[:, :1] + self.ls_1(self._attended(self.ln_1(x)))
        found: Tensor = token + self.ls_2(self.mlp(self.ln_2(token)))
        return found

    def _attended(self, tokens: Tensor) -> Tensor:
        """Attention of the first token, (N, 1, D); a bias of the keys would shift all weights of a head alike."""
        num, width, heads = len(tokens), tokens.shape[-1], self.attn.num_heads
        query_weight, key_weight, value_weight = self.attn.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.attn.in_proj_bias.chunk(3)
        query = nn.functional.linear(tokens[:, 0], query_weight, query_bias).view(num, heads, width // heads)
        asked = torch.einsum("nhd,hdc->nhc", query * (width // heads) ** -0.5, key_weight.view(heads, -1, width))
        mixed = (asked @ tokens.mT).softmax(dim=-1).to(asked.dtype) @ tokens
        values = torch.einsum("nhc,hdc->nhd", mixed, value_weight.view(heads, -1, width)).reshape(num, width)
        found: Tensor = self.attn.out_proj(values + value_bias)
        return found[:, None]


def _known(transformer: nn.Module) -> bool:
    """Whether the last block is as open_clip builds it for towers of images."""
    if type(transformer) is not Transformer or not untouched(transformer) or not transformer.batch_first:
        return False
    blocks: Any = transformer.resblocks
    block: Any = blocks[-1] if len(blocks) else None
    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv") or not plain(block, *_PARTS):
        return False
    return (
        (type(block.attn) is SelfAttention or known_attention(block.attn))
        and type(block.ln_1) in _NORMS
        and type(block.ln_2) in _NORMS
        and "attention" not in block.__dict__
    )
