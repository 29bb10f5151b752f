"""How the next token is chosen from a model's logits: greedily, or at random from an address.

A random choice takes one uniform number per sample and token, made from an address by the caller, and inverts the
distribution function there. So an answer is a function of the picture, the weights and its own numbers: it does not
depend on what was drawn before or on what else is in the batch. Beam search is not offered: its answer is no draw from
the model's distribution.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

NO_TOKEN = -1
"""Chosen where logits are not finite; an answer with it is blank, which every oracle calls unparseable."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Settings of decoding, recorded with every result.

    Attributes:
        max_new_tokens: An answer ends here if the model has not ended it before, at least 1.
        temperature: Divides the logits; 0 is greedy decoding.
        top_k: Only the k most probable tokens can be drawn; None for all. Needs a temperature above 0.
        top_p: Only the most probable tokens that together first reach this probability can be drawn, in (0, 1]
            (nucleus sampling, arXiv 1904.09751, section 3.1); None for all. Needs a temperature above 0.
    """

    max_new_tokens: int = 24
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"expected max_new_tokens >= 1, got {self.max_new_tokens}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"expected temperature as a finite number >= 0 (0 is greedy), got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"expected top_k >= 1 or None, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"expected top_p in (0, 1] or None, got {self.top_p}")
        if not self.random and (self.top_k is not None or self.top_p is not None):
            raise ValueError("expected a temperature > 0 with top_k or top_p, got temperature 0, which is greedy")

    @property
    def random(self) -> bool:
        """Whether answers are drawn at random."""
        return self.temperature > 0

    def to_row(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Decoding:
        """The settings from `to_row`.

        Raises:
            ValueError: If there are unknown settings, or values out of range.
        """
        unknown = sorted(set(row) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"expected settings of decoding, got unknown {', '.join(unknown)}")
        return cls(**row)


def token_probabilities(logits: Tensor, decoding: Decoding) -> Tensor:
    """The distribution that random decoding draws from: temperature first, then top_k, then top_p.

    Of equally probable tokens those of smaller number are kept first.

    Args:
        logits: (N, V), at least one finite number in each row; -inf excludes a token.
        decoding: With a temperature above 0.

    Returns:
        float64 (N, V), rows sum to 1.

    Raises:
        ValueError: If decoding is greedy.
    """
    if not decoding.random:
        raise ValueError("expected decoding with temperature > 0, got greedy decoding, which draws from nothing")
    probabilities = torch.softmax(logits.double() / decoding.temperature, dim=-1)
    if decoding.top_k is None and decoding.top_p is None:
        return probabilities
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    if decoding.top_k is not None:
        ordered[:, decoding.top_k :] = 0.0
        ordered = ordered / ordered.sum(-1, keepdim=True)
    if decoding.top_p is not None:
        before = ordered.cumsum(-1) - ordered  # probability of all that is more probable
        before[:, 0] = 0.0  # the most probable one always stays
        ordered = torch.where(before < decoding.top_p, ordered, 0.0)
    kept = torch.zeros_like(probabilities).scatter_(1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


def choose_tokens(logits: Tensor, decoding: Decoding, uniforms: Tensor | None = None) -> Tensor:
    """The next token of each sample.

    Args:
        logits: (N, V); -inf excludes a token.
        decoding: Greedy (the first of the largest logits), or random.
        uniforms: (N,) in [0, 1), for random decoding: token v is chosen where P(token < v) <= u < P(token <= v). Give
            float64 or float32; not used by greedy decoding.

    Returns:
        int64 (N,); -1 where a logit is NaN or +inf, or no token is left: nothing says what the model would answer.

    Raises:
        ValueError: If decoding is random and `uniforms` is missing, of the wrong shape or out of range.
    """
    highest = logits.amax(dim=-1)  # NaN if one is
    lost = ~highest.isfinite()
    if not decoding.random:
        return logits.argmax(-1).masked_fill(lost, NO_TOKEN)
    if uniforms is None:
        raise ValueError("expected uniforms for random decoding, got None; give one number in [0, 1) per sample")
    if uniforms.shape != logits.shape[:1]:
        raise ValueError(f"expected uniforms of shape ({len(logits)},), got {tuple(uniforms.shape)}")
    if not bool(((uniforms >= 0) & (uniforms < 1)).all()):
        raise ValueError("expected uniforms in [0, 1), got a number outside")
    cumulative = token_probabilities(logits.masked_fill(lost[:, None], 0.0), decoding).cumsum(-1)
    target = uniforms.to(cumulative)[:, None] * cumulative[:, -1:]
    # The target stays below the last sum also after rounding: u <= 1 - 2**-53 takes at least half a unit in the last
    # place from it. So a token of probability 0 is never chosen, nor one behind the end.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].masked_fill(lost, NO_TOKEN)
