"""`certify.py zero-shot`: accuracy on any pictures and classes, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_zero_shot
from hrvlm.cli.settings_parser import add_attacks, add_checkpoint, checkpoint_of, settings_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.zero_shot.run import evaluate
from hrvlm.evaluation.zero_shot.settings import ZeroShotSettings
from hrvlm.models.checkpoint import stated
from hrvlm.reports.terminal import say

SEVERAL = ("data", "attacks", "eps")  # one or several words on the command line
NOTED = ("data", "root", "split", "image_size", "classes", "templates")


def _parser() -> ClearParser:
    parser = settings_parser(ZeroShotSettings, skip=SEVERAL)
    add_checkpoint(parser)
    sources = 'a folder of class folders, cifar10 with --root, "emoji:unseen_classes", tar shards, a manifest'
    parser.add_argument(
        "--data", type=str, nargs="+", required=True, help=f"labelled pictures, one or several: {sources}"
    )
    add_attacks(parser, "clean and 1/255")
    return parser


def _run(options: Any, given: Any) -> None:
    names = [name for name in ZeroShotSettings.__dataclass_fields__ if getattr(options, name) is not None]
    settings = ZeroShotSettings(**{name: getattr(options, name) for name in names})
    checkpoint = checkpoint_of(options)
    notes = {"checkpoint": str(checkpoint), **stated(checkpoint)} | {name: getattr(settings, name) for name in NOTED}
    noted = {f"given_{name}": value for name, value in notes.items()}
    evaluate(checkpoint, settings, Output(Path(options.output), noted, say, show_zero_shot))


COMMAND = Command(_parser, _run)
