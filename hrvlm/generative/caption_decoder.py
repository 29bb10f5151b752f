"""A small causal transformer that writes words after picture tokens and a prompt, with a cache of keys and values.

The sequence is [picture tokens, prompt, words]. Picture tokens see each other and nothing else, so that one pass over a
picture serves every prompt; all later tokens see what is before them. Shapes: N samples, M picture tokens, T words,
W width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyValueCache:
    """Keys and values of every layer, in one block of memory that is filled from the left."""

    def __init__(self, layers: int, size: tuple[int, int, int, int], like: Tensor) -> None:
        """Makes an empty cache.

        Args:
            layers: Number of blocks.
            size: (N, heads, longest sequence, width of a head).
            like: Gives type and device.
        """
        self._blocks = [(like.new_empty(size), like.new_empty(size)) for _ in range(layers)]
        self.length = 0

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one layer's new keys and values (N, heads, new, width) and returns all so far."""
        stop = self.length + keys.shape[2]
        for block, new in zip(self._blocks[layer], (keys, values), strict=True):
            block[:, :, self.length : stop] = new
        all_keys, all_values = self._blocks[layer]
        return all_keys[:, :, :stop], all_values[:, :, :stop]


class Block(nn.Module):
    """Attention and a two-layer network, each after a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Makes a block of `heads` heads; `width` is a multiple of them."""
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None, layer: int, cache: KeyValueCache | None) -> Tensor:
        """One block on (N, new, W); mask (new, all) is True where a token may look, None for everywhere."""
        parts = self.inputs(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind(0)
        if cache is not None:
            keys, values = cache.extended(layer, keys, values)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        x = x + self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))


class CaptionDecoder(nn.Module):
    """Logits of the next word, given picture tokens, a prompt and the words so far.

    Attributes:
        context: Longest answer in tokens, its end included.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        num_prompts: int,
        memory_tokens: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        context: int = 24,
        dropout: float = 0.0,
    ) -> None:
        """Makes an untrained decoder.

        Args:
            vocabulary_size: Number of words, the end included.
            num_prompts: Number of prompts, each one token.
            memory_tokens: Number of picture tokens.
            width: Of all layers, a multiple of heads.
            layers: Number of blocks.
            heads: Number of attention heads.
            context: Longest answer in tokens, its end included.
            dropout: In training.

        Raises:
            ValueError: If width is no multiple of heads, or a number is not positive.
        """
        super().__init__()
        if min(vocabulary_size, num_prompts, memory_tokens, width, layers, heads, context) < 1 or width % heads:
            raise ValueError(f"expected positive sizes and width as a multiple of heads, got width {width} of {heads}")
        self.context, self.heads = context, heads
        self.words = nn.Embedding(vocabulary_size, width)  # also the output layer
        self.prompts = nn.Embedding(num_prompts, width)
        self.memory_places = nn.Parameter(torch.randn(memory_tokens, width) * 0.02)
        self.places = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        for table in (self.words, self.prompts):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, memory: Tensor, prompts: Tensor, words: Tensor) -> Tensor:
        """Teacher forcing: logits after the prompt and after each word.

        Args:
            memory: Picture tokens (N, M, W).
            prompts: int64 (N,).
            words: int64 (N, T), T < context.

        Returns:
            (N, T + 1, V).
        """
        texts = torch.cat([self.prompts(prompts)[:, None], self.words(words)], 1) + self.places[: words.shape[1] + 1]
        return self._run(torch.cat([memory + self.memory_places, texts], 1), memory.shape[1], None)

    def start(self, memory: Tensor, prompts: Tensor) -> tuple[Tensor, KeyValueCache]:
        """Logits of the first word (N, V), and the cache that `step` goes on from."""
        width = memory.shape[2] // self.heads
        size = (len(memory), self.heads, memory.shape[1] + self.context, width)
        cache = KeyValueCache(len(self.blocks), size, memory)
        x = torch.cat([memory + self.memory_places, (self.prompts(prompts) + self.places[0])[:, None]], 1)
        return self._run(x, memory.shape[1], cache)[:, 0], cache

    def step(self, words: Tensor, place: int, cache: KeyValueCache) -> Tensor:
        """Logits of the next word (N, V) after one more word (N,) in its place, from 1."""
        x = (self.words(words) + self.places[place])[:, None]
        return self._run(x, 0, cache)[:, 0]

    def _run(self, x: Tensor, memory_tokens: int, cache: KeyValueCache | None) -> Tensor:
        """Logits of all tokens behind the picture tokens. One new token may look at everything before it."""
        mask = None
        if x.shape[1] > 1:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            mask[:memory_tokens, :memory_tokens] = True
        x = self.dropout(x)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, layer, cache)
        if cache is not None:
            cache.length += x.shape[1]
        logits: Tensor = F.linear(self.norm(x[:, memory_tokens:]), self.words.weight)
        return logits
