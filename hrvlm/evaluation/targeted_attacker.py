"""One image after another under targeted attacks, each certified first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.certificates.kinds.oracle.certify import AnswerQuestion, certify_answers
from hrvlm.certificates.kinds.smoothing.certify import smoothing_records
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.sampling.batches import Drawing, Sample
from hrvlm.certificates.sampling.plan import PREDICT_DRAWS
from hrvlm.certificates.sampling.stream import Execution, count_labels
from hrvlm.data.questions import Question
from hrvlm.evaluation.questions import answering_about
from hrvlm.evaluation.targeted_attack_settings import TargetedAttackSettings
from hrvlm.generative import Generator
from hrvlm.generative.questioned import Questioned
from hrvlm.generative.targeted_attack import attack_towards, easiest_answers
from hrvlm.generative.targeted_attack_records import (
    Budget,
    Defence,
    TargetedAttackRecord,
    targeted_attack_key,
)
from hrvlm.models.pixels import clean_picture

JUST_INSIDE = 0.99


class TargetedAttacker:
    """Certifies and attacks images one by one, so that rows do not depend on which others there are."""

    def __init__(
        self, generator: Generator, settings: TargetedAttackSettings, asked: list[Question] | None = None
    ) -> None:
        self.generator, self.settings, self.oracle, self.asked = generator, settings, settings.oracle, asked
        if type(generator).log_probability is Generator.log_probability:
            raise ValueError(
                f"expected a model in this process, whose gradients targeted attacks follow, got {generator.name!r}, "
                "which gives none"
            )
        if asked is None:
            settings.check_wanted()
        if asked is not None and settings.prompt is not None:
            raise ValueError("expected no prompt: the manifest has that of every image")
        for each in asked or ():
            if not each.forbidden and not settings.wanted:
                raise ValueError(
                    f"expected wanted answers, or a forbidden one of every picture, got none of {each.path}"
                )
        settings.check_forbidden([answer for each in asked or () for answer in each.forbidden])
        self.questioned = None if asked is None else Questioned(generator, [each.prompt for each in asked])
        self.answering = answering_about(generator, asked)
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
        image = clean_picture(data, index)[0][None].to(settings.device)
        within = just_inside(settings.norm, JUST_INSIDE * record.radius, image)
        if within is not None and targeted_attack_key(index, "smoothing", inside=True, eps=0.0) not in done:
            left.append(("smoothing", within, True))
        own = () if self.asked is None else self.asked[index].forbidden
        wanted = easiest_answers(self._model(index), image, own or settings.wanted)[0]
        for defence, eps, inside in left:
            yield self._attack(image, record, clean, wanted, defence, eps, inside)

    def _model(self, index: int) -> Generator:
        """The model as it is asked about an image."""
        return self.generator if self.questioned is None else self.questioned.about(index)

    def _certify(self, data: Any, index: int) -> tuple[SmoothingRecord, str]:
        settings = self.settings
        found = next(
            certify_answers(
                self.answering,
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
        settings, smoothed, model = self.settings, defence == "smoothing", self._model(record.index)
        patch = patch_side(eps, image) if settings.norm == "patch" else None
        attacked = attack_towards(
            model,
            image,
            [wanted],
            ThreatModel(norm="linf", eps=1.0) if settings.norm == "patch" else ThreatModel(settings.norm, eps),
            steps=settings.steps,
            sigma=settings.sigma if smoothed else 0.0,
            samples=settings.samples,
            seed=settings.seed + record.index,
            patch=patch,
        )
        answer = model.generate(attacked)[0]
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
            norm=settings.norm,
            num_values=None if settings.norm == "l2" else _changed(image, patch),
            prompt=None if self.asked is None else model.prompt,
        )

    def _vote(self, image: Tensor, index: int) -> list[int]:
        """Votes per class of noisy copies, from draws that no certificate uses."""
        settings, name, size = self.settings, self.oracle.name, len(self.oracle.classes)
        model = self._model(index)
        _, counts = next(
            count_labels(
                lambda images: {name: torch.tensor(self.oracle.labels(model.generate(images)))},
                [Sample(index=index, image=image, labels={})],
                {name: size},
                [range(PREDICT_DRAWS, PREDICT_DRAWS + settings.votes)],
                drawing=Drawing(settings.sigma, settings.seed),
                batch_size=settings.batch_size,
                execution=Execution(device=settings.device),
            )
        )
        return [int(count) for count in counts[name][0, :size]]


def _changed(image: Tensor, patch: int | None) -> int:
    """How many numbers of a picture (1, C, H, W) an attack may change."""
    return image[0].numel() if patch is None else image.shape[1] * patch**2


def patch_side(share: float, images: Tensor) -> int:
    """Side in pixels, at least 1, of the square that covers a share of pictures (..., H, W), or as much as fits."""
    height, width = images.shape[-2:]
    return max(1, min(height, width, math.isqrt(round(share * height * width))))


def just_inside(norm: Budget, radius: float, images: Tensor) -> float | None:
    """The largest budget for pictures (1, C, H, W) whose changes all lie within an L2 radius; None where there is none.

    A patch has at least a pixel, whose change has an L2 norm of up to the root of the number of channels.
    """
    if not radius > 0:
        return None
    if norm != "patch":
        return radius if norm == "l2" else radius / math.sqrt(images[0].numel())
    channels, height, width = images.shape[1:]
    side = min(height, width, math.isqrt(int(radius**2 / channels)))
    return side**2 / (height * width) if side else None
