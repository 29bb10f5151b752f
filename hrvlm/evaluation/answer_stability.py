"""Is the class of an answer stable while a picture changes, and up to where may that be claimed of other images?

A model that answers in words is asked about an image and about pictures of a change of it, without noise; an oracle
gives every answer a class. What is claimed of an image is that up to a share of the change no picture has an answer of
another class than the image itself. There are no embeddings whose margins could tell images apart, so the share is one
for all images: the largest that the answers on calibration images violate seldom enough, see `statistics.risk`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.statistics.risk import calibrate_risk
from hrvlm.data.references import pictures_identity
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.answer_options import AnswerOptions
from hrvlm.evaluation.answers import labelling_at
from hrvlm.evaluation.calibration_settings import CalibrationSettings, CheckSettings
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.questions import without_questions
from hrvlm.evaluation.subject import answered_pictures, data_identity
from hrvlm.generative import Generator
from hrvlm.models import Checkpoint, inference_copy
from hrvlm.models.pixels import clean_picture
from hrvlm.training.pictured_changes import SequencePictures
from hrvlm.whole_files import check_place, write_whole

SHARES = tuple(1 - step / 1000 for step in range(1001))
"""Of a change, fixed before any answer was seen: from all of it down to nothing."""
Asking: TypeAlias = CalibrationSettings | CheckSettings
"""What tells data, changes with pictures, and oracles."""


@dataclass(frozen=True, kw_only=True)
class AnswerPath:
    """The answers on an image and on pictures of one change of it.

    Attributes:
        index: of the image.
        change: its name.
        oracle: name of the oracle.
        shares: of the change that the pictures show, in (0, 1]; the image itself is not among them.
        classes: of the answers, as the oracle numbers them: on the image, then on each picture.
        stable: the largest of these shares up to which all answers have the class of the first; 0 for none.
    """

    index: int
    change: str
    oracle: str
    shares: tuple[float, ...]
    classes: tuple[int, ...]
    stable: float


@dataclass(frozen=True, kw_only=True)
class StableStretch:
    """Up to which share of a change the class of an answer is claimed.

    Attributes:
        change: its name.
        oracle: name of the oracle.
        epsilon: rate of images that is allowed whose claim some picture contradicts.
        images: number of calibration images.
        unstable: share of them with an answer of another class anywhere on the change.
        mean_stable: mean over them of `AnswerPath.stable`.
        shares: by form, "marginal" or the confidence as text; None where no share is valid, not even 0.
    """

    change: str
    oracle: str
    epsilon: float
    images: int
    unstable: float
    mean_stable: float
    shares: dict[str, float | None]


def first_changes(classes: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """The smallest share `(N,)` at which an answer has another class than that on the image; infinite for none.

    Args:
        classes: `(N, 1 + T)` of the answers on images and on pictures of their change.
        shares: `(N, T)` of the change that the pictures show; infinite where there is no picture.
    """
    given, at = np.asarray(classes), np.asarray(shares, dtype=np.float64)
    other = given[:, 1:] != given[:, :1]
    return np.where(other, at, math.inf).min(axis=1, initial=math.inf)


def stable_share(first: ArrayLike, *, epsilon: float, confidence: float | None = None) -> float | None:
    """The largest share of a change up to which all but a share epsilon of the images keep the class of their answer.

    Args:
        first: `(n,)` see `first_changes`.
        epsilon: rate of violated claims that is allowed, in (0, 1).
        confidence: None for the marginal form, else in (0, 1); see `calibrate_risk`.

    Returns:
        One of `SHARES`; None where none is valid, as with too few images.

    Raises:
        ValueError: see `calibrate_risk`.
    """
    losses = np.asarray(first, dtype=np.float64)[:, None] <= np.array(SHARES)
    place = calibrate_risk(losses, epsilon=epsilon, confidence=confidence)
    return None if place is None else SHARES[place]


def calibrate_answers(
    checkpoint: Checkpoint | str,
    settings: CalibrationSettings,
    path: Path,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[StableStretch]:
    """Asks about all pictures, and writes stable stretches with the paths that they follow from.

    Args:
        checkpoint: See `hrvlm.generative.load_generator`.
        settings: Data, changes with pictures, rates, and oracles.
        path: The file, JSON.
        say: Gets a sentence per stretch.

    Raises:
        ValueError: If decoding is random, thresholds of groups or joint ones are asked for, an oracle has what only
            certificates take, or parts do not fit.
    """
    check_place(path.parent)
    asked = settings.plan.options
    if asked.joint or asked.groups is not None:
        raise ValueError("expected no joint thresholds and no groups with answers: a stretch is one share per change")
    told, paths = answer_paths(checkpoint, settings)
    stretches = [
        _stretch(
            [one for one in paths if (one.change, one.oracle) == (change.name, question.oracle.name)], epsilon, asked
        )
        for change in settings.plan.changes()
        for question in cast(AnswerOptions, settings.answers).questions
        for epsilon in asked.epsilons
    ]
    result = {
        "schema": 1,
        "population": settings.plan.population,
        **told,
        "stretches": [asdict(stretch) for stretch in stretches],
        "paths": [asdict(one) for one in paths],
    }  # fmt: skip
    write_whole(path, json.dumps(result, indent=1) + "\n")
    for stretch in stretches:
        say(_words(stretch))
    return stretches


def answer_paths(checkpoint: Checkpoint | str, settings: Asking) -> tuple[dict[str, Any], list[AnswerPath]]:
    """What tells model, oracles and pictures from others, and the answers on images that have pictures of all changes.

    Raises:
        ValueError: If decoding is random, or an oracle has what only certificates take.
    """
    options = cast(AnswerOptions, settings.answers)
    _check_options(options)
    generator = options.load(checkpoint, settings.device)
    data, changes = without_questions(answered_pictures(settings)), settings.plan.changes()
    told = {
        "generator": generator.describe(),
        "oracles": [question.oracle.describe() for question in options.questions],
        "pictures": {
            "split": settings.split, **data_identity(data), **pictures_identity(changes), **settings.plan.identity()
        },
    }  # fmt: skip
    pictures = SequencePictures(data, settings.plan)
    shown = pictures.complete(evenly_spread(len(data), settings.plan.num_images))
    answering, found = inference_copy(generator), list[AnswerPath]()
    with following("asking", len(changes) * len(shown)) as bar:
        for asked in product(changes, shown):
            found += _of_image(answering, data, asked, pictures, settings)
            bar.advance()
    return told, found


def _check_options(options: AnswerOptions) -> None:
    if options.decoding.random:
        raise ValueError("expected greedy decoding where the stability of answers is asked, got a temperature above 0")
    for question in options.questions:
        if given := [name for name in ("error", "calibration", "target") if getattr(question, name) is not None]:
            raise ValueError(
                f"expected an oracle alone where the stability of answers is asked, got {given[0]} of oracle "
                f"{question.oracle.name!r}: leave it out, for a stretch is about the oracle's own label"
            )


def _of_image(
    generator: Generator,
    data: Any,
    asked: tuple[Attribute, int],
    pictures: SequencePictures,
    settings: Asking,
) -> list[AnswerPath]:
    change, index = asked
    shares = pictures.shares(change, index)
    image = clean_picture(data, index)[0]
    images = torch.cat([image[None], pictures.pictures(change, index)]).to(settings.device)
    with torch.no_grad():
        answers = [text for some in images.split(settings.plan.batch_size) for text in generator.generate(some)]
    found = []
    for question in cast(AnswerOptions, settings.answers).questions:
        classes = labelling_at(question.oracle, answers[0]).labels(answers)
        first = float(first_changes([classes], [shares])[0])
        stable = max((share for share in shares if share < first), default=0.0)
        found.append(
            AnswerPath(
                index=index, change=change.name, oracle=question.oracle.name, shares=tuple(shares),
                classes=tuple(classes), stable=stable,
            )
        )  # fmt: skip
    return found


def _stretch(paths: Sequence[AnswerPath], epsilon: float, options: Any) -> StableStretch:
    first = [float(first_changes([one.classes], [one.shares])[0]) for one in paths]
    forms = {"marginal": None} | ({} if options.confidence is None else {f"{options.confidence:g}": options.confidence})
    shares = {name: stable_share(first, epsilon=epsilon, confidence=form) for name, form in forms.items()}
    return StableStretch(
        change=paths[0].change,
        oracle=paths[0].oracle,
        epsilon=epsilon,
        images=len(paths),
        unstable=float(np.isfinite(first).mean()),
        mean_stable=float(np.mean([one.stable for one in paths])),
        shares=shares,
    )


def _words(stretch: StableStretch) -> str:
    said = ", ".join(f"{name}: {'none' if s is None else f'{s:g}'}" for name, s in stretch.shares.items())
    return (
        f"{stretch.change}, {stretch.oracle}: of {stretch.images} images {100 * stretch.unstable:.1f}% get an answer "
        f"of another class on the way, the class holds on {stretch.mean_stable:.2f} of it on average; at epsilon "
        f"{stretch.epsilon:g}: {said}"
    )
