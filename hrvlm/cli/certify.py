"""`certify.py`: certifies and attacks checkpoints, checks certificates without the model, and plans sample sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from hrvlm.certificates import RecordWriter, done_keys, read_rows, summarise, verify_rows
from hrvlm.certificates.images import CertificationPlan, certify_images, count_passes
from hrvlm.cli.attack import Attack, attack
from hrvlm.cli.errors import ClearParser, clear_errors
from hrvlm.cli.evaluating import (
    ROWS_OF,
    Subject,
    identity,
    load_subject,
    open_folder,
    print_results,
    subject_parser,
    write_summary,
)
from hrvlm.cli.plan import add_parser as add_plan
from hrvlm.cli.plan import plan
from hrvlm.models import HierarchicalClassifier
from hrvlm.reports.tables import semantic_table, smoothing_table

ROWS = ROWS_OF["run"]


@dataclass(frozen=True, kw_only=True)
class Run(Subject):
    """What `certify.py run` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is certified.
        trees: Tree files over the data's classes.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
        plan: Which certificates of which images.
    """

    plan: CertificationPlan = field(default_factory=CertificationPlan)


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
            return
        if given.command == "plan":
            plan(given.plan)
            return
        chosen = parser.instantiate_classes(given)[given.command]
        settings = {name: getattr(chosen, name) for name in Run.__dataclass_fields__}  # Attack's have the same names
        if given.command == "attack":
            attack(chosen.checkpoint, Attack(**settings), Path(chosen.output))
        else:
            run(chosen.checkpoint, Run(**settings), Path(chosen.output))


def _parser() -> ClearParser:
    parser = ClearParser(prog="certify.py", description=__doc__)
    commands = parser.add_subcommands(dest="command")
    runner = subject_parser(Run, "Certifies a model; run again, it goes on where it stopped.")
    commands.add_subcommand("run", runner)
    attacker = subject_parser(Attack, "Attacks every level of a model; run again, it goes on where it stopped.")
    commands.add_subcommand("attack", attacker)
    verifier = ClearParser(description="Derives every certificate anew from its row, without the model.")
    verifier.add_argument("folder", type=str, help=f"folder that holds {ROWS}")
    commands.add_subcommand("verify", verifier)
    add_plan(commands)
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
    classifier, data = load_subject(checkpoint, settings)
    indices = settings.plan.indices(len(data))
    path = open_folder(output, "run", _settings(classifier, settings))
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
    return {**identity(classifier, settings.split), **plan}


def _finish(path: Path, output: Path, plan: CertificationPlan) -> None:
    summary = summarise(read_rows(path), plan.radii)
    write_summary(output, summary)
    tables = [("smoothing", smoothing_table), ("semantic", semantic_table)]
    print_results(output, [table(summary) for part, table in tables if summary[part]])


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
