"""`certify.py attack`: accuracy of every level under attacks on every level."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.records import done_robustness_keys
from hrvlm.attacks.summary import summarise_robustness
from hrvlm.certificates import RecordWriter, read_rows
from hrvlm.cli.evaluating import Subject, identity, load_subject, open_folder, print_results, write_summary
from hrvlm.models import HierarchicalClassifier
from hrvlm.reports.tables import robustness_table, transfer_tables


@dataclass(frozen=True, kw_only=True)
class Attack(Subject):
    """What `certify.py attack` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is attacked.
        trees: Tree files over the data's classes.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: For example "cuda" or "cpu".
        plan: Which attacks on which images.
    """

    plan: RobustnessPlan = field(default_factory=RobustnessPlan)


def attack(checkpoint: str, chosen: Attack, output: Path) -> None:
    """Attacks a model at every level and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`.
        chosen: Data, trees and plan.
        output: Folder of the results; rows that it holds already are kept and not made again.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, or the folder holds another run's rows.
    """
    classifier, data = load_subject(checkpoint, chosen)
    indices = chosen.plan.indices(len(data))
    path = open_folder(output, "attack", _settings(classifier, chosen, len(data)))
    with RecordWriter(path) as writer, Progress(transient=True) as bar:
        done = done_robustness_keys(read_rows(path))
        task = bar.add_task("attacking", total=count_attacks(classifier, len(indices), chosen.plan))
        for records in evaluate_robustness(
            classifier, data, indices, chosen.plan, done=done, progress=lambda images: bar.advance(task, images)
        ):
            writer.write(records)
    rows = read_rows(path)
    write_summary(output, summarise_robustness(rows))
    plan = chosen.plan
    title = f"Accuracy in percent, {plan.norm} eps={plan.eps * 255:.3g}/255, each level attacked by its own classifier"
    print_results(output, [robustness_table(rows, title=title), *transfer_tables(rows)])


def _settings(classifier: HierarchicalClassifier, chosen: Attack, size: int) -> dict[str, Any]:
    """What rows depend on; attacks may be added to a folder, and transfer to attacks."""
    plan = asdict(chosen.plan)
    for free in ("attacks", "transfer"):
        del plan[free]
    return {**identity(classifier, chosen.split), "data_size": size, **plan}
