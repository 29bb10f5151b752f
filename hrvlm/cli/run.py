"""`certify.py run`: certificates of every level, on any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from rich.progress import Progress

from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.invalid import invalid_sentences
from hrvlm.certificates.kinds.registry import row_key
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.run.images import certify_images, count_passes
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.cli.answer_options import AnswerOptions
from hrvlm.cli.answering import AnswerWork
from hrvlm.cli.evaluating import (
    LOCK,
    Subject,
    data_identity,
    identity,
    load_subject,
    opened_folder,
    print_results,
    write_summary,
)
from hrvlm.cli.keeping import open_store
from hrvlm.cli.paths import path_of
from hrvlm.cli.results import write_report
from hrvlm.data.references import TargetPictures, pictures_identity
from hrvlm.data.sampling import shard_indices
from hrvlm.reports.certificates import certificate_tables
from hrvlm.reports.terminal import say
from hrvlm.rows.jsonl import read_lines
from hrvlm.rows.locking import held
from hrvlm.rows.record import Key, Record
from hrvlm.rows.shards import PartWriter, merge_parts, run_keys
from hrvlm.training.launching import Processes, StrategyName
from hrvlm.whole_files import check_place


@dataclass(frozen=True, kw_only=True)
class Run(Subject):
    """What `certify.py run` needs besides checkpoint and output.

    Attributes:
        data: Data module whose split is certified.
        trees: Tree files over the data's classes; none for a model that answers in words.
        split: Split of the data module; its validation split if null.
        num_levels: Cuts every tree to at most this many levels.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
        plan: Which certificates of which images.
        answers: Prompt, decoding and oracles of a model that answers in words; null for a classifier.
        features: Folder that noisy features are kept in for `certify.py rescore`; none are if null.
    """

    trees: list[str] = field(default_factory=list)
    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"
    plan: CertificationPlan = field(default_factory=CertificationPlan)
    answers: AnswerOptions | None = None
    features: str | None = None


class Work(Protocol):
    """What a process certifies: a model on a data set."""

    depends_on: dict[str, Any]
    """What rows depend on, as JSON values."""
    data: Any
    """Map-style data set."""

    def open_store(self, folders: ExitStack) -> FeatureStore | None:
        """Where features are kept, if they are, held until all folders are left; called by one process."""

    def count(self, num_images: int) -> int:
        """How often progress is reported for so many images."""

    def records(
        self, indices: list[int], done: set[Key], progress: Callable[[int], None], store: FeatureStore | None
    ) -> Iterator[Sequence[Record]]:
        """Records of some images that are not done."""

    def remarks(self) -> list[str]:
        """What a reader of this process's rows must know, in sentences."""


class ImageWork:
    """Certificates of the classifiers of every level."""

    def __init__(self, checkpoint: str, settings: Run, device: torch.device) -> None:
        self.classifier, self.data = load_subject(checkpoint, settings, device)
        self.settings, self.plan = settings, settings.plan
        shared = {**identity(self.classifier, settings.split), **data_identity(self.data)}
        self.depends_on = shared | settings.plan.identity()
        self.depends_on |= pictures_identity(self.plan.attributes) | {"random_numbers": SCHEME}

    def open_store(self, folders: ExitStack) -> FeatureStore | None:
        """See `Work`."""
        if self.settings.features is None:
            return None
        check_place(path_of(self.settings.features))
        folders.enter_context(held(Path(self.settings.features) / LOCK))
        return open_store(self.settings.features, self.plan, self.classifier, self.data, self.settings.split)

    def count(self, num_images: int) -> int:
        """See `Work`."""
        return count_passes(self.plan, num_images)

    def records(
        self, indices: list[int], done: set[Key], progress: Callable[[int], None], store: FeatureStore | None
    ) -> Iterator[Sequence[Record]]:
        """See `Work`."""
        given: dict[str, Any] = {"done": done, "progress": progress, "store": store}
        return certify_images(
            self.classifier, self.data, indices, self.plan, references=TargetPictures(self.data), **given
        )

    def remarks(self) -> list[str]:
        """None."""
        return []


def run(checkpoint: str, settings: Run, output: Path, notes: dict[str, Any] | None = None) -> None:
    """Certifies a model and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`; for a model that answers in words `hrvlm.generative.load_generator`.
        settings: Data, trees or oracles, plan and processes.
        output: Folder of the results; rows that it holds already are kept and not made again.
        notes: What `settings.json` shall hold besides what rows depend on.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, the folder holds another run's rows or is being
            written to, or this machine lacks the devices.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_certify_share, checkpoint, settings, output, notes)


def _work(checkpoint: str, settings: Run, device: torch.device) -> Work:
    if settings.answers is None:
        return ImageWork(checkpoint, settings, device)
    if settings.trees or settings.features is not None:
        raise ValueError("expected no trees and no features with answers: oracles take the place of trees")
    data = settings.data.evaluation_set(settings.split)
    return AnswerWork(checkpoint, settings.answers, settings.plan, data, settings.split, device)


def _certify_share(fabric: Fabric, checkpoint: str, settings: Run, output: Path, notes: dict[str, Any] | None) -> None:
    """What each process does: every so many-th image, in a file of its own; the first one merges."""
    work = _work(checkpoint, settings, fabric.device)

    with ExitStack() as folders:  # the first process holds them until all is written
        path = first_process(
            fabric, lambda: folders.enter_context(opened_folder(output, "run", work.depends_on, notes))
        )
        store = first_process(fabric, lambda: work.open_store(folders))
        _certify(fabric, work, settings.plan, path, store)
        for sentence in work.remarks():
            say(sentence)
        fabric.barrier()
        if fabric.is_global_zero:
            merge_parts(path, row_key)
            finish(path, output, settings.plan)


def _certify(fabric: Fabric, work: Work, plan: CertificationPlan, path: Path, store: FeatureStore | None) -> None:
    """Adds the rows of this process's images that are not there yet."""
    indices = plan.indices(len(work.data))
    shard = shard_indices(len(indices), num_replicas=fabric.world_size, rank=fabric.global_rank)
    done = run_keys(path, row_key)
    fabric.barrier()  # nobody adds rows while another one reads
    mine = [indices[position] for position in shard]
    with (
        PartWriter(path, fabric.global_rank) as writer,
        Progress(transient=True, disable=not fabric.is_global_zero) as bar,
    ):
        task = bar.add_task("certifying", total=work.count(len(mine)))
        for records in work.records(mine, done, lambda images: bar.advance(task, images), store):
            writer.write(records)


def first_process(fabric: Fabric, action: Callable[[], Any]) -> Any:
    """The result of an action of the first process, on all of them; an error of it ends the others quietly.

    Raises:
        ValueError, OSError: On the first process, as the action raised it.
        SystemExit: On the others, if it did; with the code 0, since nothing is wrong with them.
    """
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except (ValueError, OSError) as caught:
            error = caught
    failed, result = fabric.broadcast((error is not None, result))
    if error is not None:
        raise error
    if failed:
        raise SystemExit(0)
    return result


def finish(path: Path, output: Path, plan: CertificationPlan) -> None:
    """Writes the summary and the report of a run's rows, prints its tables, and says how much was no number."""
    summary = summarise((row for _, row in read_lines(path)), plan.radii)
    write_summary(output, summary)
    write_report(output, radii=plan.radii)
    print_results(output, certificate_tables(summary))
    for sentence in invalid_sentences(summary):
        say(sentence)
