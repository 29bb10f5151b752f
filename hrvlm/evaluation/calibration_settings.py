"""What a calibration of semantic certificates is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from hrvlm.certificates.kinds.semantic.calibrating import CalibrationOptions
from hrvlm.evaluation.answer_options import AnswerOptions
from hrvlm.evaluation.subject import Subject
from hrvlm.training.pictured_changes import PicturedChanges


@dataclass(frozen=True, kw_only=True)
class ShownChanges(PicturedChanges):
    """Which changes are calibrated or checked, by which pictures.

    Attributes:
        num_images: Size of the fixed subset, spread evenly over the split; null takes every image.
        batch_size: Pictures per pass.
    """

    num_images: int | None = None
    batch_size: int = 256


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan(ShownChanges):
    """What is calibrated, and for whom.

    Attributes:
        population: The images that claims shall hold of, in words: it stands in every row.
        options: Rates, forms and splits.
    """

    population: str
    options: CalibrationOptions = field(default_factory=CalibrationOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.population.strip():
            raise ValueError("expected a population in words, got a blank text: which images shall the claims hold of?")


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(Subject):
    """What `certify.py calibrate` needs besides checkpoint and output.

    Attributes:
        plan: Changes, pictures, rates.
        answers: Prompt, decoding and oracles of a model that answers in words; null for a classifier.
    """

    plan: CalibrationPlan
    answers: AnswerOptions | None = None


@dataclass(frozen=True, kw_only=True)
class CheckSettings(Subject):
    """What `certify.py check-calibration` needs besides checkpoint, calibration and output.

    Attributes:
        plan: Changes and pictures of a second set of images.
        answers: Prompt, decoding and oracles, as the calibration had them; null for a classifier.
    """

    plan: ShownChanges
    answers: AnswerOptions | None = None
