"""The question put to a transformers model, through the chat template that came with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


class ForeignFileError(ValueError):
    """What a model came with does not work; says what, and which files may say so."""

    def __init__(self, problem: str, files: Sequence[str]) -> None:
        """Takes the problem in words and names of files, the likeliest first."""
        super().__init__(problem)
        self.files = files

    def located(self, path: str | Path) -> ValueError:
        """The same with the path of the first of its files that is there."""
        found = next((Path(path) / name for name in self.files if (Path(path) / name).is_file()), path)
        return ValueError(f"{self}; see {found}")


def question_about(processor: Any, prompt: str) -> str:
    """The whole text with the place of the picture.

    Templates take a message's parts as a list, or a message as one text: what gives one picture is used.

    Args:
        processor: What AutoProcessor gives.
        prompt: What is asked, put into the processor's chat template if there is one; else after the image token. A
            prompt that holds the image token is taken as it is.

    Raises:
        ValueError: If the prompt does not hold one image.
        ForeignFileError: If the chat template fails or leaves the picture out.
    """
    token = str(getattr(processor, "image_token", "<image>"))
    if token in prompt or not getattr(processor, "chat_template", None):
        question = prompt if token in prompt else f"{token}\n{prompt}"
        if question.count(token) != 1:
            raise ValueError(
                f"expected a prompt with one picture ({token}), got {question.count(token)} in {question!r}"
            )
        return question
    problems = []
    for content in ([{"type": "image"}, {"type": "text", "text": prompt}], f"{token}\n{prompt}"):
        try:
            question = str(
                processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            )
        except Exception as error:  # templates are programs: they raise what they like
            problems.append(" ".join(f"{type(error).__name__}: {error}".split())[:150])
            continue
        if question.count(token) == 1:
            return question
        problems.append(f"{question.count(token)} pictures in {question[:150]!r}")
    raise ForeignFileError(
        f"expected a chat template that puts one picture ({token}) into a question, got "
        f"{' and, for plain text, '.join(problems)}",
        TEMPLATE_FILES,
    )
