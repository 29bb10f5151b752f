"""What commands of `certify.py` share: a model on a split of some data, and a folder of rows that can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrvlm.certificates.run.label_functions import described_trees
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.folder_names import ROWS_OF, SETTINGS, SUMMARY, read_settings
from hrvlm.cli.paths import path_of
from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import WHITE
from hrvlm.models import HierarchicalClassifier, load, state_digest
from hrvlm.reports.terminal import bold, console
from hrvlm.rows.locking import held
from hrvlm.rows.shards import check_unused, part_files
from hrvlm.trees import load_forest
from hrvlm.whole_files import check_place, write_whole

LOCK = "running.lock"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated, besides the checkpoint.

    Attributes:
        data: Data module whose split is evaluated.
        trees: Tree files over the data's classes.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
    """

    data: ImageDataModule
    trees: list[str]
    split: str | None = None
    num_levels: int | None = None
    device: str = "cpu"


def settings_parser(kind: type, description: str, *, output: str = "folder of the results") -> ClearParser:
    """A parser of --config, --output and the fields of a kind of settings; of the output it says what it is."""
    parser = ClearParser(description=description)
    parser.add_argument("--config", action="config", help="YAML file with the settings below")
    parser.add_argument("--output", type=path_of, required=True, help=output)
    parser.add_class_arguments(kind)
    return parser


def subject_parser(kind: type, description: str, *, output: str = "folder of the results") -> ClearParser:
    """The same for a model: with --checkpoint besides; for settings such as `Subject`."""
    parser = settings_parser(kind, description, output=output)
    known = '.ckpt, exported folder, "emoji", "ViT-B-32/openai"; "emoji-captioner" where answers are asked for'
    parser.add_argument("--checkpoint", required=True, help=known)
    return parser


def load_subject(
    checkpoint: str, subject: Subject, device: torch.device | None = None
) -> tuple[HierarchicalClassifier, Any]:
    """The classifiers of a checkpoint, and the data set of the split.

    Args:
        checkpoint: See `hrvlm.models.load`.
        subject: What is evaluated.
        device: Device of this process; None takes the subject's.

    Raises:
        ValueError: If checkpoint, trees, data or device do not fit each other.
    """
    loaded = load(checkpoint)
    classes = subject.data.class_ids
    if loaded.classes is not None and list(loaded.classes) != classes:
        raise ValueError(
            f"expected a checkpoint of these {len(classes)} classes, got one of {len(loaded.classes)} others"
        )
    forest = load_forest(subject.trees, leaves=classes, num_levels=subject.num_levels)
    classifier = HierarchicalClassifier(loaded.model, loaded.head, forest)
    classifier = classifier.to(_device(subject.device) if device is None else device)
    return classifier, subject.data.evaluation_set(subject.split)


def _device(name: str) -> torch.device:
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'expected a device of this machine, such as "cpu", got {name!r}: {error}') from error


def identity(classifier: HierarchicalClassifier, split: str | None) -> dict[str, Any]:
    """What the rows of every command depend on: weights, trees and split."""
    state = classifier.model.state_dict() | classifier.head.state_dict(prefix="head.")
    return {"weights": state_digest(state), "trees": described_trees(classifier), "split": split}


def data_identity(data: Any) -> dict[str, Any]:
    """What tells data sets apart wherever they lie: their size, and a digest of labels and pixels of a few pictures."""
    digest = hashlib.sha256()
    for index in sorted({0, len(data) // 2, len(data) - 1}) if len(data) else []:
        image, label = data[index]
        digest.update(f"{index} {int(label)} {tuple(image.shape)} ".encode() + image.contiguous().numpy().tobytes())
    background = getattr(data, "background", WHITE)
    shown_on = {} if background == WHITE else {"background": list(background)}
    return {"data_size": len(data), "pictures": digest.hexdigest(), **shown_on}


@contextmanager
def opened_folder(
    output: Path, command: str, settings: dict[str, Any], notes: dict[str, Any] | None = None
) -> Iterator[Path]:
    """A folder that this run alone writes to until it is left, with its settings noted.

    Args:
        output: Folder of the results, made if absent.
        command: "run", "attack" or "push".
        settings: Whatever must not change between runs that share the folder; JSON values.
        notes: What else `settings.json` shall hold, of the latest run, such as where the data lie.

    Yields:
        Path of the rows.

    Raises:
        ValueError: If the folder is in use, cannot be written to, or holds rows of another command or of other
            settings; nothing in it has changed then.
    """
    check_place(output)
    with held(output / LOCK):
        settings = json.loads(json.dumps(settings))  # as it will be read again: tuples are lists there
        rows = _check_folder(output, command, settings)
        write_whole(output / SETTINGS, json.dumps(settings | (notes or {}), indent=2) + "\n")
        yield rows


def _check_folder(output: Path, command: str, settings: dict[str, Any]) -> Path:
    for other, name in ROWS_OF.items():
        if other != command and part_files(output / name):
            raise ValueError(f"expected a folder for certify.py {command}, got {output} with the rows of {other}")
    rows = output / ROWS_OF[command]
    check_unused(rows)
    noted, begun = read_settings(output), bool(part_files(rows))  # also without rows yet: some may come any moment
    if begun and noted is None:
        raise ValueError(f"expected {SETTINGS} beside the rows in {output}, found none; choose another output")
    if noted is None:
        return rows
    changed = [name for name, value in settings.items() if noted.get(name) != value]
    if begun and changed:
        raise ValueError(
            f"expected the {', '.join(changed)} that the rows in {output} were made with; choose another output"
        )
    if not set(noted) & set(settings):
        raise ValueError(f"expected settings of certify.py in {output / SETTINGS}, got others; choose another output")
    return rows


def write_summary(output: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json."""
    write_whole(output / SUMMARY, json.dumps(summary, indent=2) + "\n")


def print_results(output: Path, tables: list[Any]) -> None:
    """Prints tables, and where the results lie."""
    out = console()
    for table in tables:
        out.print(table)
    out.print(bold(output, "Results: "), highlight=False)
