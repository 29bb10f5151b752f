"""Keys and values of the text before a picture: the same for all pictures, so computed once."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls kept keys and values, the newest name first."""


def text_before_picture(tokens: Tensor, image_token: int) -> int:
    """How many tokens of a question stand before the first of its picture.

    Args:
        tokens: int64 (1, L).
        image_token: Id of the token that stands for pictures, which occurs.
    """
    return int((tokens[0] == image_token).int().argmax())


class TextPrefix:
    """Keys and values of the first tokens of a question, of one row, as a model without the picture computes them."""

    def __init__(self, model: Any, tokens: Tensor) -> None:
        """Takes a causal model and the tokens (1, P), P at least 1."""
        accepted = inspect.signature(type(model).forward).parameters
        self.name = next((name for name in CACHE_NAMES if name in accepted), CACHE_NAMES[-1])
        with torch.no_grad():
            read = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=True)
        self._kept = read[self.name]

    def rows(self, count: int) -> dict[str, Any]:
        """What `generate` is given besides the whole questions: a copy for that many of them, which it adds to."""
        kept = copy.deepcopy(self._kept)
        kept.batch_repeat_interleave(count)
        return {self.name: kept}
