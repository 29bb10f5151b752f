"""`certify.py answers`: answers of noisy copies, to be labelled by people or by a far better judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import checkpoint_of, settings_of, subject_parser
from hrvlm.evaluation.annotation import AnnotationSettings, draw_answers
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    return subject_parser(AnnotationSettings, output="new file of JSON lines")


def _run(options: Any, given: Any) -> None:
    settings, output = settings_of(AnnotationSettings, options), Path(options.output)
    images = draw_answers(checkpoint_of(options), settings, output)
    questions = [] if settings.answers is None else settings.answers.questions
    names = " | ".join(name for question in questions for name in question.oracle.classes)
    count = images * settings.samples
    say(f"{output}: {count} answers of {images} images; write the label of each: {names}")


COMMAND = Command(_parser, _run)
