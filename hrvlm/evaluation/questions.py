"""What a model that answers in words is asked where every image has a question of its own."""

from __future__ import annotations

from typing import Any

from hrvlm.data.questions import Question, questions_of
from hrvlm.evaluation.answer_options import AnswerOptions
from hrvlm.generative import Generator
from hrvlm.generative.questioned import Questioned
from hrvlm.models import inference_copy


def asked_of(data: Any, options: AnswerOptions) -> list[Question] | None:
    """The questions of a manifest; None where one prompt serves all images.

    Raises:
        ValueError: If options say what the manifest says already.
    """
    asked = questions_of(data)
    twice = [name for name in ("prompt", "references") if getattr(options, name) is not None]
    if asked is not None and twice:
        raise ValueError(f"expected no {' and '.join(twice)} in answers: the manifest has those of every image")
    return asked


def without_questions(data: Any) -> Any:
    """The same pictures.

    Raises:
        ValueError: If every one has a question of its own.
    """
    if questions_of(data) is not None:
        raise ValueError("expected pictures with one prompt for all of them, got a manifest of questions")
    return data


def answering_about(generator: Generator, asked: list[Question] | None) -> Generator | Questioned:
    """The model as it is asked about images.

    Raises:
        ValueError: If it does not understand a prompt.
    """
    return generator if asked is None else Questioned(inference_copy(generator), [each.prompt for each in asked])


def described_generator(generator: Generator, asked: list[Question] | None) -> dict[str, Any]:
    """What records keep of the model; no prompt where every image has its own."""
    return generator.describe() | ({} if asked is None else {"prompt": None})
