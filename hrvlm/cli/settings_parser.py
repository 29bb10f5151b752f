"""Parsers of commands whose settings come from a configuration, and the options as values.

Models and sources of pictures are imported where an option names one: `certify.py plan` does not wait for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from hrvlm.cli.errors import ClearParser
from hrvlm.whole_files import path_of

if TYPE_CHECKING:
    from hrvlm.models import Checkpoint

T = TypeVar("T")
SOURCE = "source"  # of a subject: its options stand beside those of the subject
CHECKPOINTS = '.ckpt, folder, "emoji", "ViT-B-32/openai", hf-hub:NAME; for answers "emoji-captioner", http://HOST/v1'


def settings_parser(kind: type[Any], *, output: str = "folder of the results", skip: Iterable[str] = ()) -> ClearParser:
    """A parser of --config, --output and the fields of a kind of settings.

    Args:
        kind: A dataclass.
        output: What the output is, for help.
        skip: Fields that are left out, to be added in another form.
    """
    parser = ClearParser()
    parser.add_argument("--config", action="config", help="YAML file with the settings below")
    parser.add_argument("--output", type=path_of, required=True, help=output)
    sources = any(field.name == SOURCE for field in fields(kind))
    parser.add_class_arguments(kind, skip={SOURCE, *skip} if sources else set(skip))
    if sources:
        from hrvlm.evaluation.source_options import SourceOptions

        parser.add_class_arguments(SourceOptions)
    return parser


def subject_parser(kind: type[Any], *, output: str = "folder of the results") -> ClearParser:
    """The same for a model: with --checkpoint besides; for settings such as `Subject`."""
    parser = settings_parser(kind, output=output)
    add_checkpoint(parser)
    return parser


def add_attacks(parser: ClearParser, otherwise: str) -> None:
    """Adds --attacks and --eps, each of one or several; help says what is used where they are not given."""
    names = 'names such as: clean pgd20 apgd aa (a number after "pgd": steps; aa: AutoAttack)'
    parser.add_argument("--attacks", type=str, nargs="+", help=f"{names}; {otherwise} if left out")
    budgets = "budgets in pixel units, one or several, as numbers or fractions such as: 1/255 4/255"
    parser.add_argument("--eps", type=float, nargs="+", help=f"{budgets}; {otherwise} if left out")


def add_checkpoint(parser: ClearParser) -> None:
    """Adds the options that name a model, by its name or by its parts."""
    from hrvlm.models.checkpoint import Activation, Preprocessing

    parser.add_argument("--checkpoint", type=str | None, help=CHECKPOINTS)
    parser.add_argument(
        "--architecture", type=str | None, help='of --weights: "ViT-B-32", or with a tag for what they leave open'
    )
    parser.add_argument("--weights", type=str | None, help="file of weights for --architecture")
    acts, kinds = (", ".join(get_args(choices)) for choices in (Activation, Preprocessing))
    parser.add_argument("--activation", type=str | None, help=f"in the place of the stated one: {acts}")
    parser.add_argument(
        "--preprocessing", type=str | None, help=f"mean and deviation in the place of the stated: {kinds}"
    )
    parser.add_argument("--denoiser", type=str | None, help="folder of a denoiser that images go through first")
    parser.add_argument("--denoiser_sigma", type=float | None, help="noise that a diffusion model as denoiser takes")


def checkpoint_of(options: Any) -> Checkpoint:
    """The model that the options name.

    Raises:
        ValueError: If they name none, or two.
    """
    from hrvlm.models import Checkpoint

    names = ("architecture", "weights", "activation", "preprocessing", "denoiser", "denoiser_sigma")
    if options.checkpoint is None and options.architecture is None and options.weights is None:
        raise ValueError("expected --checkpoint, or --architecture and --weights, to name a model, got none of them")
    return Checkpoint(name=options.checkpoint, **{name: getattr(options, name) for name in names})


def settings_of(kind: type[T], options: Any) -> T:
    """The settings among the options of a command, which may have others besides."""
    found = {f.name: getattr(options, f.name) for f in fields(kind) if f.name != SOURCE}  # type: ignore[arg-type]
    if any(field.name == SOURCE for field in fields(kind)):  # type: ignore[arg-type]
        from hrvlm.evaluation.source_options import SourceOptions

        found[SOURCE] = settings_of(SourceOptions, options)
    return kind(**found)


def notes_of(given: Any) -> dict[str, Any]:
    """What a report needs to find pictures and class names again, of options as they were given."""
    from hrvlm.evaluation.source_options import SourceOptions
    from hrvlm.models.checkpoint import stated

    checkpoint = checkpoint_of(given)
    chosen = {"checkpoint": str(checkpoint)} | {name: given[name] for name in ("trees", "num_levels")}
    chosen |= stated(checkpoint) | settings_of(SourceOptions, given).given()
    return noted(chosen | {"data": _data_of(given)})


def notes_of_answers(given: Any) -> dict[str, Any]:
    """The same of a command about answers alone, which has neither trees nor options of classes."""
    from hrvlm.models.checkpoint import stated

    checkpoint = checkpoint_of(given)
    chosen = {"checkpoint": str(checkpoint), "trees": [], "num_levels": None} | stated(checkpoint)
    size = {} if given.image_size is None else {"image_size": given.image_size}
    return noted(chosen | size | {"data": _data_of(given)})


def _data_of(given: Any) -> Any:
    """The data of a command, as it was given."""
    data = given.data
    return data if isinstance(data, str) else {name: data[name] for name in ("class_path", "init_args") if name in data}


def noted(chosen: dict[str, Any]) -> dict[str, Any]:
    """Options as `settings.json` notes them."""
    found: dict[str, Any] = json.loads(json.dumps(_plain(chosen), default=str))
    return {f"given_{name}": value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Namespaces as mappings."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, dict) else value
