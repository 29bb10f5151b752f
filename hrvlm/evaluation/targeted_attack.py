"""Targeted attacks, which make a model that answers in words give a forbidden answer.

Each image is certified first; then it is attacked within each budget, plain and through noise, and once more just
inside its certified radius. Images that have the forbidden class to begin with are left out.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hrvlm.certificates import read_rows
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.data import open_images
from hrvlm.data.items import EvaluationData
from hrvlm.data.questions import asks_questions, open_questions, questions_of
from hrvlm.data.sampling import evenly_spread, shard_indices
from hrvlm.evaluation.folders import Output, opened_folder, write_summary
from hrvlm.evaluation.image_files import write_image_paths
from hrvlm.evaluation.processes import Ranks
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.questions import described_generator
from hrvlm.evaluation.subject import data_identity
from hrvlm.evaluation.targeted_attack_settings import TargetedAttackSettings
from hrvlm.evaluation.targeted_attacker import TargetedAttacker
from hrvlm.generative import Generator, load_generator
from hrvlm.generative.targeted_attack_records import (
    TargetedAttackKey,
    TargetedAttackRecord,
    summarise_targeted_attacks,
)
from hrvlm.models import Checkpoint, inferring
from hrvlm.rows.record import Row
from hrvlm.rows.shards import ShardWriter, merge_shards, run_keys
from hrvlm.training.launching import Processes, Team


def attack(checkpoint: Checkpoint | str, settings: TargetedAttackSettings, output: Output) -> None:
    """Attacks a model and writes rows and summary; run again, it goes on where it stopped.

    Args:
        checkpoint: See `hrvlm.generative.load_generator`.
        settings: Data, oracle, forbidden class and effort.
        output: Where results go.

    Raises:
        ValueError: If parts do not fit each other, or the folder holds another run's rows.
    """
    names = ("device", "devices", "num_nodes", "strategy")
    processes = Processes(**{name: getattr(settings, name) for name in names})
    processes.launch(_attack_share, checkpoint, settings, output)


def _attack_share(team: Team, checkpoint: Checkpoint | str, settings: TargetedAttackSettings, output: Output) -> None:
    """What each process does: every so many-th image, in a file of its own; the first one merges."""
    ranks = Ranks(team)
    settings = replace(settings, device=str(team.device))
    generator = load_generator(
        checkpoint,
        prompt=settings.prompt,
        decoding=settings.decoding,
        device=settings.device,
        dtype=settings.dtype,
        device_map=settings.device_map,
    )
    data = _pictures(settings)
    attacker = TargetedAttacker(generator, settings, questions_of(data))
    with ExitStack() as folders:  # the first process holds them until all is written
        opened = opened_folder(output.folder, "targeted-attack", _identity(generator, data, settings), output.notes)
        path = ranks.first(lambda: folders.enter_context(opened))
        _attack_images(ranks, attacker, data, path)
        ranks.finish(output.folder)
        if ranks.is_first:
            merge_shards(path, _key)
            records = [TargetedAttackRecord.from_row(row) for row in read_rows(path)]
            summary = summarise_targeted_attacks(records)
            write_image_paths(output.folder, data, sorted({record.index for record in records}))
            write_summary(output.folder, summary)
            output.show(output.folder, summary)


def _attack_images(ranks: Ranks, attacker: TargetedAttacker, data: Any, path: Path) -> None:
    """Adds the rows of this process's images that are not there yet."""
    indices = evenly_spread(len(data), attacker.settings.num_images)
    mine = shard_indices(len(indices), num_replicas=ranks.size, rank=ranks.rank)
    done = run_keys(path, _key)
    ranks.meet()  # nobody adds rows while another one reads
    with (
        ShardWriter(path, ranks.rank) as writer,
        following("attacking", len(mine), shown=ranks.is_first) as bar,
        inferring(attacker.generator),
    ):
        for position in mine:
            for record in attacker.attack(data, indices[position], done):
                writer.write([record])
            bar.advance()


def _key(row: Row) -> TargetedAttackKey:
    return TargetedAttackRecord.from_row(row).key


def _pictures(settings: TargetedAttackSettings) -> Any:
    if isinstance(settings.data, EvaluationData):
        return settings.data.evaluation_set(settings.split)
    if asks_questions(settings.data):
        return open_questions(settings.data, split=settings.split, image_size=settings.image_size)
    return open_images(settings.data, split=settings.split, image_size=settings.image_size)


def _identity(generator: Generator, data: Any, settings: TargetedAttackSettings) -> dict[str, Any]:
    """What rows depend on; budgets and images may be added to a folder."""
    names = ("forbidden", "wanted", "split", "steps", "samples", "sigma", "n0", "n", "alpha", "votes", "seed")
    chosen = {name: getattr(settings, name) for name in names}
    oracle = {
        "oracle": settings.oracle.describe(), "generator": described_generator(generator, questions_of(data))
    }  # fmt: skip
    norm = {} if settings.norm == "l2" else {"norm": settings.norm}
    return {**oracle, **data_identity(data), **chosen, **norm, "random_numbers": SCHEME}
