"""Certificates of a model on a data set, on any number of processes, in a folder of rows that can be resumed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch

from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.registry import read_record, record_at, record_key
from hrvlm.certificates.kinds.semantic.calibration import read_calibration
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.data.sampling import shard_indices
from hrvlm.evaluation.answers import AnswerWork
from hrvlm.evaluation.certified_so_far import CertifiedSoFar
from hrvlm.evaluation.classifiers import ClassifierWork
from hrvlm.evaluation.folder_names import CALIBRATION
from hrvlm.evaluation.folders import Output, opened_folder, write_summary
from hrvlm.evaluation.image_files import write_image_paths
from hrvlm.evaluation.processes import Ranks
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.evaluation.subject import answered_pictures
from hrvlm.evaluation.work import Work
from hrvlm.models import Checkpoint
from hrvlm.rows.lines import iterate_lines
from hrvlm.rows.shards import ShardWriter, merge_shards, run_keys
from hrvlm.rows.uncollected import uncollected
from hrvlm.training.launching import Processes, Team


def certify(checkpoint: Checkpoint | str, settings: CertificationSettings, output: Output) -> None:
    """Certifies a model and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`; for a model that answers in words `hrvlm.generative.load_generator`.
        settings: Data, trees or oracles, plan and processes.
        output: Where results go.

    Raises:
        ValueError: If checkpoint, trees or data do not fit each other, the folder holds another run's rows or is being
            written to, or this machine lacks the devices.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_certify_share, checkpoint, settings, output)


def _work(checkpoint: Checkpoint | str, settings: CertificationSettings, device: torch.device) -> Work:
    """What a process has to do, by the kind of model."""
    if settings.answers is None:
        return ClassifierWork(checkpoint, settings, device)
    if settings.trees or settings.features is not None:
        raise ValueError("expected no trees and no features with answers: oracles take the place of trees")
    data = answered_pictures(settings)
    return AnswerWork(checkpoint, settings.answers, settings.plan, data, settings.split, device, settings.num_workers)


def _certify_share(team: Team, checkpoint: Checkpoint | str, settings: CertificationSettings, output: Output) -> None:
    """What each process does: every so many-th image, in a file of its own; the first one merges."""
    ranks = Ranks(team)
    work = _work(checkpoint, settings, team.device)

    with ExitStack() as folders:  # the first process holds them until all is written
        opened = opened_folder(output.folder, "run", work.depends_on, output.notes)
        path = ranks.first(lambda: folders.enter_context(opened))
        store = ranks.first(lambda: work.open_store(folders))
        _certify(ranks, work, settings.plan, path, store)
        for sentence in work.remarks():
            output.say(sentence)
        ranks.finish(output.folder)
        if ranks.is_first:
            with uncollected():
                merge_shards(path, record_key, record_at)
            write_image_paths(output.folder, work.data, settings.plan.indices(len(work.data)))
            finish(path, output, settings.plan)


def _certify(ranks: Ranks, work: Work, plan: CertificationPlan, path: Path, store: FeatureStore | None) -> None:
    """Adds the rows of this process's images that are not there yet."""
    indices = plan.indices(len(work.data))
    shard = shard_indices(len(indices), num_replicas=ranks.size, rank=ranks.rank)
    done = run_keys(path, record_key, record_at)
    ranks.meet()  # nobody adds rows while another one reads
    mine = [indices[position] for position in shard]
    with (
        ShardWriter(path, ranks.rank) as writer,
        following("certifying", work.count(len(mine)), shown=ranks.is_first) as bar,
    ):
        so_far = CertifiedSoFar()
        for records in work.records(mine, done, bar.advance, store):
            writer.write(records)
            bar.note = so_far.told(records)


def finish(path: Path, output: Output, plan: CertificationPlan) -> None:
    """Writes the summary of a run's rows, keeps its calibration, and shows the summary.

    Args:
        path: All rows of the run.
        output: Where the summary goes.
        plan: Names the radii at which accuracy is told.
    """
    _keep_calibration(output.folder, plan)
    with uncollected():
        summary = summarise((read_record(line) for _, line in iterate_lines(path)), plan.radii)
        write_summary(output.folder, summary)
        output.show(output.folder, summary)


def _keep_calibration(folder: Path, plan: CertificationPlan) -> None:
    """A copy of the calibration beside the rows that rest on it, unless the folder has a file of its name."""
    if plan.calibration is not None and not (folder / CALIBRATION).exists():
        read_calibration(plan.calibration).write(folder / CALIBRATION)
