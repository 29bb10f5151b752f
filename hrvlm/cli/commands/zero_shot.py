"""`certify.py zero-shot`: accuracy on any pictures and classes, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.results import show_zero_shot
from hrvlm.cli.settings_parser import add_attacks, add_checkpoint, checkpoint_of, noted, settings_of, settings_parser
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.source_options import SourceOptions
from hrvlm.evaluation.zero_shot.run import evaluate
from hrvlm.evaluation.zero_shot.settings import ZeroShotPlan, ZeroShotSettings
from hrvlm.models.checkpoint import stated
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    parser = settings_parser(ZeroShotSettings, skip=("data", "plan"))
    add_checkpoint(parser)
    sources = 'a folder of class folders, cifar10 with --root, "emoji:unseen_classes", tar shards, a manifest'
    parser.add_argument(
        "--data", type=str, nargs="+", required=True, help=f"labelled pictures: one or more of {sources}"
    )
    add_attacks(parser, "clean and 1/255")
    parser.add_class_arguments(ZeroShotPlan, skip={"attacks", "eps"})
    parser.set_defaults({name: getattr(ZeroShotPlan(), name) for name in ("attacks", "eps")})
    return parser


def _run(options: Any, given: Any) -> None:
    source = settings_of(SourceOptions, options)
    names = ("data", "split", "device", "devices", "num_nodes", "strategy")
    chosen = {name: getattr(options, name) for name in names}
    settings = ZeroShotSettings(source=source, plan=settings_of(ZeroShotPlan, options), **chosen)
    checkpoint = checkpoint_of(options)
    notes = {"checkpoint": str(checkpoint), **stated(checkpoint), "data": settings.data, "split": settings.split}
    notes |= settings_of(SourceOptions, given).given()
    evaluate(checkpoint, settings, Output(Path(options.output), noted(notes), say, show_zero_shot))


COMMAND = Command(_parser, _run)
