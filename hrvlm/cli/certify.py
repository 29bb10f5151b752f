"""`certify.py`: certifies checkpoints, and checks certificates without the model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import Progress

from hrvlm.certificates import RecordWriter, done_keys, read_rows, summarise, verify_rows
from hrvlm.certificates.images import CertificationPlan, certify_images, count_passes
from hrvlm.cli.errors import ClearParser, clear_errors
from hrvlm.data.base import ImageDataModule
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.reports.tables import semantic_table, smoothing_table
from hrvlm.trees import load_forest

ROWS, SUMMARY, SETTINGS = "certificates.jsonl", "summary.json", "settings.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `certify.py run` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is certified.
        trees: Tree files over the data's classes.
        plan: Which certificates of which images.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
    """

    data: ImageDataModule
    trees: list[str]
    plan: CertificationPlan = field(default_factory=CertificationPlan)
    split: str | None = None
    num_levels: int | None = None
    device: str = "cpu"


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `run --checkpoint emoji --config configs/certify/emoji.yaml --output DIR`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    parser = _parser()
    with clear_errors("certify.py"):
        given = parser.parse_args(arguments)
        if given.command == "verify":
            verify(Path(given.verify.folder))
        else:
            chosen = parser.instantiate_classes(given).run
            settings = {name: getattr(chosen, name) for name in Run.__dataclass_fields__}
            run(chosen.checkpoint, Run(**settings), Path(chosen.output))


def _parser() -> ArgumentParser:
    parser = ClearParser(prog="certify.py", description=__doc__)
    commands = parser.add_subcommands(dest="command")
    runner = ClearParser(description="Certifies a model; run again, it goes on where it stopped.")
    runner.add_argument("--config", action="config", help="YAML file with the settings below")
    runner.add_argument("--checkpoint", required=True, help='.ckpt, exported folder, "emoji", or "ViT-B-32/openai"')
    runner.add_argument("--output", required=True, help="folder of the results")
    runner.add_class_arguments(Run)
    commands.add_subcommand("run", runner)
    verifier = ClearParser(description="Derives every certificate anew from its row, without the model.")
    verifier.add_argument("folder", type=str, help=f"folder that holds {ROWS}")
    commands.add_subcommand("verify", verifier)
    return parser


def run(checkpoint: str, settings: Run, output: Path) -> None:
    """Certifies a model and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`.
        settings: Data, trees and plan.
        output: Folder of the results; rows that it holds already are kept and not made again.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, or the folder holds another run's rows.
    """
    loaded = load(checkpoint)
    classes = settings.data.class_ids
    if loaded.classes is not None and list(loaded.classes) != classes:
        raise ValueError(
            f"expected a checkpoint of these {len(classes)} classes, got one of {len(loaded.classes)} others"
        )
    forest = load_forest(settings.trees, leaves=classes, num_levels=settings.num_levels)
    classifier = HierarchicalClassifier(loaded.model, loaded.head, forest).to(settings.device)
    data = settings.data.evaluation_set(settings.split)
    indices = settings.plan.indices(len(data))
    output.mkdir(parents=True, exist_ok=True)
    path = output / ROWS
    _check_settings(output, _settings(classifier, settings))
    with RecordWriter(path) as writer, Progress(transient=True) as bar:
        done = done_keys(read_rows(path))
        task = bar.add_task("certifying", total=count_passes(settings.plan, len(indices)))
        for records in certify_images(
            classifier, data, indices, settings.plan, done=done, progress=lambda images: bar.advance(task, images)
        ):
            writer.write(records)
    _finish(path, output, settings.plan)


def _settings(classifier: HierarchicalClassifier, settings: Run) -> dict[str, Any]:
    """What rows depend on; images and radii may change between runs that share a folder."""
    plan = asdict(settings.plan)
    for free in ("num_images", "radii", "batch_size", "smoothing", "semantic"):
        del plan[free]
    digest = hashlib.sha256()
    state = classifier.model.state_dict() | classifier.head.state_dict(prefix="head.")
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    trees = [[tree.name, len(tree.levels)] for tree in classifier.forest]
    return {"weights": digest.hexdigest(), "trees": trees, "split": settings.split, **plan}


def _check_settings(output: Path, settings: dict[str, Any]) -> None:
    """Notes the settings of a new folder; ValueError if its rows were made with others."""
    path, rows = output / SETTINGS, output / ROWS
    if rows.exists() and rows.stat().st_size:
        noted = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        changed = [name for name, value in settings.items() if noted.get(name) != value]
        if changed:
            raise ValueError(
                f"expected the {', '.join(changed)} that the rows in {output} were made with; choose another output"
            )
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _finish(path: Path, output: Path, plan: CertificationPlan) -> None:
    summary = summarise(read_rows(path), plan.radii)
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console = Console(width=None if Console().is_terminal else 120)
    for part, table in (("smoothing", smoothing_table), ("semantic", semantic_table)):
        if summary[part]:
            console.print(table(summary))
    console.print(f"Results: [bold]{output}[/bold]", highlight=False)


def verify(folder: Path) -> None:
    """Derives every certificate anew and reports rows that claim something else.

    Raises:
        SystemExit: With code 1 if a row does not hold.
    """
    path = folder / ROWS
    if not path.is_file():
        raise ValueError(f"expected the rows of a run at {path}, found none; make them with certify.py run")
    rows = read_rows(path)
    problems = verify_rows(rows)
    for problem in problems:
        print(f"{problem.key}: {problem.message}")
    print(f"{len(rows)} certificates, {len(problems)} that do not hold")
    if problems:
        raise SystemExit(1)
