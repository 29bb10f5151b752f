"""Hugging Face models that answer about pictures (LLaVA, Qwen-VL, SmolVLM and others of the Auto classes)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from hrvlm.generative.decoding import NO_TOKEN, Decoding, choose_tokens
from hrvlm.generative.generator import Generator
from hrvlm.generative.teacher_forcing import answer_log_probability, check_answers, target_tokens
from hrvlm.generative.transformers_files import read_pretrained, require_transformers
from hrvlm.generative.transformers_pixels import PixelPath
from hrvlm.generative.transformers_prompt import PROCESSOR_FILES, ForeignFileError, question_about

DEFAULT_PROMPT = "Describe the picture in one sentence."


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


class TransformersGenerator(Generator):
    """A transformers image-text-to-text model with its processor.

    Pictures go through the model's own image processing as floating-point tensors (see `PixelPath`). The decoding is
    `decoding` alone: sampling settings and penalties that were saved with the model are not used. Pictures of one call
    have one size, so their prompts have one length and need no padding.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, prompt: str, decoding: Decoding) -> None:
        """Wraps a model.

        Args:
            model: What AutoModelForImageTextToText gives.
            processor: What AutoProcessor gives for it.
            name: What to call it in records.
            prompt: What it is asked, put into the processor's chat template if there is one; else after the image
                token. A prompt that holds the image token is taken as it is.
            decoding: How tokens are chosen.

        Raises:
            ValueError: If the image processor clips or rounds, the prompt does not hold one image, or the model has no
                end token.
        """
        super().__init__(name=name, prompt=prompt, decoding=decoding)
        self.model, self.processor, self.tokenizer = model, processor, processor.tokenizer
        self.pixels = PixelPath(processor.image_processor)
        self.pixels.check()
        self.question = question_about(processor, prompt)
        self.ends = end_tokens(model, self.tokenizer)
        self.pad = _pad_token(model, self.tokenizer, self.ends)
        library = require_transformers()
        self._list = library.LogitsProcessorList
        self._settings = library.GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=decoding.max_new_tokens,
            eos_token_id=self.ends,
            pad_token_id=self.pad,
        )
        model.generation_config = self._settings  # what it says otherwise fills in what is not set
        self._prompts: dict[tuple[int, int], dict[str, Tensor]] = {}

    @torch.no_grad()
    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """See `Generator.generate`."""
        self.check_inputs(images, uniforms)
        inputs = self._inputs(images)
        length = inputs["input_ids"].shape[1]
        choice = AddressedChoice(self.decoding, uniforms if self.decoding.random else None, length, self.ends)
        tokens = self.model.generate(**inputs, generation_config=self._settings, logits_processor=self._list([choice]))
        lost = torch.zeros(len(images), dtype=torch.bool) if choice.lost is None else choice.lost
        self.lost.add(lost)
        answers = zip(lost.tolist(), tokens[:, length:].tolist(), strict=True)
        return ["" if none else self._text(row) for none, row in answers]

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        """See `Generator.log_probability`; with several end tokens, any of them ends the answer.

        Raises:
            ValueError: If there is not one answer per picture, or if images need a gradient that the model's image
                processing does not pass on.
        """
        check_answers(answers, len(images))
        encoded = [self.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
        targets = target_tokens(encoded).to(images.device)
        inputs = self._inputs(images)
        if images.requires_grad and torch.is_grad_enabled() and not inputs["pixel_values"].requires_grad:
            raise ValueError(
                f"expected image processing with gradients, got {type(self.processor.image_processor).__name__}, which "
                "passes none on; use a torchvision-based (fast) image processor, or attack without gradients"
            )
        length = inputs["input_ids"].shape[1]
        spoken = targets[:, :-1]
        follow = {"input_ids": spoken.masked_fill(spoken < 0, self.pad), "attention_mask": torch.ones_like(spoken)}
        for key in self._prompt(images.shape[2:]):
            inputs[key] = torch.cat([inputs[key], follow.get(key, _after(inputs[key], spoken))], dim=1)
        logits = self.model(**inputs, use_cache=False).logits[:, length - 1 :]
        return answer_log_probability(logits, targets, self.ends)

    def asking(self, prompt: str) -> Self:
        """See `Generator.asking`."""
        twin = super().asking(prompt)
        twin.question, twin._prompts = question_about(self.processor, prompt), {}
        return twin

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`; "weights" is of the parameters in memory, in the type they compute in."""
        return super().describe() | {
            "model_type": self.model.config.model_type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "question": self.question,
            "image_processor": json.loads(self.processor.image_processor.to_json_string()),
        }

    def _inputs(self, images: Tensor) -> dict[str, Tensor]:
        """All that the model is given, for images (N, 3, H, W)."""
        prompt = self._prompt(images.shape[2:])
        inputs = {
            key: value.to(images.device).repeat(len(images), *[1] * (value.dim() - 1)) for key, value in prompt.items()
        }
        for key, value in self.pixels(images).items():
            if isinstance(value, Tensor):  # what else an image processor counts is for its own processor
                inputs[key] = value.to(self.model.dtype) if value.is_floating_point() else value
        return inputs

    def _prompt(self, size: torch.Size) -> dict[str, Tensor]:
        """Tokens (1, L) and their masks for a picture of this size; how many stand for it depends on nothing else."""
        key = (int(size[0]), int(size[1]))
        if key not in self._prompts:
            blank = torch.zeros(1, 3, *key)
            images = {"input_data_format": "channels_first"}
            begins = getattr(self.tokenizer, "bos_token", None) and self.question.startswith(self.tokenizer.bos_token)
            text = {"add_special_tokens": not begins}  # a chat template may write the first token itself
            inputs = self.processor(
                text=[self.question], images=[[blank[0]]], return_tensors="pt", images_kwargs=images, text_kwargs=text
            )
            drawn = self.pixels(blank)
            self._prompts[key] = {name: value for name, value in inputs.items() if name not in drawn}
        return self._prompts[key]

    @torch.no_grad()
    def try_out(self, size: tuple[int, int] = (32, 32)) -> None:
        """Asks the question about a blank picture, for one step.

        Raises:
            ForeignFileError: If processor and model do not work together.
        """
        picture = torch.zeros(1, 3, *size, device=self.model.device)
        try:
            prompt = self._prompt(picture.shape[2:])
        except Exception as error:  # processors raise many kinds for settings that they lack
            raise ForeignFileError(
                f"expected a processor that takes a question and a picture, got {_line(error)}", PROCESSOR_FILES
            ) from error
        try:
            self.model(**self._inputs(picture), use_cache=False)
        except Exception as error:
            pieces = int(prompt["input_ids"].shape[1])
            raise ForeignFileError(
                f"expected a processor that fits its model, got, for a question of {pieces} tokens about a blank "
                f"picture, {_line(error)}",
                PROCESSOR_FILES,
            ) from error

    def _text(self, tokens: list[int]) -> str:
        end = next((place for place, token in enumerate(tokens) if token in self.ends), len(tokens))
        text: str = self.tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()


def load_transformers(
    path: str | Path, *, prompt: str | None, decoding: Decoding, dtype: str = "float32"
) -> TransformersGenerator:
    """Loads a model with its processor, in evaluation mode.

    Args:
        path: A folder written by `save_pretrained` of model and processor (nothing is downloaded), or a name on the
            hub. Weights are read from safetensors only and no code that comes with a model is run.
        prompt: What it is asked; None for a request to describe the picture.
        decoding: How tokens are chosen.
        dtype: "float32", "bfloat16", "float16", or "auto" for the type of the files. Below float32 answers may change
            with the batch size.

    Raises:
        ValueError: If transformers is not installed, files are missing, damaged or do not fit each other, or the model
            is none that answers about pictures. A question about a blank picture is tried out.
    """
    model, processor = read_pretrained(path, dtype=dtype)
    question = DEFAULT_PROMPT if prompt is None else prompt
    name = os.path.basename(os.path.realpath(path)) if Path(path).is_dir() else str(path)
    try:
        generator = TransformersGenerator(model, processor, name=name, prompt=question, decoding=decoding).eval()
        generator.try_out()
    except ForeignFileError as error:
        raise error.located(path) from error
    return generator


def _after(given: Tensor, spoken: Tensor) -> Tensor:
    """What goes on beside an answer (N, T): zeros, or, for masks of more axes, what the question's last token has."""
    if given.dim() == 2:
        return torch.zeros_like(spoken)
    return given[:, -1:].expand(-1, spoken.shape[1], *given.shape[2:])


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer, at least one.

    Raises:
        ValueError: If neither model nor tokenizer names one.
    """
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    if ends is None:
        raise ValueError("expected a model that names its end token, got none in its generation settings and tokenizer")
    return [int(end) for end in ends] if isinstance(ends, Sequence) else [int(ends)]


def _pad_token(model: Any, tokenizer: Any, ends: list[int]) -> int:
    """What follows an answer that has ended."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id, ends[0])
    return int(next(token for token in known if token is not None))
