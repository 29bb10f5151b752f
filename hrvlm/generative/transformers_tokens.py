"""Tokens of answers of transformers models: how each is chosen, and which ones end an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.generative.decoding import NO_TOKEN, Decoding, choose_tokens


class AddressedChoice:
    """A logits processor that leaves one token: the one that `choose_tokens` chooses.

    So transformers' greedy search decodes as `Decoding` says, from numbers with an address, and not from torch's
    global stream.
    """

    def __init__(
        self, decoding: Decoding, uniforms: Tensor | None, prompt_length: int, ends: Sequence[int] = (0,)
    ) -> None:
        """Takes the settings, uniforms (N, max_new_tokens) if random, how many tokens precede the answer, its ends."""
        self.decoding, self.uniforms, self.prompt_length, self.ends = decoding, uniforms, prompt_length, list(ends)
        self.lost: Tensor | None = None
        """Where (N,) an answer met scores that are not finite before its end, and so is none."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (N, V) of the next token after input_ids (N, L), -inf for all but the chosen one."""
        step = input_ids.shape[1] - self.prompt_length
        numbers = None if self.uniforms is None else self.uniforms[:, step].to(scores.device)
        chosen = choose_tokens(scores, self.decoding, numbers)
        spoken = input_ids[:, self.prompt_length :]
        ended = torch.isin(spoken, torch.tensor(self.ends, device=spoken.device)).any(dim=1)
        lost = (chosen == NO_TOKEN) & ~ended
        self.lost = lost if self.lost is None else self.lost | lost
        chosen = chosen.masked_fill(chosen == NO_TOKEN, self.ends[0])
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Ids of the tokens that end an answer, by the model's generation settings, else by its tokenizer.

    Raises:
        ValueError: If neither names one.
    """
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    if ends is None:
        raise ValueError("expected a model that names its end token, got none in its generation settings and tokenizer")
    return [int(end) for end in ends] if isinstance(ends, Sequence) else [int(ends)]


def pad_token(model: Any, tokenizer: Any, ends: list[int]) -> int:
    """Id of the token that follows an answer that has ended."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id, ends[0])
    return int(next(token for token in known if token is not None))
