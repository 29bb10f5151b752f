"""Hugging Face models that answer about pictures (LLaVA, Qwen-VL, SmolVLM and others of the Auto classes)."""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from hrvlm.generative.decoding import Decoding
from hrvlm.generative.generator import Generator
from hrvlm.generative.teacher_forcing import answer_log_probability, check_answers, target_tokens
from hrvlm.generative.transformers_files import DeviceMap, Dtype, read_pretrained, require_transformers
from hrvlm.generative.transformers_inputs import CAUSAL_TYPES, QuestionInputs
from hrvlm.generative.transformers_pixels import PixelPath
from hrvlm.generative.transformers_prefix import TextPrefix, text_before_picture
from hrvlm.generative.transformers_prompt import PROCESSOR_FILES, ForeignFileError, question_about
from hrvlm.generative.transformers_tokens import AddressedChoice, end_tokens, pad_token

DEFAULT_PROMPT = "Describe the picture in one sentence."
MEND = "leave reuse_prefix out"


class TransformersGenerator(Generator):
    """A transformers image-text-to-text model with its processor.

    Pictures go through the model's own image processing as floating-point tensors (see `PixelPath`). The decoding is
    `decoding` alone: sampling settings and penalties that were saved with the model are not used.
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
        self.inputs = QuestionInputs(processor, self.question, self.pixels, model)
        self.ends = end_tokens(model, self.tokenizer)
        self.pad = pad_token(model, self.tokenizer, self.ends)
        self.looks_ahead, self.reuses_prefix = False, False
        self._prefixes: dict[tuple[int, ...], TextPrefix] = {}
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
        self._keeps = "logits_to_keep" in inspect.signature(type(model).forward).parameters

    @torch.no_grad()
    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """See `Generator.generate`."""
        self.check_inputs(images, uniforms)
        inputs = self.inputs(images, self.model.device)
        length = inputs["input_ids"].shape[1]
        choice = AddressedChoice(self.decoding, uniforms if self.decoding.random else None, length, self.ends)
        if self.reuses_prefix:
            inputs |= self._prefix(inputs["input_ids"])
        tokens = self.model.generate(**inputs, generation_config=self._settings, logits_processor=self._list([choice]))
        lost = torch.zeros(len(images), dtype=torch.bool) if choice.lost is None else choice.lost
        self.lost.add(lost)
        answers = zip(lost.tolist(), tokens[:, length:].tolist(), strict=True)
        return ["" if none else self._text(row) for none, row in answers]

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        """See `Generator.log_probability`; with several end tokens, any of them ends the answer.

        Raises:
            ValueError: If there is not one answer per picture, if images need a gradient that the model's image
                processing does not pass on, or if the model's tokens see those that follow.
        """
        check_answers(answers, len(images))
        if self.looks_ahead:
            raise ValueError(
                f"expected a model whose tokens see only what came before, got {type(self.model).__name__}, which sees "
                "the whole answer at once, so it gives no log-probability; attack without gradients"
            )
        encoded = [self.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
        targets = target_tokens(encoded).to(self.model.device)
        inputs = self.inputs(images, self.model.device)
        if images.requires_grad and torch.is_grad_enabled() and not inputs["pixel_values"].requires_grad:
            raise ValueError(
                f"expected image processing with gradients, got {type(self.processor.image_processor).__name__}, which "
                "passes none on; use a torchvision-based (fast) image processor, or attack without gradients"
            )
        logits = self._logits(inputs, images.shape[2:], targets[:, :-1].clamp(min=0))
        return answer_log_probability(logits, targets.to(logits.device), self.ends).to(images.device)

    def asking(self, prompt: str) -> Self:
        """See `Generator.asking`."""
        twin = super().asking(prompt)
        twin.question = question_about(self.processor, prompt)
        twin.inputs = QuestionInputs(self.processor, twin.question, self.pixels, self.model)
        return twin

    def describe(self) -> dict[str, Any]:
        """See `Generator.describe`; "weights" is of the parameters in memory, in the type they compute in."""
        return super().describe() | {
            "model_type": self.model.config.model_type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "question": self.question,
            "image_processor": json.loads(self.processor.image_processor.to_json_string()),
            **({"reuses_prefix": True} if self.reuses_prefix else {}),
        }

    @torch.no_grad()
    def reuse_prefix(self, size: tuple[int, int] = (32, 32)) -> None:
        """From now on computes keys and values of the text before the picture once, and not for every noisy copy.

        Raises:
            ValueError: If there is no such text, or the model reads it in the light of the picture.
        """
        inputs = self.inputs(torch.linspace(0, 1, 3 * size[0] * size[1]).view(1, 3, *size), self.model.device)
        told = {"generation_config": copy.copy(self._settings)}
        told["generation_config"].update(output_logits=True, return_dict_in_generate=True, max_new_tokens=2)
        kind = type(self.model).__name__
        marked = hasattr(self.model.config, "image_token_id")
        if not marked or self.model.config.model_type in CAUSAL_TYPES or "cross_attention_mask" in inputs:
            raise ValueError(f"expected a model that reads the text before a picture without it, got {kind}; {MEND}")
        if not text_before_picture(inputs["input_ids"], self.model.config.image_token_id):
            raise ValueError(f"expected text before the picture to reuse, got {self.question[:150]!r}; {MEND}")
        plain = self.model.generate(**inputs, **told).logits[0]
        reused = self.model.generate(**inputs, **self._prefix(inputs["input_ids"]), **told).logits[0]
        if (plain - reused).abs().max() > torch.finfo(self.model.dtype).eps ** 0.5 * plain.abs().max():
            raise ValueError(f"expected the same scores whether text is reused or not, got others of {kind}; {MEND}")
        self._prefixes.clear()
        self.reuses_prefix = True

    def _prefix(self, tokens: Tensor) -> dict[str, Any]:
        """Keys and values of what stands before the picture in questions (N, L), which are all the same."""
        text = tokens[:1, : text_before_picture(tokens, self.model.config.image_token_id)]
        if not text.numel():  # asked something that begins with the picture
            return {}
        found = tuple(text[0].tolist())
        if found not in self._prefixes:
            self._prefixes[found] = TextPrefix(self.model, text)
        return self._prefixes[found].rows(len(tokens))

    def _logits(self, inputs: dict[str, Tensor], size: torch.Size, spoken: Tensor) -> Tensor:
        """Scores (N, T + 1, V) of the tokens after the question and after each of spoken (N, T).

        Scores of all the tokens of a picture would fill more memory than the model.
        """
        count = spoken.shape[1] + 1
        kept = {"logits_to_keep": count} if self._keeps else {}
        followed = self.inputs.followed(inputs, size, spoken)
        logits: Tensor = self.model(**followed, use_cache=False, **kept).logits
        return logits[:, -count:]

    @torch.no_grad()
    def try_out(self, size: tuple[int, int] = (32, 32)) -> None:
        """Asks the question about a blank picture, with two answers that differ in their second token.

        Raises:
            ForeignFileError: If processor and model do not work together.
        """
        pictures = torch.zeros(2, 3, *size, device=self.model.device)
        try:
            prompt = self.inputs.prompt(pictures.shape[2:])
        except Exception as error:  # processors raise many kinds for settings that they lack
            raise ForeignFileError(
                f"expected a processor that takes a question and a picture, got {_line(error)}", PROCESSOR_FILES
            ) from error
        end = self.ends[0]
        words = self.tokenizer("yes no", add_special_tokens=False)["input_ids"]
        other = next((word for word in words if word != end), end)
        answers = torch.tensor([[other, end], [other, other]], device=self.model.device)
        try:
            logits = self._logits(self.inputs(pictures, self.model.device), pictures.shape[2:], answers)[:, :2]
        except Exception as error:
            pieces = int(prompt["input_ids"].shape[1])
            raise ForeignFileError(
                f"expected a processor that fits its model, got, for a question of {pieces} tokens about a blank "
                f"picture, {_line(error)}",
                PROCESSOR_FILES,
            ) from error
        rounding = torch.finfo(logits.dtype).eps ** 0.5 * logits.abs().max()
        self.looks_ahead = bool((logits[0] - logits[1]).abs().max() > rounding)

    def _text(self, tokens: list[int]) -> str:
        end = next((place for place, token in enumerate(tokens) if token in self.ends), len(tokens))
        text: str = self.tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()


def load_transformers(
    path: str | Path,
    *,
    prompt: str | None,
    decoding: Decoding,
    dtype: Dtype = "float32",
    device_map: DeviceMap = None,
    reuse_prefix: bool = False,
) -> TransformersGenerator:
    """Loads a model with its processor, in evaluation mode.

    Args:
        path: A folder written by `save_pretrained` of model and processor (nothing is downloaded), or a name on the
            hub. Weights are read from safetensors only and no code that comes with a model is run.
        prompt: What it is asked; None for a request to describe the picture.
        decoding: How tokens are chosen.
        dtype: "float32", "bfloat16", "float16", or "auto" for the type of the files. Below float32 answers may change
            with the batch size.
        device_map: See `read_pretrained`.
        reuse_prefix: Whether keys and values of the text before the picture are computed once for all pictures.

    Raises:
        ValueError: If transformers is not installed, files are missing, damaged or do not fit each other, or the model
            is none that answers about pictures. A question about a blank picture is tried out.
    """
    model, processor = read_pretrained(path, dtype=dtype, device_map=device_map)
    question = DEFAULT_PROMPT if prompt is None else prompt
    name = os.path.basename(os.path.realpath(path)) if Path(path).is_dir() else str(path)
    try:
        generator = TransformersGenerator(model, processor, name=name, prompt=question, decoding=decoding).eval()
        generator.try_out()
        if reuse_prefix:
            generator.reuse_prefix()
    except ForeignFileError as error:
        raise error.located(path) from error
    return generator


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
