"""A small captioner: a CLIP image tower, and a transformer decoder that writes one word after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from hrvlm.generative.caption_decoder import CaptionDecoder
from hrvlm.generative.captions import PROMPTS, check_prompt
from hrvlm.generative.decoding import NO_TOKEN, Decoding, choose_tokens
from hrvlm.generative.generator import Generator
from hrvlm.models import VisionLanguageModel, inferring

END = 0
IGNORED = -100  # target of places behind the end, as cross_entropy knows it


class Vocabulary:
    """Words and their numbers; number 0 is the end of an answer.

    Attributes:
        words: The words, from number 1 on.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Keeps the words in the given order.

        Raises:
            ValueError: If a word comes twice, is empty or holds a space.
        """
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(self.words, 1)}
        if len(self._numbers) < len(self.words) or any(word.split() != [word] for word in self.words):
            raise ValueError("expected every word once, not empty and without spaces")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """All words of some texts, sorted."""
        return cls(sorted({word for text in texts for word in text.split()}))

    def __len__(self) -> int:
        return len(self.words) + 1

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's words, without the end.

        Raises:
            ValueError: Naming the words that are not in the vocabulary.
        """
        unknown = sorted({word for word in text.split() if word not in self._numbers})
        if unknown:
            raise ValueError(f"expected words of the captioner's vocabulary in {text!r}, got {', '.join(unknown[:5])}")
        return [self._numbers[word] for word in text.split()]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text up to the end, or whole if it does not end."""
        stop = numbers.index(END) if END in numbers else len(numbers)
        return " ".join(self.words[number - 1] for number in numbers[:stop])


class ImageTokens(nn.Module):
    """Picture tokens: the last feature map of an image tower, and its pooled features as one more token."""

    def __init__(self, model: VisionLanguageModel, width: int) -> None:
        """Takes a copy of the image side of a model.

        Args:
            model: Its tower starts as it is; all of it is trained.
            width: Dimension of a token.
        """
        super().__init__()
        self.tower = model.frozen_image_tower().requires_grad_(True)
        blank = self.tower.mean.new_zeros(1, 3, *self.tower.image_size)
        with torch.no_grad():
            places, pooled = self._features(blank)
        self.num_tokens = places.shape[1] + 1
        self.places, self.pooled = nn.Linear(places.shape[2], width), nn.Linear(pooled.shape[1], width)
        self.norm_places, self.norm_pooled = nn.LayerNorm(places.shape[2]), nn.LayerNorm(pooled.shape[1])

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.tower.clip.visual
        found = visual.forward_intermediates(self.tower.preprocess(images), indices=1)
        return found["image_intermediates"][-1].flatten(2).transpose(1, 2), found["image_features"]

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to tokens (N, num_tokens, width)."""
        places, pooled = self._features(images)
        return torch.cat([self.places(self.norm_places(places)), self.pooled(self.norm_pooled(pooled))[:, None]], 1)


class Captioner(Generator):
    """Answers "describe" and "act" about a picture in the words of its training captions (see `captions`).

    Attributes:
        vocabulary: Its words.
        settings: Sizes of the decoder, with which it can be built again.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        vocabulary: Vocabulary,
        *,
        name: str = "captioner",
        prompt: str = PROMPTS[0],
        decoding: Decoding | None = None,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        context: int = 24,
        dropout: float = 0.0,
    ) -> None:
        """Builds an untrained decoder over a copy of a model's image tower.

        Args:
            model: Gives the image tower; any of open_clip's with a feature map.
            vocabulary: Words that it can say.
            name: What to call it in records.
            prompt: "describe" or "act".
            decoding: How answers are chosen; greedy if None.
            width: See `CaptionDecoder`, also for the rest.
            layers: Number of blocks.
            heads: Number of attention heads.
            context: Longest answer in tokens, its end included.
            dropout: In training.

        Raises:
            ValueError: For an unknown prompt, or sizes that do not fit.
        """
        super().__init__(name=name, prompt=check_prompt(prompt), decoding=decoding or Decoding())
        self.vocabulary = vocabulary
        self.settings: dict[str, Any] = {"width": width, "layers": layers, "heads": heads, "context": context}
        self.image_tokens = ImageTokens(model, width)
        self.decoder = CaptionDecoder(
            vocabulary_size=len(vocabulary),
            num_prompts=len(PROMPTS),
            memory_tokens=self.image_tokens.num_tokens,
            dropout=dropout,
            **self.settings,
        )

    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """One answer per picture; see `Generator.generate`. It ends at the decoder's context at the latest."""
        self.check_inputs(images, uniforms)
        with inferring(self):
            tokens = self._tokens(images, uniforms)
        return [self.vocabulary.decode(row) for row in tokens.tolist()]

    def _tokens(self, images: Tensor, uniforms: Tensor | None) -> Tensor:
        """Token numbers (N, T), END after the end; only END where logits were not finite."""
        logits, cache = self.decoder.start(self.image_tokens(images), self._prompts(images))
        ended = torch.zeros(len(images), dtype=torch.bool, device=logits.device)
        lost, chosen = torch.zeros_like(ended), list[Tensor]()
        for place in range(min(self.decoding.max_new_tokens, self.decoder.context)):
            if place:
                logits = self.decoder.step(chosen[-1], place, cache)
            numbers = uniforms[:, place].to(logits.device) if self.decoding.random and uniforms is not None else None
            found = choose_tokens(logits, self.decoding, numbers).masked_fill(ended, END)
            lost |= found == NO_TOKEN
            chosen.append(found.masked_fill(lost, END))
            ended |= chosen[-1] == END
            if bool(ended.all()):
                break
        self.lost.add(lost)
        return torch.stack(chosen, 1).masked_fill(lost[:, None], END)

    def asking(self, prompt: str) -> Self:
        """See `Generator.asking`."""
        check_prompt(prompt)
        return super().asking(prompt)

    def _prompts(self, images: Tensor) -> Tensor:
        return torch.full((len(images),), PROMPTS.index(self.prompt), device=images.device)

    def targets(self, answers: Sequence[str]) -> Tensor:
        """Token numbers of answers with their ends (N, T), IGNORED behind the end.

        Raises:
            ValueError: If an answer has unknown words, or is longer than the decoder's context.
        """
        rows = [[*self.vocabulary.encode(text), END] for text in answers]
        longest = max(map(len, rows), default=1)
        if longest > self.decoder.context:
            raise ValueError(f"expected answers of at most {self.decoder.context - 1} words, got {longest - 1}")
        padded = [row + [IGNORED] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, device=self.decoder.places.device)

    def log_probability(self, images: Tensor, answers: Sequence[str]) -> Tensor:
        """Log-probability of each answer with its end, differentiable in the images; see `Generator`."""
        if len(answers) != len(images):
            raise ValueError(f"expected one answer per image, got {len(answers)} for {len(images)}")
        targets = self.targets(answers)
        known = targets.clamp(min=END)
        logits = self.decoder(self.image_tokens(images), self._prompts(images), known[:, :-1])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        found = logits.log_softmax(-1).gather(2, known[:, :, None])[:, :, 0]
        return found.masked_fill(targets == IGNORED, 0.0).sum(1)
