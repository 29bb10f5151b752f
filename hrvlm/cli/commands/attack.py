"""`certify.py attack`: accuracy of every level under attacks on every level."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_robustness
from hrvlm.cli.settings_parser import add_attacks, checkpoint_of, notes_of, settings_of, subject_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.robustness import RobustnessSettings, attack
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    parser = subject_parser(RobustnessSettings)
    add_attacks(parser, "those of the plan")
    return parser


def _run(options: Any, given: Any) -> None:
    plan = settings_of(RobustnessSettings, options).plan
    if options.attacks is not None:
        plan = replace(plan, attacks=options.attacks)
    if options.eps is not None:
        plan = replace(plan, budgets=options.eps)
    settings = replace(settings_of(RobustnessSettings, options), plan=plan)
    output = Output(Path(options.output), notes_of(given), say, show_robustness)
    attack(checkpoint_of(options), settings, output)


COMMAND = Command(_parser, _run)
