"""Captions by open_clip's CoCa models (Contrastive Captioners, arXiv 2205.01917, section 3.2).

open_clip's own `generate` draws from torch's global stream, chooses beam search by default, takes the token 0 (the
letter "!") for padding, hence for an end, and does not run with transformers 5, which has no beam search scorer any
more. Here the model's own forward pass gives the logits and tokens are chosen as `Decoding` says, without that package;
greedy answers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import open_clip
import torch
from torch import Tensor

from hrvlm.generative.decoding import NO_TOKEN, Decoding, choose_tokens
from hrvlm.generative.generator import Generator
from hrvlm.generative.teacher_forcing import answer_log_probability, check_answers, target_tokens
from hrvlm.models import VisionLanguageModel
from hrvlm.models.building import from_open_clip
from hrvlm.models.checkpoint import UNTRAINED


class CoCaGenerator(Generator):
    """A CoCa model that goes on with the words of its prompt.

    CoCa was trained on captions, not on instructions: the prompt is the beginning of the caption ("a picture of"), or
    empty, and the answer is what follows it.
    """

    def __init__(self, model: VisionLanguageModel, *, prompt: str, decoding: Decoding) -> None:
        """Wraps a model.

        Args:
            model: Pixel interface around an `open_clip.CoCa` with open_clip's own tokenizer.
            prompt: How the caption begins.
            decoding: How tokens are chosen.

        Raises:
            ValueError: For another kind of model or tokenizer, or if prompt and answer are longer than its context.
        """
        super().__init__(name=model.name, prompt=prompt, decoding=decoding)
        if not isinstance(model.clip, open_clip.CoCa) or not isinstance(model.tokenizer, open_clip.SimpleTokenizer):
            kinds = f"{type(model.clip).__name__} with {type(model.tokenizer).__name__}"
            raise ValueError(f"expected an open_clip CoCa with open_clip's SimpleTokenizer, got {kinds}")
        self.model = model
        self.tokenizer = model.tokenizer
        self.start = self._begins_with(prompt)
        self.end = self.tokenizer.eot_token_id
        self.context_length = min(model.clip.context_length, model.clip.text.context_length)
        self._check_length(decoding.max_new_tokens - 1, "decoding.max_new_tokens - 1")

    @torch.no_grad()
    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """See `Generator.generate`; resizing and normalisation are the model's own, without clipping."""
        self.check_inputs(images, uniforms)
        embeddings = self._embed(images)
        tokens = torch.tensor(self.start, device=images.device).expand(len(images), -1)
        ended = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        lost = ended.clone()
        for step in range(self.decoding.max_new_tokens):
            logits = self._logits(embeddings, tokens)[:, -1]
            numbers = uniforms[:, step].to(logits.device) if uniforms is not None and self.decoding.random else None
            chosen = choose_tokens(logits, self.decoding, numbers).masked_fill(ended, self.end)
            lost = lost | (chosen == NO_TOKEN)
            chosen = chosen.masked_fill(lost, self.end)
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
            ended = ended | (chosen == self.end)
            if bool(ended.all()):
                break
        self.lost.add(lost)
        answers = tokens[:, len(self.start) :].masked_fill(lost[:, None], self.end)
        return [self._text(row) for row in answers.tolist()]

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        """See `Generator.log_probability`; an answer is a continuation of the prompt.

        Raises:
            ValueError: If there is not one answer per picture, or an answer is longer than the model's context.
        """
        check_answers(answers, len(images))
        targets = target_tokens([self.tokenizer.encode(answer) for answer in answers]).to(images.device)
        self._check_length(targets.shape[1] - 1, "the longest answer")
        start = torch.tensor(self.start, device=images.device).expand(len(images), -1)
        tokens = torch.cat([start, targets[:, :-1].clamp(min=0)], dim=1)  # what follows an end changes nothing before
        logits = self._logits(self._embed(images), tokens)[:, len(self.start) - 1 :]
        return answer_log_probability(logits, targets, [self.end])

    def asking(self, prompt: str) -> Self:
        """See `Generator.asking`; the caption begins with the prompt."""
        twin = super().asking(prompt)
        twin.start = self._begins_with(prompt)
        twin._check_length(self.decoding.max_new_tokens - 1, "decoding.max_new_tokens - 1")
        return twin

    def _begins_with(self, prompt: str) -> list[int]:
        return [self.tokenizer.sot_token_id, *self.tokenizer.encode(prompt)]

    def _embed(self, images: Tensor) -> dict[str, Tensor]:
        output = self.model.clip(self.model.preprocess(images))
        return {"image_latent": output["image_features"], "image_embs": output["image_embs"]}

    def _logits(self, embeddings: dict[str, Tensor], tokens: Tensor) -> Tensor:
        logits: Tensor = self.model.clip(None, tokens, **embeddings, output_labels=False)["logits"]
        return logits

    def _text(self, tokens: list[int]) -> str:
        spoken = tokens[: tokens.index(self.end)] if self.end in tokens else tokens
        text: str = self.tokenizer.decode([token for token in spoken if token != self.start[0]])
        return text.strip()

    def _check_length(self, count: int, what: str) -> None:
        room = self.context_length - len(self.start)
        if count > room:
            raise ValueError(
                f"expected {what} to be at most {room} tokens (context of {self.context_length} less the start and "
                f"the prompt {self.prompt!r}), got {count}; shorten it or the prompt"
            )


def load_coca(name: str, pretrained: str | None, *, prompt: str | None, decoding: Decoding) -> CoCaGenerator:
    """Loads a CoCa model of open_clip's list, in evaluation mode.

    Args:
        name: For example "coca_ViT-B-32".
        pretrained: For example "laion2b_s13b_b90k" (downloaded by open_clip); "none" or None leaves it untrained.
        prompt: How the caption begins; None for an empty beginning.
        decoding: How tokens are chosen.

    Raises:
        ValueError: For an unknown name or tag, another kind of model, or if the weights cannot be loaded.
    """
    config = open_clip.get_model_config(name) or {}
    if "multimodal_cfg" not in config or "hf_model_name" in config["text_cfg"]:
        known = ", ".join(model for model in open_clip.list_models() if model.startswith("coca_"))
        raise ValueError(f"expected an open_clip CoCa with open_clip's own tokenizer (of {known}), got {name!r}")
    tag = None if pretrained == UNTRAINED else pretrained
    model = from_open_clip(name, tag)
    return CoCaGenerator(model, prompt=prompt or "", decoding=decoding)
