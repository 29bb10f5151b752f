"""Zero-shot evaluation of a checkpoint on any pictures, on any number of processes, in a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hrvlm.evaluation.folders import Output, opened_folder, write_summary
from hrvlm.evaluation.image_files import write_paths_of_several
from hrvlm.evaluation.processes import Ranks
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.robustness import share_of_batches
from hrvlm.evaluation.zero_shot.predictions import count_passes, evaluate_zero_shot
from hrvlm.evaluation.zero_shot.records import HeadName, done_zero_shot_keys, zero_shot_order
from hrvlm.evaluation.zero_shot.settings import ClassifiedData, ZeroShotPlan, ZeroShotSettings, open_data
from hrvlm.evaluation.zero_shot.summary import begun_aims, summarise_zero_shot
from hrvlm.models import Checkpoint, Head, LoadedModel, cosine_head, load, one_thread, state_digest
from hrvlm.models.denoisers import denoiser_of
from hrvlm.models.descriptions import noted_noise
from hrvlm.models.zero_shot import ZeroShotClassifier
from hrvlm.rows.shards import ShardWriter, merge_shards, run_rows, unchecked_rows
from hrvlm.training.launching import Processes, Team


def evaluate(checkpoint: Checkpoint | str, settings: ZeroShotSettings, output: Output) -> None:
    """Evaluates a model on data sets that training need not have seen, and writes rows and summary.

    Args:
        checkpoint: See `hrvlm.models.load`.
        settings: Data, classes, attacks and processes.
        output: Where results go.

    Raises:
        ValueError: If checkpoint, classes or data do not fit each other, the folder holds another run's rows or is
            being written to, or this machine lacks the devices.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_evaluate_share, checkpoint, settings, output)


def _evaluate_share(team: Team, checkpoint: Checkpoint | str, settings: ZeroShotSettings, output: Output) -> None:
    """What each process does: every so many-th batch, in a file of its own; the first one merges."""
    ranks = Ranks(team)
    loaded = load(checkpoint)
    sources = open_data(settings, loaded.model.image_size[0])
    head, name = chosen_head(loaded, settings.source.head)
    depends_on = _identity(loaded, head, name, sources, settings.plan)

    def prepare() -> Path:
        path = folders.enter_context(opened_folder(output.folder, "zero-shot", depends_on, output.notes))
        done_zero_shot_keys(unchecked_rows(path))  # so that one process complains of rows that it cannot read
        return path

    with ExitStack() as folders:  # the first process holds them until all is written
        path = ranks.first(prepare)
        model, head = loaded.model.to(team.device), head.to(team.device)
        with one_thread():  # the same points in 1 process and in 8 that share the cores
            classifiers = [ZeroShotClassifier(model, head, data.class_names, data.templates) for data in sources]
        _evaluate_batches(ranks, classifiers, sources, name, settings.plan, path)
        ranks.finish(output.folder)
        if ranks.is_first:
            summary = summarise_zero_shot(run_rows(path, zero_shot_order))
            if not begun_aims(summary):  # else shards stay, by which the run is seen to be unfinished
                merge_shards(path, zero_shot_order)
            write_paths_of_several(output.folder, ((each.images.name, each.images, each.indices) for each in sources))
            write_summary(output.folder, summary)
            output.show(output.folder, summary)


def chosen_head(loaded: LoadedModel, wanted: HeadName) -> tuple[Head, HeadName]:
    """The head that classifies, and what rows call it: a model without a trained one has plain cosines.

    Args:
        loaded: The model.
        wanted: "trained", the head that was trained with it, if one was; or "cosine".
    """
    if wanted == "trained" and loaded.has_trained_head:
        return loaded.head, "trained"
    return cosine_head(loaded.model), "cosine"


def _identity(
    loaded: LoadedModel, head: Head, name: HeadName, sources: Sequence[ClassifiedData], plan: ZeroShotPlan
) -> dict[str, Any]:
    """What rows depend on; attacks and budgets may be added to a folder."""
    state = loaded.model.state_dict() | head.state_dict(prefix="head.")
    names = ("norm", "num_images", "batch_size")
    return {
        "weights": state_digest(state),
        "head": name,
        "data": {data.images.name: data.identity() for data in sources},
        **{key: getattr(plan, key) for key in names},
        "settings": asdict(plan.settings),
        **denoiser_of(loaded.model),
        **noted_noise(loaded.model.config),
    }


def _evaluate_batches(
    ranks: Ranks,
    classifiers: Sequence[ZeroShotClassifier],
    sources: Sequence[ClassifiedData],
    head: HeadName,
    plan: ZeroShotPlan,
    path: Path,
) -> None:
    """Adds the rows of this process's batches that are not there yet."""
    done, effort = done_zero_shot_keys(unchecked_rows(path)), plan.effort
    ranks.meet()  # nobody adds rows while another one reads
    replicas = {"num_replicas": ranks.size, "rank": ranks.rank}
    shares = [share_of_batches(list(data.indices), plan.batch_size, **replicas) for data in sources]
    total = sum(count_passes(len(mine), effort) for mine in shares)
    with (
        ShardWriter(path, ranks.rank) as writer,
        following("zero-shot", total, shown=ranks.is_first) as bar,
    ):
        for classifier, data, mine in zip(classifiers, sources, shares, strict=True):
            bar.note = data.images.name
            for records in evaluate_zero_shot(
                classifier,
                data.images,
                mine,
                effort,
                num_classes=len(data.class_names),
                head=head,
                done=done,
                progress=bar.advance,
            ):
                writer.write(records)
