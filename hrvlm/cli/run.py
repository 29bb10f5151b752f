"""`certify.py run`: certificates of every level, on any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from rich.progress import Progress

from hrvlm.certificates import summarise
from hrvlm.certificates.feature_store import FeatureStore
from hrvlm.certificates.images import CertificationPlan, certify_images, count_passes
from hrvlm.certificates.parts import PartWriter, check_unused, merge_parts, run_keys, run_rows
from hrvlm.cli.evaluating import (
    Subject,
    data_identity,
    identity,
    load_subject,
    open_folder,
    print_results,
    write_summary,
)
from hrvlm.cli.keeping import open_store
from hrvlm.cli.results import write_report
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.data.sampling import shard_indices
from hrvlm.models import HierarchicalClassifier
from hrvlm.reports.joint_table import joint_table
from hrvlm.reports.profile_table import profile_table
from hrvlm.reports.tables import semantic_table, smoothing_table
from hrvlm.training.launching import Processes, StrategyName

# Rows do not depend on these, or say it themselves: they may change between runs that share a folder.
FREE = ("num_images", "radii", "batch_size", "smoothing", "semantic", "joint")


@dataclass(frozen=True, kw_only=True)
class Run(Subject):
    """What `certify.py run` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is certified.
        trees: Tree files over the data's classes.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
        plan: Which certificates of which images.
        features: Folder that noisy features are kept in for `certify.py rescore`; none are if null.
    """

    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"
    plan: CertificationPlan = field(default_factory=CertificationPlan)
    features: str | None = None


def run(checkpoint: str, settings: Run, output: Path, notes: dict[str, Any] | None = None) -> None:
    """Certifies a model and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`.
        settings: Data, trees, plan and processes.
        output: Folder of the results; rows that it holds already are kept and not made again.
        notes: What `settings.json` shall hold besides what rows depend on.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, the folder holds another run's rows or is being
            written to, or this machine lacks the devices.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_certify_share, checkpoint, settings, output, notes)


def _certify_share(fabric: Fabric, checkpoint: str, settings: Run, output: Path, notes: dict[str, Any] | None) -> None:
    """What each process does: every so many-th image, in a file of its own; the first one merges."""
    classifier, data = load_subject(checkpoint, settings, fabric.device)
    depends_on = _settings(classifier, data, settings)

    def prepare() -> Path:
        path = open_folder(output, "run", depends_on, notes)
        check_unused(path)
        return path

    def keep() -> FeatureStore | None:
        if settings.features is None:
            return None
        return open_store(settings.features, settings.plan, classifier, data, settings.split)

    path = first_process(fabric, prepare)
    store = first_process(fabric, keep)
    indices = settings.plan.indices(len(data))
    shard = shard_indices(len(indices), num_replicas=fabric.world_size, rank=fabric.global_rank)
    done = run_keys(path)
    fabric.barrier()  # nobody adds rows while another one reads
    mine = [indices[position] for position in shard]
    _write_rows(fabric, path, classifier, data, mine, settings.plan, done, store)
    fabric.barrier()
    if fabric.is_global_zero:
        merge_parts(path)
        finish(path, output, settings.plan)


def _write_rows(
    fabric: Fabric,
    path: Path,
    classifier: HierarchicalClassifier,
    data: Any,
    indices: list[int],
    plan: CertificationPlan,
    done: set[Any],
    store: FeatureStore | None,
) -> None:
    with (
        PartWriter(path, fabric.global_rank) as writer,
        Progress(transient=True, disable=not fabric.is_global_zero) as bar,
    ):
        task = bar.add_task("certifying", total=count_passes(plan, len(indices)))
        given: dict[str, Any] = {"done": done, "progress": lambda images: bar.advance(task, images), "store": store}
        for records in certify_images(
            classifier, data, indices, plan, references=TargetPictures(data), **given
        ):
            writer.write(records)


def first_process(fabric: Fabric, action: Callable[[], Any]) -> Any:
    """The result of an action of the first process, on all of them; an error of it ends the others quietly.

    Raises:
        ValueError: On the first process, as the action raised it.
        SystemExit: On the others, if it did.
    """
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except ValueError as caught:
            error = caught
    failed, result = fabric.broadcast((error is not None, result))
    if error is not None:
        raise error
    if failed:
        raise SystemExit(1)
    return result


def _settings(classifier: HierarchicalClassifier, data: Any, settings: Run) -> dict[str, Any]:
    """What rows depend on."""
    plan = {name: value for name, value in asdict(settings.plan).items() if name not in FREE}
    shown = pictures_identity(settings.plan.attributes)
    return {**identity(classifier, settings.split), **data_identity(data), **plan, **shown}


def finish(path: Path, output: Path, plan: CertificationPlan) -> None:
    """Writes the summary and the report of a run's rows and prints its tables."""
    summary = summarise(run_rows(path), plan.radii)
    write_summary(output, summary)
    write_report(output, radii=plan.radii)
    tables = [("smoothing", smoothing_table), ("semantic", semantic_table), ("joint", joint_table)]
    tables.append(("profile", profile_table))
    print_results(output, [table(summary) for part, table in tables if summary.get(part)])
