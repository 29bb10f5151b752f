"""Smoothing of models that answer in words: one noise pass, every answer labelled by every oracle.

An answer is drawn per noisy copy; with random decoding its randomness goes by address too, so that every sample is a
fresh and independent one (one seed for all samples would break the certificate) and rows do not depend on batches or
processes. Labels are functions that are fixed before the estimation samples: an equivalence oracle's anchor is the
answer on the clean image. An answer that an oracle cannot read has a label of its own and is never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hrvlm.certificates.kinds.counted import Counted, counted
from hrvlm.certificates.kinds.oracle.asking import Answering, AnsweringByImage, answers_at, ready
from hrvlm.certificates.noise.grid import on_grid
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.monte_carlo import sample_statements
from hrvlm.certificates.sampling.plan import SmoothingPlan, Statement
from hrvlm.certificates.sampling.procedures import Sampled
from hrvlm.certificates.sampling.stream import Parts
from hrvlm.models.pixels import clean_picture

CLEAN_DRAW = 2**63
"""Draw number of the decoding on the clean image, which no sample has."""


class Labelling(Protocol):
    """A map from answers to classes, see `hrvlm.generative.oracles.Oracle`; the last class is "unparseable"."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    def labels(self, answers: Sequence[str]) -> list[int]:
        """The class of each answer, by that answer alone."""


@dataclass(frozen=True)
class AnswerQuestion:
    """What is asked of the answers.

    Attributes:
        name: of the oracle, distinct.
        num_classes: of the oracle, "unparseable" included.
        oracle_at: the oracle for an image, from its dataset index and the answer on the clean image.
        label_of: the wanted class, from dataset index, data label and the oracle for the image; -1 where unknown.
        target: class that is fixed in advance, or None: the most frequent one of the selection samples.
    """

    name: str
    num_classes: int
    oracle_at: Callable[[int, str], Labelling]
    label_of: Callable[[int, int, Labelling], int]
    target: int | None = None


@dataclass
class _Image:
    """What is known about an image on its way.

    Attributes:
        clean: answer on the clean image.
        oracles: its oracles by question.
        selected: counts of the answers of the selection samples.
        unparseable: unreadable answers of the estimation samples, by question.
    """

    clean: str
    oracles: dict[str, Labelling]
    selected: Counter[str]
    unparseable: Counter[str]


@dataclass(frozen=True)
class AnsweredImage:
    """The result for one image.

    Attributes:
        sampled: the image with its counts.
        statements: one per question, as if the oracle's label were any other class.
        oracles: the oracle of each question.
        clean: answer on the clean image.
        answer: most frequent answer of the selection samples.
        unparseable: unreadable answers among the estimation samples of each question.
    """

    sampled: Sampled
    statements: list[Counted]
    oracles: list[Labelling]
    clean: str
    answer: str
    unparseable: list[int]


def certify_answers(
    generator: Answering | AnsweringByImage,
    data: Any,
    indices: Sequence[int],
    questions: Sequence[AnswerQuestion],
    plan: SmoothingPlan,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Iterator[AnsweredImage]:
    """Certifies the label of the answers, per image and oracle.

    Args:
        generator: the model, or one that differs by image; called on noisy pixels, which may lie outside [0, 1].
        data: map-style data set of (image (3, H, W) in [0, 1], label).
        indices: which images.
        questions: oracles; they share alpha, and every answer is labelled by all of them.
        plan: noise, sample sizes and confidence.
        batch_size: noisy copies per call; batches mix images.
        device: where the generator wants its images.

    Returns:
        An iterator over results, in the order of the images unless the plan draws different numbers of samples.
    """
    answering = _Pass(ready(generator), questions, plan, torch.device(device))
    passes = sample_statements(
        answering.classify,
        (answering.begin(data, index) for index in indices),
        [Statement(q.name, q.name, 0, "label of the answer", q.num_classes, q.target) for q in questions],
        plan,
        batch_size=batch_size,
        device=device,
        with_draws=True,
    )
    for sampled in passes:
        yield answering.finish(sampled)


class _Pass:
    """The state of a pass: images on their way."""

    def __init__(
        self,
        generator: Answering | AnsweringByImage,
        questions: Sequence[AnswerQuestion],
        plan: SmoothingPlan,
        device: torch.device,
    ) -> None:
        self.generator, self.questions, self.plan, self.device = generator, questions, plan, device
        self.images: dict[int, _Image] = {}

    def begin(self, data: Any, index: int) -> Sample:
        """An image as it is certified; its anchors are fixed here."""
        image, label = clean_picture(data, index)
        image = on_grid(image) if self.plan.noise == "grid" else image
        clean = answers_at(
            self.generator, image[None].to(self.device), [(index, range(CLEAN_DRAW, CLEAN_DRAW + 1))], self.plan.seed
        )[0]
        oracles = {question.name: question.oracle_at(index, clean) for question in self.questions}
        self.images[index] = _Image(clean, oracles, Counter(), Counter())
        wanted = {q.name: q.label_of(index, int(label), oracles[q.name]) for q in self.questions}
        return Sample(index=index, image=image, labels=wanted)

    def classify(self, images: Tensor, parts: Parts) -> Mapping[str, Tensor]:
        """Labels per question of noisy copies."""
        answers = answers_at(self.generator, images, [(sample.index, draws) for sample, draws in parts], self.plan.seed)
        labels: dict[str, list[int]] = {question.name: [] for question in self.questions}
        begin = 0
        for sample, draws in parts:
            some = answers[begin : begin + len(draws)]
            begin += len(draws)
            image = self.images[sample.index]
            selecting = max(0, min(draws.stop, self.plan.selection.stop) - draws.start)
            image.selected.update(some[:selecting])
            for name, oracle in image.oracles.items():
                found = oracle.labels(some)
                labels[name] += found
                image.unparseable[name] += found[selecting:].count(len(oracle.classes) - 1)
        return {name: torch.tensor(found, dtype=torch.long) for name, found in labels.items()}

    def finish(self, sampled: Sampled) -> AnsweredImage:
        """The result of an image, which is forgotten."""
        image, total = self.images.pop(sampled.sample.index), len(self.questions)
        most_frequent = image.selected.most_common(1)
        return AnsweredImage(
            sampled=sampled,
            statements=[counted(sampled.sample, outcome, self.plan, total) for outcome in sampled.outcomes],
            oracles=list(image.oracles.values()),
            clean=image.clean,
            answer=most_frequent[0][0] if most_frequent else image.clean,
            unparseable=[image.unparseable[question.name] for question in self.questions],
        )
