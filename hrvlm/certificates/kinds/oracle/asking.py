"""Answers of models to pictures, by address; a model may be asked another question about every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from hrvlm.certificates.noise.gaussian import uniform
from hrvlm.models import inference_copy

G = TypeVar("G")


class Answering(Protocol):
    """A model that answers in words, see `hrvlm.generative.Generator`."""

    @property
    def num_uniforms(self) -> int:
        """Uniform numbers that the decoding of one answer takes; 0 if it is greedy."""

    def generate(self, images: Tensor, uniforms: Tensor | None = None) -> list[str]:
        """One answer per image."""


@runtime_checkable
class AnsweringByImage(Protocol):
    """A model that is asked another question about every image, see `hrvlm.generative.questioned`."""

    def about(self, index: int) -> Answering:
        """The model that answers about an image, by its dataset index; one object for one question."""


def ready(generator: G) -> G:
    """The generator as it gives many answers: an inference copy where it is a module."""
    return inference_copy(generator) if isinstance(generator, nn.Module) else generator


def answers_at(
    generator: Answering | AnsweringByImage, images: Tensor, addresses: Sequence[tuple[int, range]], seed: int
) -> list[str]:
    """Answers on images, each decoded with the random numbers of its address.

    Args:
        generator: the model; of one that differs by image, all images with the same question are asked together.
        images: `(B, 3, H, W)`.
        addresses: dataset indices and their draws, B in all.
        seed: seed of the random numbers.
    """
    if isinstance(generator, AnsweringByImage):
        return _answers_by_image(generator, images, addresses, seed)
    size = generator.num_uniforms
    if not size:
        return generator.generate(images)
    uniforms = torch.cat([uniform(size, seed, index, draws) for index, draws in addresses])
    return generator.generate(images, uniforms.to(images.device))


def _answers_by_image(
    generator: AnsweringByImage, images: Tensor, addresses: Sequence[tuple[int, range]], seed: int
) -> list[str]:
    """The same, question by question."""
    asked: dict[int, tuple[Answering, list[tuple[int, range]], list[int]]] = {}
    begin = 0
    for index, draws in addresses:
        answering = generator.about(index)
        _, some, places = asked.setdefault(id(answering), (answering, [], []))
        some.append((index, draws))
        places += range(begin, begin + len(draws))
        begin += len(draws)
    answers = [""] * begin
    for answering, some, places in asked.values():
        for place, answer in zip(places, answers_at(answering, images[places], some, seed), strict=True):
            answers[place] = answer
    return answers
