"""What a transformers model is given: one question, tokenised once for all pictures of a size, and noisy pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hrvlm.generative.transformers_pixels import PixelPath

CAUSAL_TYPES = {"paligemma": 1}
"""Types of tokens behind a question, where those of type 0 see each other in both directions."""


class QuestionInputs:
    """One question about many pictures.

    Pictures of one call have one size, so their questions have one length and need no padding. Whatever an image
    processor makes of N pictures stays as it is: tiles (N, T, 3, h, w) with masks and sizes, or patches of all pictures
    behind each other with their grids. Tokens and masks of the question are those of one picture, repeated along their
    first axis.
    """

    def __init__(self, processor: Any, question: str, pixels: PixelPath, model: Any) -> None:
        """Takes what AutoProcessor gives, the whole text with the place of the picture, and the model."""
        self.processor, self.question, self.pixels = processor, question, pixels
        self.dtype: torch.dtype = model.dtype
        self.answer_type = CAUSAL_TYPES.get(model.config.model_type, 0)
        self._prompts: dict[tuple[int, int], dict[str, Tensor]] = {}

    def __call__(self, images: Tensor, device: torch.device) -> dict[str, Tensor]:
        """All that the model is given, for images (N, 3, H, W); they become its type of numbers once normalised."""
        inputs = {
            key: value.to(device).repeat(len(images), *[1] * (value.dim() - 1))
            for key, value in self.prompt(images.shape[2:]).items()
        }
        for key, value in self.pixels(images).items():
            if isinstance(value, Tensor):  # what else an image processor counts is for its own processor
                inputs[key] = value.to(device, self.dtype if value.is_floating_point() else value.dtype)
        return inputs

    def followed(self, inputs: dict[str, Tensor], size: torch.Size, tokens: Tensor) -> dict[str, Tensor]:
        """The same with answers behind the question.

        Args:
            inputs: Of N pictures.
            size: Height and width of the pictures.
            tokens: int64 (N, T).
        """
        more = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        more["token_type_ids"] = torch.full_like(tokens, self.answer_type)
        return inputs | {
            key: torch.cat([inputs[key], more.get(key, _after(inputs[key], tokens))], dim=1)
            for key in self.prompt(size)
        }

    def prompt(self, size: torch.Size) -> dict[str, Tensor]:
        """Tokens (1, L) and their masks for a picture of this size; how many stand for it depends on nothing else."""
        key = (int(size[0]), int(size[1]))
        if key not in self._prompts:
            blank = torch.zeros(1, 3, *key)
            images = {"input_data_format": "channels_first"}
            tokenizer = self.processor.tokenizer
            begins = getattr(tokenizer, "bos_token", None) and self.question.startswith(tokenizer.bos_token)
            text = {"add_special_tokens": not begins}  # a chat template may write the first token itself
            inputs = self.processor(
                text=[self.question], images=[[blank[0]]], return_tensors="pt", images_kwargs=images, text_kwargs=text
            )
            drawn = {*self.pixels(blank), "labels"}
            self._prompts[key] = {name: value for name, value in inputs.items() if name not in drawn}
        return self._prompts[key]


def _after(given: Tensor, tokens: Tensor) -> Tensor:
    """What goes on beside an answer (N, T): zeros, or, for masks of more axes, what the question's last token has."""
    if given.dim() == 2:
        return torch.zeros_like(tokens)
    return given[:, -1:].expand(-1, tokens.shape[1], *given.shape[2:])
