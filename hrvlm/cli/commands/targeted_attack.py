"""`certify.py targeted-attack`: attacks that make a model which answers in words give a forbidden answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_targeted_attacks
from hrvlm.cli.settings_parser import checkpoint_of, notes_of_answers, settings_of, subject_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.targeted_attack import attack
from hrvlm.evaluation.targeted_attack_settings import TargetedAttackSettings
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    return subject_parser(TargetedAttackSettings)


def _run(options: Any, given: Any) -> None:
    settings = settings_of(TargetedAttackSettings, options)
    show = partial(show_targeted_attacks, forbidden=settings.forbidden)
    attack(checkpoint_of(options), settings, Output(Path(options.output), notes_of_answers(given), say, show))


COMMAND = Command(_parser, _run)
