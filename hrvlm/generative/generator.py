"""What every generative model of hrvlm is: noisy pictures in, texts out."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from hrvlm.generative.decoding import Decoding
from hrvlm.models import state_digest


@dataclass
class LostAnswers:
    """Answers that came to nothing, as scores of their tokens were not finite; copies of a model share the count."""

    count: int = 0

    def add(self, lost: Tensor) -> None:
        """Counts where (N,) an answer was lost."""
        self.count += int(lost.sum())


class Generator(nn.Module, ABC):
    """A model that answers a fixed prompt about pictures.

    Attributes:
        name: What to call it in records.
        prompt: What the model is asked.
        decoding: How answers are chosen.
        lost: Answers so far that are blank because scores were not finite.
    """

    def __init__(self, *, name: str, prompt: str, decoding: Decoding) -> None:
        """Keeps what records say of the model."""
        super().__init__()
        self.name, self.prompt, self.decoding = name, prompt, decoding
        self.lost = LostAnswers()

    @property
    def num_uniforms(self) -> int:
        """How many uniform numbers one answer takes: `max_new_tokens` for random decoding, else 0."""
        return self.decoding.max_new_tokens if self.decoding.random else 0

    @abstractmethod
    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """One answer per picture.

        Args:
            images: (N, 3, H, W) float32 in pixel units; with noise they may leave [0, 1] and are not clipped.
            uniforms: (N, num_uniforms) in [0, 1), for random decoding only; column t chooses token t.

        Returns:
            N texts, without prompt and special tokens; blank where the scores of a token were not finite.

        Raises:
            ValueError: If images or uniforms do not fit (see `check_inputs`).
        """

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        """Log-probability that the model itself (temperature 1, all tokens) gives each answer and then ends.

        Args:
            images: (N, 3, H, W); the result is differentiable in them.
            answers: N texts.

        Returns:
            (N,), natural logarithms, at most 0.

        Raises:
            NotImplementedError: If the model offers none.
            ValueError: If the answers cannot be written in the model's tokens.
        """
        raise NotImplementedError(f"expected a generator with log_probability, {type(self).__name__} has none")

    def asking(self, prompt: str) -> Self:
        """The same model, asked something else; weights are shared.

        Raises:
            ValueError: If the model does not understand the prompt.
        """
        twin = copy.copy(self)
        twin.prompt = prompt
        return twin

    def describe(self) -> dict[str, Any]:
        """What records keep of the model, as JSON values; "weights" is the SHA-256 of its parameters and buffers."""
        return {
            "name": self.name,
            "prompt": self.prompt,
            "decoding": self.decoding.to_row(),
            "weights": weights_digest(self),
        }

    def check_inputs(self, images: Tensor, uniforms: Tensor | None) -> None:
        """Checks the arguments of `generate`.

        Raises:
            ValueError: If images are not (N, 3, H, W), or uniforms are missing or not (N, num_uniforms).
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"expected images of shape (N, 3, H, W), got {tuple(images.shape)}")
        if not self.decoding.random:
            return
        expected = (len(images), self.num_uniforms)
        if uniforms is None or tuple(uniforms.shape) != expected:
            found = None if uniforms is None else tuple(uniforms.shape)
            raise ValueError(
                f"expected uniforms of shape {expected} for random decoding (temperature "
                f"{self.decoding.temperature}), got {found}; give num_uniforms numbers in [0, 1) per picture"
            )


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a module's state, whatever device it is on."""
    return state_digest(module.state_dict())
