"""What a model really reads of texts: its tokens, which may be fewer than the text's, and the same for two texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.trees.words import printable

_log = logging.getLogger(__name__)
_TOLD: set[tuple[str, int]] = set()
_SHOWN = 120  # letters of a long text


def check_distinct_tokens(tokens: Tensor, texts: Sequence[str], what: str) -> None:
    """Refuses two texts that a model reads as the same tokens: no image could be nearer to one than to the other.

    Args:
        tokens: Token ids (K, context length).
        texts: The K texts.
        what: What the message calls them.

    Raises:
        ValueError: Naming two such texts.
    """
    owner: dict[tuple[int, ...], str] = {}
    for text, row in zip(texts, tokens.tolist(), strict=True):
        key = tuple(row)
        if key in owner:
            raise ValueError(
                f"expected texts that differ within the {tokens.shape[1]} tokens that the model reads as {what}, got "
                f"the same tokens for {shortened(owner[key])} and {shortened(text)}; give one a shorter or another "
                "name or prompt"
            )
        owner[key] = text


def tell_cut_texts(tokenizer: Any, texts: Sequence[str], tokens: Tensor) -> None:
    """Warns of texts that are longer than what the model reads, of each once in a process.

    Args:
        tokenizer: Texts to token ids; open_clip's take a `context_length`.
        texts: K texts.
        tokens: What it made of them, (K, context length).
    """
    full = (tokens[:, -1] != tokenizer([""])[0, -1]).nonzero().flatten().tolist()
    length = tokens.shape[1]
    fresh = [place for place in full if (texts[place], length) not in _TOLD]
    cut = [texts[place] for place in fresh if _is_cut(tokenizer, texts[place], tokens[place])]
    _TOLD.update((texts[place], length) for place in fresh)
    if cut:
        shown = ", ".join(map(shortened, dict.fromkeys(cut)))
        _log.warning("%s", f"only the first {length} tokens of these texts are read, the rest is cut off: {shown}")


def _is_cut(tokenizer: Any, text: str, row: Tensor) -> bool:
    """Whether a text whose tokens leave no room is longer than they are."""
    length = len(row)
    try:
        longer = tokenizer([text], context_length=length + 2)[0]
        end = tokenizer([""], context_length=length + 2)[0, -1]
    except TypeError:  # it has but one length: a text may fill it exactly, and is counted as cut
        return torch.equal(tokenizer([f"{text} and more"])[0], row)
    return not torch.equal(longer[:length], row) or bool((longer[length:] != end).any())


def shortened(text: str) -> str:
    """A text in quotes, the middle left out where it is long."""
    half = _SHOWN // 2
    shown = text if len(text) <= _SHOWN else f"{text[:half]} … {text[-half:]}"
    return f"'{printable(shown)}'"
