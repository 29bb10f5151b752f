"""A language model that judges answers: a fixed question about each answer, whose reply names a class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hrvlm.generative.decoding import Decoding
from hrvlm.generative.generator import weights_digest
from hrvlm.generative.oracles.base import MAX_CHARACTERS, Oracle, checked_count, checked_text
from hrvlm.generative.oracles.embedders import CACHE_SIZE
from hrvlm.generative.oracles.exact import ExactOracle
from hrvlm.generative.oracles.optional import load_text_model
from hrvlm.generative.transformers_tokens import AddressedChoice, end_tokens
from hrvlm.models import inferring, one_thread

PLACE = "{answer}"


class JudgeOracle(Oracle):
    """The class that a text model of transformers names when it is asked about an answer.

    Rule. The answer stands in the place of "{answer}" in a fixed question; the model replies greedily, and the label is
    the one class that the reply names (see `ExactOracle`); a reply that names none or several is unparseable. Every
    distinct answer is judged once, alone, so that no label depends on a batch, and remembered.

    The model reads what it judges: an answer may hold words that talk it into a verdict (prompt injection). That is an
    error of the oracle like any other. The composite certificate is about the judge's verdict all the same; the
    semantic one takes the error off, as far as it was calibrated on answers like those that are certified.
    """

    def __init__(
        self,
        path: str,
        *,
        question: str,
        classes: Sequence[str],
        synonyms: Mapping[str, Sequence[str]] | None = None,
        max_new_tokens: int = 8,
        name: str = "judge",
        max_characters: int = MAX_CHARACTERS,
        device: str = "cpu",
        dtype: str = "float32",
        cache_size: int = CACHE_SIZE,
    ) -> None:
        """Loads model and tokenizer.

        Args:
            path: Folder written by `save_pretrained` of a causal language model with safetensors and its tokenizer; no
                code of it is run. A chat template, if there is one, gets the question as the user's message.
            question: What the model is asked; it holds "{answer}" once and should say which words to reply with.
            classes: What the reply may name, for example [yes, no].
            synonyms: Further words for some of the classes.
            max_new_tokens: Longest reply.
            name: See `Oracle`.
            max_characters: See `Oracle`.
            device: Of PyTorch.
            dtype: "float32", "bfloat16", "float16" or "auto".
            cache_size: Answers remembered.

        Raises:
            ValueError: If package, folder or files are missing or damaged, the model names no end token, the question
                does not hold "{answer}" once, or classes are not distinct.
        """
        self._reader = ExactOracle(classes, synonyms=synonyms)
        super().__init__(name, self._reader.classes[:-1], max_characters)
        if checked_text("question", question).count(PLACE) != 1:
            raise ValueError(f"expected a question with {PLACE} once, where the answer goes, got {question!r}")
        self.question, self.device = question, torch.device(device)
        self.cache_size = checked_count("cache_size", cache_size)
        self.decoding = Decoding(max_new_tokens=checked_count("max_new_tokens", max_new_tokens))
        self._tokenizer, self._model = load_text_model("AutoModelForCausalLM", path, "a language model", dtype=dtype)
        self._model.to(self.device)
        self._ends = end_tokens(self._model, self._tokenizer)
        self._model.generation_config = self._settings()  # penalties that were saved with it would fill in else
        self._digest = weights_digest(self._model)
        self._before, self._after = self._asked().split(PLACE)
        self._special = _special_texts(self._tokenizer)
        self._verdicts: OrderedDict[str, int] = OrderedDict()

    def describe(self) -> dict[str, Any]:
        """See `Oracle`; adds question, weights and how replies are read."""
        return super().describe() | {
            "rule": "the one class that the greedy reply names",
            "question": self._before + PLACE + self._after,
            "synonyms": self._reader.describe()["synonyms"],
            "max_new_tokens": self.decoding.max_new_tokens,
            "weights": self._digest,
            "dtype": str(self._model.dtype).removeprefix("torch."),
        }

    def reply(self, answer: str) -> str:
        """What the model replies when it is asked about an answer.

        Raises:
            RuntimeError: If question and answer are too long for it, or its scores are not finite.
        """
        text = self._before + without(answer, self._special) + self._after
        templated = self._tokenizer.chat_template is not None  # which writes the first token itself
        tokens = self._tokenizer(text, return_tensors="pt", add_special_tokens=not templated)["input_ids"]
        length = tokens.shape[1]
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room is not None and length + self.decoding.max_new_tokens > room:
            raise RuntimeError(f"expected a question of at most {room} tokens with its reply, got {length} before it")
        choice = AddressedChoice(self.decoding, None, length, self._ends)
        tokens = tokens.to(self.device)
        with one_thread(), inferring(self._model):
            found = self._model.generate(
                input_ids=tokens, attention_mask=torch.ones_like(tokens), logits_processor=[choice],
                generation_config=self._model.generation_config,
            )  # fmt: skip
        if choice.lost is not None and bool(choice.lost.any()):
            raise RuntimeError("expected finite scores of the judge's words, got NaN or infinity")
        return str(self._tokenizer.decode(found[0, length:], skip_special_tokens=True)).strip()

    def _label_texts(self, texts: Sequence[str]) -> list[int | None]:
        return [self._verdict(text) for text in texts]

    def _verdict(self, text: str) -> int:
        if text not in self._verdicts:
            self._verdicts[text] = self._reader.labels([self.reply(text)])[0]
            if len(self._verdicts) > self.cache_size:
                self._verdicts.popitem(last=False)
        self._verdicts.move_to_end(text)
        return self._verdicts[text]

    def _asked(self) -> str:
        """The question as the model is shown it, with the place of the answer."""
        if self._tokenizer.chat_template is None:
            return self.question
        message = [{"role": "user", "content": self.question}]
        try:
            asked = str(self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # templates are programs and raise what they like
            raise ValueError(f"expected a chat template that takes a message of the user, got {error}") from error
        if asked.count(PLACE) != 1:
            raise ValueError(f"expected a chat template that shows the question once, got {asked[:200]!r}")
        return asked

    def _settings(self) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            do_sample=False, num_beams=1, max_new_tokens=self.decoding.max_new_tokens, eos_token_id=self._ends,
            pad_token_id=self._ends[0],
        )  # fmt: skip


def without(text: str, marks: Sequence[str]) -> str:
    """A text with a space in the place of every mark: an answer must not end the question it stands in."""
    while any(mark in text for mark in marks):
        for mark in marks:
            text = text.replace(mark, " ")
    return text


def _special_texts(tokenizer: Any) -> list[str]:
    """Texts that a tokenizer reads as tokens of control, those without anything but spaces left out."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return sorted(
        {text for text in (*tokenizer.all_special_tokens, *added) if text.strip()}, key=lambda t: (-len(t), t)
    )
