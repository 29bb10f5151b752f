"""Parsers of commands whose settings come from a configuration, and the options as values."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, TypeVar

from hrvlm.cli.errors import ClearParser
from hrvlm.whole_files import path_of

T = TypeVar("T")
CHECKPOINTS = '.ckpt, exported folder, "emoji", "ViT-B-32/openai"; "emoji-captioner" where answers are asked for'


def settings_parser(kind: type[Any], *, output: str = "folder of the results") -> ClearParser:
    """A parser of --config, --output and the fields of a kind of settings; of the output it says what it is."""
    parser = ClearParser()
    parser.add_argument("--config", action="config", help="YAML file with the settings below")
    parser.add_argument("--output", type=path_of, required=True, help=output)
    parser.add_class_arguments(kind)
    return parser


def subject_parser(kind: type[Any], *, output: str = "folder of the results") -> ClearParser:
    """The same for a model: with --checkpoint besides; for settings such as `Subject`."""
    parser = settings_parser(kind, output=output)
    parser.add_argument("--checkpoint", required=True, help=CHECKPOINTS)
    return parser


def add_attacks(parser: ClearParser, otherwise: str) -> None:
    """Adds --attacks and --eps, each of one or several; help says what is used where they are not given."""
    names = 'names such as: clean pgd20 apgd aa (a number after "pgd": steps; aa: AutoAttack)'
    parser.add_argument("--attacks", type=str, nargs="+", help=f"{names}; {otherwise} if left out")
    budgets = "budgets in pixel units, one or several, as numbers or fractions such as: 1/255 4/255"
    parser.add_argument("--eps", type=float, nargs="+", help=f"{budgets}; {otherwise} if left out")


def settings_of(kind: type[T], options: Any) -> T:
    """The settings among the options of a command, which may have others besides."""
    return kind(**{field.name: getattr(options, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def notes_of(given: Any) -> dict[str, Any]:
    """What a report needs to find pictures and class names again, of options as they were given."""
    chosen = {name: given[name] for name in ("checkpoint", "trees", "num_levels")}
    data = {name: given.data[name] for name in ("class_path", "init_args") if name in given.data}
    found: dict[str, Any] = json.loads(json.dumps(_plain(chosen | {"data": data}), default=str))
    return {f"given_{name}": value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Namespaces as mappings."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, dict) else value
