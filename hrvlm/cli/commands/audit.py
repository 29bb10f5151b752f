"""`certify.py audit`: certificates of the right label of images, from labels of answers on these very images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_certificates
from hrvlm.cli.settings_parser import settings_of, settings_parser
from hrvlm.evaluation.audit import AuditSettings, audit
from hrvlm.evaluation.folders import Output
from hrvlm.reports.terminal import say
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = settings_parser(AuditSettings)
    parser.add_argument("folder", type=path_of, help="folder of certify.py run, whose settings these are")
    return parser


def _run(options: Any, given: Any) -> None:
    settings = settings_of(AuditSettings, options)
    show = partial(show_certificates, radii=settings.plan.radii)
    found = audit(Path(options.folder), settings, Output(Path(options.output), say=say, show=show))
    answers = f"{found.trials} labelled answers, {found.errors} of them wrong"
    say(f"{found.used} of {found.images} images audited by {answers}")


COMMAND = Command(_parser, _run)
