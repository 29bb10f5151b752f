"""`certify.py recertify`: certificates of new prompts, trees, planes or levels from a cache of noisy features."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_certificates
from hrvlm.cli.settings_parser import checkpoint_of, notes_of, settings_of, subject_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.recertification import RecertificationSettings, recertify
from hrvlm.reports.terminal import say
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = subject_parser(RecertificationSettings)
    parser.add_argument("--features", type=path_of, required=True, help="folder that run --features has filled")
    return parser


def _run(options: Any, given: Any) -> None:
    settings = settings_of(RecertificationSettings, options)
    show = partial(show_certificates, radii=settings.plan.radii)
    output = Output(Path(options.output), notes_of(given), say, show)
    for sentence in recertify(Path(options.features), checkpoint_of(options), settings, output):
        say(sentence)


COMMAND = Command(_parser, _run)
