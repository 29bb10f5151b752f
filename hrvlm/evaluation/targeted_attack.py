"""Targeted attacks, which make a model that answers in words give a forbidden answer.

Each image is certified first; then it is attacked within each budget, plain and through noise, and once more just
inside its certified radius. Images that have the forbidden class to begin with are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.certificates import RecordWriter, read_rows
from hrvlm.certificates.kinds.oracle.certify import AnswerQuestion, certify_answers
from hrvlm.certificates.kinds.smoothing.certify import smoothing_records
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.sampling.batches import Drawing, Sample
from hrvlm.certificates.sampling.plan import PREDICT_DRAWS
from hrvlm.certificates.sampling.stream import Execution, count_labels
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.folders import Output, opened_folder, write_summary
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.subject import data_identity
from hrvlm.evaluation.targeted_attack_settings import TargetedAttackSettings
from hrvlm.generative import Generator, load_generator
from hrvlm.generative.targeted_attack import attack_towards, easiest_answers
from hrvlm.generative.targeted_attack_records import (
    Defence,
    TargetedAttackRecord,
    summarise_targeted_attacks,
    targeted_attack_key,
)
from hrvlm.models import Checkpoint, inferring
from hrvlm.models.pixels import clean_picture

JUST_INSIDE = 0.99


def attack(checkpoint: Checkpoint | str, settings: TargetedAttackSettings, output: Output) -> None:
    """Attacks a model and writes rows and summary; run again, it goes on where it stopped.

    Args:
        checkpoint: See `hrvlm.generative.load_generator`.
        settings: Data, oracle, forbidden class and effort.
        output: Where results go.

    Raises:
        ValueError: If parts do not fit each other, or the folder holds another run's rows.
    """
    generator = load_generator(
        checkpoint,
        prompt=settings.prompt,
        decoding=settings.decoding,
        device=settings.device,
        dtype=settings.dtype,
        device_map=settings.device_map,
    )
    data = settings.data.evaluation_set(settings.split)
    indices = evenly_spread(len(data), settings.num_images)
    attacker = TargetedAttacker(generator, settings)
    with opened_folder(output.folder, "targeted-attack", _identity(generator, data, settings)) as path:
        with RecordWriter(path) as writer, following("attacking", len(indices)) as bar, inferring(generator):
            done = {TargetedAttackRecord.from_row(row).key for row in read_rows(path)}
            for index in indices:
                for record in attacker.attack(data, index, done):
                    writer.write([record])
                bar.advance()
        summary = summarise_targeted_attacks([TargetedAttackRecord.from_row(row) for row in read_rows(path)])
        write_summary(output.folder, summary)
        output.show(output.folder, summary)


class TargetedAttacker:
    """Certifies and attacks images one by one, so that rows do not depend on which others there are."""

    def __init__(self, generator: Generator, settings: TargetedAttackSettings) -> None:
        self.generator, self.settings, self.oracle = generator, settings, settings.oracle
        self.forbidden = settings.oracle.classes.index(settings.forbidden)
        self.question = AnswerQuestion(
            settings.oracle.name, len(settings.oracle.classes), lambda index, clean: settings.oracle, lambda *_: -1
        )

    def attack(self, data: Any, index: int, done: set[Any]) -> Iterator[TargetedAttackRecord]:
        """Rows of an image that are not done; none if it has the forbidden class to begin with."""
        settings = self.settings
        plans: list[tuple[Defence, float, bool]] = [(d, e, False) for d in ("none", "smoothing") for e in settings.eps]
        left = [p for p in plans if targeted_attack_key(index, p[0], inside=False, eps=p[1]) not in done]
        if not left and targeted_attack_key(index, "smoothing", inside=True, eps=0.0) in done:
            return
        record, clean = self._certify(data, index)
        if self.forbidden in (record.prediction, self.oracle.labels([clean])[0]):
            return
        if record.radius > 0 and targeted_attack_key(index, "smoothing", inside=True, eps=0.0) not in done:
            left.append(("smoothing", JUST_INSIDE * record.radius, True))
        image = clean_picture(data, index)[0][None].to(settings.device)
        wanted = easiest_answers(self.generator, image, settings.wanted)[0]
        for defence, eps, inside in left:
            yield self._attack(image, record, clean, wanted, defence, eps, inside)

    def _certify(self, data: Any, index: int) -> tuple[SmoothingRecord, str]:
        settings = self.settings
        found = next(
            certify_answers(
                self.generator,
                data,
                [index],
                [self.question],
                settings.plan(),
                batch_size=settings.batch_size,
                device=settings.device,
            )
        )
        return smoothing_records(found.sampled, settings.plan())[0], found.clean

    def _attack(
        self,
        image: Tensor,
        record: SmoothingRecord,
        clean: str,
        wanted: str,
        defence: Defence,
        eps: float,
        inside: bool,
    ) -> TargetedAttackRecord:
        settings, smoothed = self.settings, defence == "smoothing"
        attacked = attack_towards(
            self.generator,
            image,
            [wanted],
            ThreatModel(norm="l2", eps=eps),
            steps=settings.steps,
            sigma=settings.sigma if smoothed else 0.0,
            samples=settings.samples,
            seed=settings.seed + record.index,
        )
        answer = self.generator.generate(attacked)[0]
        counts = self._vote(attacked[0], record.index) if smoothed else None
        label = self.oracle.labels([answer])[0] if counts is None else counts.index(max(counts))
        return TargetedAttackRecord(
            index=record.index,
            defence=defence,
            eps=eps,
            oracle=self.oracle.name,
            forbidden=settings.forbidden,
            wanted=wanted,
            clean_answer=clean,
            answer=answer,
            label=self.oracle.classes[label],
            success=label == self.forbidden,
            certified_radius=record.radius,
            inside=inside,
            sigma=settings.sigma,
            votes=settings.votes if smoothed else None,
            forbidden_votes=None if counts is None else counts[self.forbidden],
            steps=settings.steps,
            samples=settings.samples if smoothed else None,
            seed=settings.seed,
        )

    def _vote(self, image: Tensor, index: int) -> list[int]:
        """Votes per class of noisy copies, from draws that no certificate uses."""
        settings, name, size = self.settings, self.oracle.name, len(self.oracle.classes)
        _, counts = next(
            count_labels(
                lambda images: {name: torch.tensor(self.oracle.labels(self.generator.generate(images)))},
                [Sample(index=index, image=image, labels={})],
                {name: size},
                [range(PREDICT_DRAWS, PREDICT_DRAWS + settings.votes)],
                drawing=Drawing(settings.sigma, settings.seed),
                batch_size=settings.batch_size,
                execution=Execution(device=settings.device),
            )
        )
        return [int(count) for count in counts[name][0, :size]]


def _identity(generator: Generator, data: Any, settings: TargetedAttackSettings) -> dict[str, Any]:
    """What rows depend on; budgets and images may be added to a folder."""
    names = ("forbidden", "wanted", "split", "steps", "samples", "sigma", "n0", "n", "alpha", "votes", "seed")
    chosen = {name: getattr(settings, name) for name in names}
    oracle = {"oracle": settings.oracle.describe(), "generator": generator.describe()}
    return {**oracle, **data_identity(data), **chosen, "random_numbers": SCHEME}
