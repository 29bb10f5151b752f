"""Log-probabilities of given answers: the model reads the answer and is asked for each next token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

END, NOTHING = -1, -2


def target_tokens(answers: Sequence[Sequence[int]]) -> Tensor:
    """What the model has to say at each place.

    Args:
        answers: N answers as token ids, without an end token; may be empty.

    Returns:
        int64 (N, T), T one more than the longest answer: the answer, END, then NOTHING.
    """
    length = 1 + max((len(answer) for answer in answers), default=0)
    rows = [[*answer, END, *[NOTHING] * (length - 1 - len(answer))] for answer in answers]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), length)


def answer_log_probability(logits: Tensor, targets: Tensor, ends: Sequence[int]) -> Tensor:
    """Log-probability of whole answers.

    Args:
        logits: (N, T, V) at the places of `targets`.
        targets: (N, T) from `target_tokens`.
        ends: Token ids that end an answer; any of them will do at END.

    Returns:
        (N,), float32 at least: sums over the answer's tokens and its end.
    """
    scores = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
    spoken = scores.gather(2, targets.clamp(min=0)[..., None])[..., 0]
    ended = scores[..., list(ends)].logsumexp(-1)
    return torch.where(targets == END, ended, spoken).masked_fill(targets == NOTHING, 0.0).sum(1)


def check_answers(answers: Sequence[str], count: int) -> None:
    """Checks that there is one answer per picture.

    Raises:
        ValueError: If not, or if a single text is given, which would be taken for a list of letters.
    """
    if isinstance(answers, str) or len(answers) != count:
        found = f"the single text {answers!r}" if isinstance(answers, str) else f"{len(answers)}"
        raise ValueError(f"expected answers as a list of {count} texts, one per picture, got {found}")
