"""`hrvlm export`: writes a checkpoint as a folder that plain open_clip loads, with its head, probe batch and card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hrvlm.cli.errors import ClearParser
from hrvlm.cli.paths import path_of
from hrvlm.reports.terminal import say
from hrvlm.trees.bounded_text import read_text
from hrvlm.trees.strict_text import load_yaml
from hrvlm.whole_files import check_place

if TYPE_CHECKING:
    from hrvlm.models import LoadedModel

CONFIG_FILE = "config.yaml"  # as training writes it into the run's folder


def add_parser(subparsers: Any) -> None:
    """Adds `export` to the commands of `hrvlm`."""
    parser = ClearParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help='.ckpt, exported folder, "emoji", or "ViT-B-32/openai"')
    parser.add_argument("--output", type=path_of, required=True, help="folder to write; local-dir:FOLDER for open_clip")
    parser.add_argument("--half", action="store_true", help="store matrices and convolutions in 16 bits")
    parser.add_argument(
        "--run-config",
        type=str | None,
        help=f"the run's {CONFIG_FILE}, for the model card; looked for beside the checkpoint and above if not given",
    )
    subparsers.add_subcommand("export", parser, help="write a checkpoint as a folder that open_clip loads")


def run(options: Any) -> None:
    """Exports, and says what was written and how to load it."""
    from hrvlm.models.model_card import CARD_FILE, NEW_CARD_FILE

    folder = export(options.checkpoint, options.output, half=options.half, config=options.run_config)
    say(f'{folder}: load it with open_clip.create_model_and_transforms("local-dir:{folder}")')
    if (folder / NEW_CARD_FILE).is_file():
        say(f"{folder / CARD_FILE} was there and is kept; the card of this export is {NEW_CARD_FILE}")


def export(checkpoint: str, output: str | Path, *, half: bool = False, config: str | None = None) -> Path:
    """Writes a checkpoint as a model folder.

    Args:
        checkpoint: See `hrvlm.models.load`.
        output: Folder to write.
        half: Stores matrices and convolutions in 16 bits.
        config: The run's configuration; None looks for it near the checkpoint.

    Returns:
        The folder.

    Raises:
        ValueError: If the checkpoint or the configuration cannot be read.
    """
    from hrvlm.models import export_model, load  # not above: other commands of `hrvlm` would wait for it

    check_place(output)
    loaded = load(checkpoint)
    path = _beside(Path(checkpoint)) if config is None else Path(config)
    settings = None if path is None else _settings(path)
    head = loaded.head if _is_trained(loaded) else None
    return export_model(loaded.model, output, half=half, head=head, classes=loaded.classes, settings=settings)


def _is_trained(loaded: LoadedModel) -> bool:
    """Whether the head is more than the model's own scale of cosines."""
    from hrvlm.models import CosineHead

    return loaded.classes is not None or not isinstance(loaded.head, CosineHead)


def _beside(checkpoint: Path) -> Path | None:
    """The configuration of the run that wrote a `.ckpt`: in its folder, or in the one above `checkpoints`."""
    folders = (checkpoint.parent, checkpoint.parent.parent) if checkpoint.suffix == ".ckpt" else ()
    return next((folder / CONFIG_FILE for folder in folders if (folder / CONFIG_FILE).is_file()), None)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = load_yaml(read_text(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"expected a run's readable configuration at {path}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(f"expected a run's configuration at {path}, got a YAML file of another form")
    return settings
