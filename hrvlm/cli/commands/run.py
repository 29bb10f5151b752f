"""`certify.py run`: certificates of every level, on any number of processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_certificates
from hrvlm.cli.settings_parser import checkpoint_of, notes_of, settings_of, subject_parser
from hrvlm.evaluation.certification import certify
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    return subject_parser(CertificationSettings)


def _run(options: Any, given: Any) -> None:
    settings = settings_of(CertificationSettings, options)
    show = partial(show_certificates, radii=settings.plan.radii)
    certify(checkpoint_of(options), settings, Output(Path(options.output), notes_of(given), say, show))


COMMAND = Command(_parser, _run)
