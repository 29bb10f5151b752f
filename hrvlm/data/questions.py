"""Manifests of questions: pictures, what a model is asked about each of them, and which answers are true or forbidden.

A manifest of pictures (`hrvlm.data.manifest`) with the column "prompt" is one. A picture may stand in several lines,
with another prompt in each: every line is an image of its own to whatever counts images.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlm.data.manifest import SUFFIXES, check_present, manifest_rows
from hrvlm.data.sources.collection import ImageCollection
from hrvlm.data.sources.listed import ListedPictures
from hrvlm.data.sources.opening import IMAGE_SIZE
from hrvlm.geometry.labels import NO_LABEL
from hrvlm.trees.nodes import some

PATH, PROMPT, REFERENCE, FORBIDDEN = "path", "prompt", "reference", "forbidden"
_COLUMNS = (PATH, PROMPT, REFERENCE, FORBIDDEN)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A line of a manifest of questions.

    Attributes:
        path: The picture.
        prompt: What a model is asked about it.
        references: True answers; none where they are not known.
        forbidden: Answers that an attack wants; none where there are none of its own.
    """

    path: Path
    prompt: str
    references: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()


class QuestionedPictures(ListedPictures):
    """The pictures of a manifest of questions, one for each line.

    Attributes:
        questions: The lines.
    """

    def __init__(self, questions: list[Question], *, image_size: int) -> None:
        """Takes the lines; see `ListedPictures`."""
        super().__init__([each.path for each in questions], [NO_LABEL] * len(questions), image_size=image_size)
        self.questions = questions


def asks_questions(source: str) -> bool:
    """Whether a source of pictures is a manifest with a column of prompts.

    Raises:
        ValueError: If it is a manifest that cannot be read.
    """
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    return PROMPT in next((row for _, row in manifest_rows(path)), {})


def read_questions(path: str | Path) -> list[Question]:
    """The lines of a manifest of questions, in its order.

    Args:
        path: A .csv or .tsv file whose first line names the columns, or a .jsonl file of objects: "path" (of the
            picture, relative to the manifest's folder), "prompt", and perhaps "reference" and "forbidden", each an
            answer, or, in .jsonl, a list of answers.

    Raises:
        ValueError: In one sentence, if the manifest is missing, malformed or empty, has unknown columns, names files
            that are not there, or asks the same about a picture twice.
    """
    path = Path(path)
    questions = [_question(path, number, row) for number, row in manifest_rows(path)]
    if not questions:
        raise ValueError(f"expected at least one question in the manifest {path}, got none")
    check_present(path, [each.path for each in questions])
    asked = Counter((str(each.path), each.prompt) for each in questions)
    twice = [f"{file} ({prompt})" for (file, prompt), count in asked.items() if count > 1]
    if twice:
        raise ValueError(f"expected every question once about a picture in {path}, got again: {some(twice, 3)}")
    return questions


def open_questions(source: str, *, split: str | None = None, image_size: int | None = None) -> ImageCollection:
    """The pictures of a manifest of questions, without labels; `questions_of` gives the lines.

    Args:
        source: See `read_questions`.
        split: None; a manifest has none.
        image_size: Side of the pictures, in pixels; None for 224.

    Raises:
        ValueError: See `read_questions`; or if a split is asked for.
    """
    if split is not None:
        raise ValueError(f"expected no split of {source}, which has none, got {split!r}")
    pictures = QuestionedPictures(read_questions(source), image_size=IMAGE_SIZE if image_size is None else image_size)
    return ImageCollection(pictures, name=Path(source).name, labels=pictures.labels())


def questions_of(data: Any) -> list[Question] | None:
    """The questions that go with pictures, by their index; None where they have none."""
    inner = data.data if isinstance(data, ImageCollection) else data
    return inner.questions if isinstance(inner, QuestionedPictures) else None


def questions_digest(questions: list[Question]) -> str:
    """What rows depend on of questions: a SHA-256 of prompts and answers, in their order."""
    told = [[each.prompt, each.references, each.forbidden] for each in questions]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _question(manifest: Path, number: int, row: Mapping[str, Any]) -> Question:
    where = f"line {number} of {manifest}"
    unknown, lacking = [key for key in row if key not in _COLUMNS], [key for key in (PATH, PROMPT) if key not in row]
    if unknown or lacking:
        problem = f"got unknown {some(unknown)}" if unknown else f"found no {some(lacking)}"
        raise ValueError(f"expected {PATH}, {PROMPT} and perhaps {REFERENCE} and {FORBIDDEN} in {where}, {problem}")
    for key in (PATH, PROMPT):
        if not isinstance(row[key], str) or not row[key].strip():
            raise ValueError(f"expected a text that is not blank as {key!r} in {where}, got {row[key]!r:.60}")
    answers = {key: _answers(row.get(key), key, where) for key in (REFERENCE, FORBIDDEN)}
    file = manifest.parent / row[PATH].strip()
    return Question(path=file, prompt=row[PROMPT], references=answers[REFERENCE], forbidden=answers[FORBIDDEN])


def _answers(value: Any, key: str, where: str) -> tuple[str, ...]:
    """The answers of a cell; an empty one holds none."""
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"expected an answer or a list of answers as {key!r} in {where}, got {value!r:.60}")
    return tuple(texts)
