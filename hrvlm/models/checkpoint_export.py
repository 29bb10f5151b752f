"""Writes a checkpoint as a folder that plain open_clip loads, with its head, probe batch and card, or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from hrvlm.models.checkpoint import Checkpoint, as_checkpoint
from hrvlm.models.checkpoints import load
from hrvlm.models.denoisers import Denoised
from hrvlm.models.export import export_model
from hrvlm.models.layouts.transformers_export import export_tower, export_transformers
from hrvlm.trees.bounded_text import read_text
from hrvlm.trees.strict_text import load_yaml
from hrvlm.whole_files import check_place

ExportForm = Literal["open_clip", "transformers", "tower"]
CONFIG_FILE = "config.yaml"  # as training writes it into the run's folder


def export_checkpoint(
    checkpoint: str | Checkpoint,
    output: str | Path,
    *,
    half: bool = False,
    config: str | None = None,
    to: ExportForm = "open_clip",
) -> Path:
    """Writes a checkpoint as a model folder.

    Args:
        checkpoint: See `hrvlm.models.load`.
        output: Folder to write.
        half: Stores matrices and convolutions in 16 bits.
        config: The run's configuration, for the card of an export to open_clip; None looks for it near the checkpoint.
        to: Whether open_clip or transformers loads the folder, or it holds the image "tower" alone for transformers;
            only the first keeps a trained head.

    Returns:
        The folder.

    Raises:
        ValueError: If the checkpoint or the configuration cannot be read, or transformers has no such model.
    """
    check_place(output)
    loaded = load(checkpoint)
    if isinstance(loaded.model, Denoised):
        raise ValueError(
            "expected a model without a denoiser to export, got one behind a denoiser, which folders do not hold: "
            "export the checkpoint alone, and name the denoiser beside the folder wherever it is used"
        )
    if to != "open_clip":
        return (export_tower if to == "tower" else export_transformers)(loaded.model, output, half=half)
    path = _beside(as_checkpoint(checkpoint).path) if config is None else Path(config)
    settings = None if path is None else _settings(path)
    head = loaded.head if loaded.has_trained_head else None
    return export_model(loaded.model, output, half=half, head=head, classes=loaded.classes, settings=settings)


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
