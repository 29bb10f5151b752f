"""Accuracy of every level under attacks on every level, on any number of processes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.records import done_robustness_keys, robustness_order
from hrvlm.attacks.summary import begun_attacks, summarise_budgets
from hrvlm.data.reading_ahead import ReadAhead, check_workers
from hrvlm.data.sampling import shard_indices
from hrvlm.evaluation.folders import Output, opened_folder, write_summary
from hrvlm.evaluation.image_files import write_image_paths
from hrvlm.evaluation.processes import Ranks
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.subject import Subject, check_labelled, data_identity, identity, load_subject
from hrvlm.models import Checkpoint, HierarchicalClassifier
from hrvlm.rows.shards import ShardWriter, merge_shards, run_rows, unchecked_rows
from hrvlm.training.launching import Processes, StrategyName, Team


@dataclass(frozen=True, kw_only=True)
class RobustnessSettings(Subject):
    """What `certify.py attack` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is attacked, or any pictures by one text, see `hrvlm.data.open_images`.
        trees: Tree files over the classes; none for one level, the classes themselves.
        split: Split of the data; the validation split of a data module if null.
        num_levels: Cuts every tree to at most this many levels.
        source: How the data are opened, and what they are sorted into.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own that attacks whole batches.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
        plan: Which attacks on which images.
        num_workers: Processes that read pictures ahead, for each device; 0 reads them in this one.

    Raises:
        ValueError: If num_workers is negative.
    """

    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"
    plan: RobustnessPlan = field(default_factory=RobustnessPlan)
    num_workers: int = 0

    def __post_init__(self) -> None:
        check_workers(self.num_workers)


def attack(checkpoint: Checkpoint | str, settings: RobustnessSettings, output: Output) -> None:
    """Attacks a model at every level and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`.
        settings: Data, trees, plan and processes.
        output: Where results go.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, the folder holds another run's rows or is being
            written to, or this machine lacks the devices.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_attack_share, checkpoint, settings, output)


def _attack_share(team: Team, checkpoint: Checkpoint | str, settings: RobustnessSettings, output: Output) -> None:
    """What each process does: every so many-th batch, in a file of its own; the first one merges."""
    ranks = Ranks(team)
    classifier, data = load_subject(checkpoint, settings, team.device)
    check_labelled(data, "attacks are judged by whether the label is still found")
    depends_on = _settings(classifier, data, settings)

    def prepare() -> Path:
        path = folders.enter_context(opened_folder(output.folder, "attack", depends_on, output.notes))
        done_robustness_keys(unchecked_rows(path))  # so that one process complains of rows that it cannot read
        return path

    with ExitStack() as folders:  # the first process holds them until all is written
        path = ranks.first(prepare)
        _attack_batches(ranks, classifier, data, settings, path)
        ranks.finish(output.folder)
        if ranks.is_first:
            write_image_paths(output.folder, data, settings.plan.indices(len(data)))
            _finish(path, output)


def _attack_batches(
    ranks: Ranks, classifier: HierarchicalClassifier, data: Any, settings: RobustnessSettings, path: Path
) -> None:
    """Adds the rows of this process's batches that are not there yet."""
    plan = settings.plan
    done = done_robustness_keys(unchecked_rows(path))
    ranks.meet()  # nobody adds rows while another one reads
    mine = share_of_batches(
        plan.indices(len(data)),
        plan.batch_size,
        num_replicas=ranks.size,
        rank=ranks.rank,
    )
    total = count_attacks(classifier, len(mine), plan)
    with (
        ShardWriter(path, ranks.rank) as writer,
        following("attacking", total, shown=ranks.is_first) as bar,
    ):
        ahead = ReadAhead(data, mine, settings.num_workers)
        for records in evaluate_robustness(classifier, ahead, mine, plan, done=done, progress=bar.advance):
            writer.write(records)


def share_of_batches(indices: list[int], batch_size: int, *, num_replicas: int, rank: int) -> list[int]:
    """The images of every so many-th batch: batches, on which some attacks depend, are those of one process.

    Args:
        indices: Images of all processes.
        batch_size: Images per batch.
        num_replicas: Number of processes.
        rank: Number of this process, from 0.
    """
    starts = range(0, len(indices), batch_size)
    shard = shard_indices(len(starts), num_replicas=num_replicas, rank=rank)
    return [index for batch in shard for index in indices[starts[batch] : starts[batch] + batch_size]]


def _finish(path: Path, output: Output) -> None:
    """Merges the rows, writes their summary and shows it."""
    rows = run_rows(path, robustness_order)
    if begun := begun_attacks(rows):  # shards stay, by which the run is seen to be unfinished
        output.say(f"{', '.join(begun)}: begun, with rows of some images only; name it among the attacks to go on")
    else:
        merge_shards(path, robustness_order)
    summary = summarise_budgets(rows)
    write_summary(output.folder, summary)
    output.show(output.folder, summary)


def _settings(classifier: HierarchicalClassifier, data: Any, settings: RobustnessSettings) -> dict[str, Any]:
    """What rows depend on; attacks may be added to a folder, and transfer to attacks."""
    plan = asdict(settings.plan)
    for free in ("attacks", "transfer", "threat_model", "budgets"):
        del plan[free]
    budgets = [threat_model.eps for threat_model in settings.plan.threat_models]
    budget = {"norm": settings.plan.threat_model.norm, "eps": budgets[0] if len(budgets) == 1 else sorted(budgets)}
    return {**identity(classifier, settings.split), **data_identity(data), **budget, **plan}
