"""A model that is asked another question about every image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hrvlm.generative.generator import Generator

_REMEMBERED = 64


class Questioned:
    """Gives the model that answers about an image, asked what the image's prompt says; all share their weights."""

    def __init__(self, generator: Generator, prompts: Sequence[str]) -> None:
        """Tries all prompts.

        Args:
            generator: The model.
            prompts: By the index of the image.

        Raises:
            ValueError: If the model does not understand a prompt.
        """
        self.generator, self.prompts = generator, list(prompts)
        self._asking = lru_cache(_REMEMBERED)(self.generator.asking)
        for prompt in dict.fromkeys(self.prompts):
            self._asking(prompt)

    def about(self, index: int) -> Generator:
        """The model as it is asked about an image."""
        return self._asking(self.prompts[index])
