"""`certify.py attack`: accuracy of every level under attacks on every level."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_robustness
from hrvlm.cli.settings_parser import checkpoint_of, notes_of, settings_of, subject_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.robustness import RobustnessSettings, attack
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    return subject_parser(RobustnessSettings)


def _run(options: Any, given: Any) -> None:
    settings = settings_of(RobustnessSettings, options)
    show = partial(show_robustness, plan=settings.plan)
    attack(checkpoint_of(options), settings, Output(Path(options.output), notes_of(given), say, show))


COMMAND = Command(_parser, _run)
