"""`certify.py calibrate`: thresholds by which pictures seldom contradict a semantic certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import checkpoint_of, settings_of, subject_parser
from hrvlm.evaluation.answer_stability import calibrate_answers
from hrvlm.evaluation.calibration import calibrate
from hrvlm.evaluation.calibration_settings import CalibrationSettings
from hrvlm.reports.calibration import calibration_table, told_of_none
from hrvlm.reports.terminal import console, say


def _parser() -> ClearParser:
    return subject_parser(CalibrationSettings, output="file of the calibration, JSON")


def _run(options: Any, given: Any) -> None:
    settings = settings_of(CalibrationSettings, options)
    if settings.answers is not None:
        calibrate_answers(checkpoint_of(options), settings, Path(options.output), say)
        return
    calibration = calibrate(checkpoint_of(options), settings, Path(options.output), say)
    console().print(calibration_table(calibration))
    for sentence in told_of_none(calibration):
        say(sentence)


COMMAND = Command(_parser, _run)
