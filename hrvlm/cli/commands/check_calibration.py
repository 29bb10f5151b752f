"""`certify.py check-calibration`: how often calibrated semantic claims fail on a second set of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.semantic.calibration import read_calibration
from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import checkpoint_of, settings_of, subject_parser
from hrvlm.evaluation.answer_stability_check import check_answers
from hrvlm.evaluation.calibration_check import check_calibration
from hrvlm.evaluation.calibration_settings import CheckSettings
from hrvlm.reports.calibration import check_table
from hrvlm.reports.terminal import console, say
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = subject_parser(CheckSettings, output="file of the rates, JSON")
    parser.add_argument("--calibration", type=path_of, required=True, help="file of certify.py calibrate")
    return parser


def _run(options: Any, given: Any) -> None:
    settings = settings_of(CheckSettings, options)
    files = Path(options.calibration), Path(options.output)
    if settings.answers is not None:
        check_answers(files[0], checkpoint_of(options), settings, files[1], say)
        return
    checks = check_calibration(files[0], checkpoint_of(options), settings, files[1], say)
    console().print(check_table(checks))
    wrong = sum(check.contradicted for check in checks)
    say(f"{len(checks)} thresholds checked, {wrong} of them contradicted (an error of 5% for all verdicts together)")
    if without := read_calibration(files[0]).without_threshold({change.name for change in settings.plan.changes()}):
        say(
            f"{without} more rest on no threshold, for none was valid: they claim nothing, which no picture contradicts"
        )


COMMAND = Command(_parser, _run)
