"""Certificates of models that answer in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from hrvlm import shipped
from hrvlm.certificates.kinds.oracle.certify import AnsweredImage, AnswerQuestion, Labelling, certify_answers
from hrvlm.certificates.kinds.oracle.errors import OracleError
from hrvlm.certificates.kinds.oracle.from_counts import OracleTask, corrected_records, oracle_records
from hrvlm.certificates.kinds.oracle.record import CLAIMS, OracleRecord
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.data.reading_ahead import ReadAhead
from hrvlm.evaluation.answer_options import (
    AnswerOptions,
    Calibration,
    QuestionOptions,
    check_sampling,
    read_references,
    reference_digest,
)
from hrvlm.evaluation.oracle_errors import oracle_errors
from hrvlm.evaluation.questions import answering_about, asked_of, described_generator
from hrvlm.evaluation.subject import data_identity
from hrvlm.generative.oracles import OTHER, UNPARSEABLE, EquivalenceOracle, Oracle
from hrvlm.models import Checkpoint
from hrvlm.rows.record import Key, Record
from hrvlm.trees.bounded_text import file_digest

# What rows of answers do not depend on, or say themselves.
UNUSED = (
    "smoothing", "semantic", "joint", "profile", "joint_questions", "attributes", "library", "library_files",
    "num_images", "radii", "batch_size",
)  # fmt: skip


class NoAnchor:
    """Stands for an oracle where the clean answer is none to compare with: everything is unparseable."""

    classes = ("equivalent to an unparseable answer", OTHER, UNPARSEABLE)

    def labels(self, answers: Sequence[str]) -> list[int]:
        """The last class."""
        return [2] * len(answers)


def labelling_at(oracle: Oracle, clean: str | None) -> Labelling:
    """The oracle of an image: one that needs anchors has the answer on the clean image."""
    if not isinstance(oracle, EquivalenceOracle) or not oracle.needs_anchors:
        return oracle
    return oracle.anchored([clean]) if clean is not None and oracle.anchors_of([clean]) else NoAnchor()


def _labelling_of(oracle: Oracle, index: int, clean: str) -> Labelling:
    return labelling_at(oracle, clean)


def composite_alone(record: OracleRecord, calibration_share: float) -> list[OracleRecord]:
    """The composite row of an image whose oracle error is unknown, beside images where it is estimated.

    It leaves that part of alpha unused, so that all images of a run have the same shares and can be averaged.
    """
    known = OracleError(model="audit", errors=0, trials=1, calibration_share=calibration_share)
    return corrected_records(record, known)[:1]


class AnswerWork:
    """Certificates of the answers of a model; see `work.Work`.

    Raises:
        ValueError: If the plan asks for certificates of classifiers, or files do not fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str,
        options: AnswerOptions,
        plan: CertificationPlan,
        data: Any,
        split: str | None,
        device: torch.device,
        num_workers: int = 0,
    ) -> None:
        if plan.semantic or plan.joint or plan.profile is not None or not plan.smoothing:
            raise ValueError("expected a plan of smoothing alone with answers: `semantic: false`, no joint, no profile")
        check_sampling(plan.sampling)
        self.options, self.plan, self.data, self.device = options, plan, data, device
        self.num_workers = num_workers
        self.generator = options.load(checkpoint, device)
        self.asked = asked_of(data, options)
        self.answering = answering_about(self.generator, self.asked)
        self.references = read_references(options.references, data.class_names, self.generator.prompt)
        self.anchored = {question.oracle.name for question in options.questions if question.oracle.needs_anchors}
        self.questions = [self._question(question) for question in options.questions]
        self.errors = {question.oracle.name: oracle_errors(question) for question in options.questions}
        self.calibrations = {question.oracle.name: question.calibration for question in options.questions}
        self.corrected = {q.oracle.name for q in options.questions if q.error or q.calibration}
        self.depends_on = self._identity(split)

    def open_store(self, folders: ExitStack) -> FeatureStore | None:
        """Answers come from no features that could be kept."""
        return None

    def count(self, num_images: int) -> int:
        """One pass over the images."""
        return num_images

    def records(
        self, indices: list[int], done: set[Key], progress: Callable[[int], None], store: FeatureStore | None
    ) -> Iterator[Sequence[Record]]:
        """Rows of each image as soon as it is finished."""
        left = [index for index in indices if not self._is_done(index, done)]
        progress(len(indices) - len(left))
        answered = certify_answers(
            self.answering,
            ReadAhead(self.data, left, self.num_workers),
            left,
            self.questions,
            self.plan.smoothing_plan(),
            batch_size=self.plan.fixed_batch_size,
            device=self.device,
        )
        for image in answered:
            yield [row for row in self._rows(image) if row.key not in done]
            progress(1)

    def remarks(self) -> list[str]:
        """What went wrong inside model and oracles and was counted as unparseable, in words."""
        lost = self.generator.lost.count
        failed = {question.oracle.name: question.oracle.failures for question in self.options.questions}
        return [
            f"The oracle {name!r} failed on {failures.count} answers, which are unparseable to it, first with: "
            f"{failures.first}"
            for name, failures in failed.items()
            if failures.count
        ] + [
            f"{lost} answers came of scores that are not finite (NaN or infinity): they are blank, hence unparseable. "
            "Check weights, sigma and precision."
        ] * bool(lost)

    def _rows(self, image: AnsweredImage) -> Iterator[OracleRecord]:
        for record, oracle, unparseable in zip(image.statements, image.oracles, image.unparseable, strict=True):
            task = OracleTask(
                oracle=record.tree,
                classes=oracle.classes,
                generator=self.generator.name,
                prompt=self.generator.prompt if self.asked is None else self.asked[record.index].prompt,
                decoding=asdict(self.generator.decoding),
                prompt_of="run" if self.asked is None else "image",
            )
            error, calibration = self.errors[record.tree](record.prediction), self.calibrations[record.tree]
            rows = oracle_records(
                record,
                task,
                unparseable=unparseable,
                error=error,
                answer=image.answer,
                anchor=image.clean if record.tree in self.anchored else None,
            )
            if error is None and calibration is not None:
                rows = composite_alone(rows[0], calibration.calibration_share)
            yield from rows

    def _is_done(self, index: int, done: set[Key]) -> bool:
        return all(
            (OracleRecord.kind, index, question.name, 0, question.name, claim) in done
            for question in self.questions
            for claim in (CLAIMS if question.name in self.corrected else CLAIMS[:1])
        )

    def _question(self, options: QuestionOptions) -> AnswerQuestion:
        oracle = options.oracle
        at = partial(_labelling_of, oracle)
        if oracle.needs_anchors:
            return AnswerQuestion(oracle.name, 3, at, self._label, target=0)
        target = None if options.target is None else oracle.classes.index(options.target)
        return AnswerQuestion(oracle.name, len(oracle.classes), at, self._label, target=target)

    def _label(self, index: int, label: int, oracle: Labelling) -> int:
        """Class of the true answer: the first class that a true answer has, -1 where none is known."""
        if self.asked is not None:
            return min(oracle.labels(self.asked[index].references), default=-1)
        if self.references is None:
            return -1
        return min(oracle.labels(self.references[label]))

    def _identity(self, split: str | None) -> dict[str, Any]:
        plan = {name: value for name, value in self.plan.identity().items() if name not in UNUSED}
        asked = [
            {
                "oracle": question.oracle.describe(),
                "error": None if question.error is None else asdict(question.error),
                "calibration": None if question.calibration is None else _described(question.calibration),
                **({} if question.target is None else {"target": question.target}),
            }
            for question in self.options.questions
        ]
        return {
            "generator": described_generator(self.generator, self.asked),
            "questions": asked,
            "references": reference_digest(self.options.references),
            "split": split,
            **data_identity(self.data),
            "random_numbers": SCHEME,
            **plan,
        }


def _described(calibration: Calibration) -> dict[str, Any]:
    """A calibration with a digest of its file in place of the path."""
    return asdict(calibration) | {"file": file_digest(shipped.find(calibration.file))}
