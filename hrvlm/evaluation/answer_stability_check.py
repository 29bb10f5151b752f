"""Whether answers keep their class as far as a calibration says, on a second set of images with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hrvlm.evaluation.answer_stability import AnswerPath, StableStretch, answer_paths, first_changes
from hrvlm.evaluation.calibration_check import ALPHA, measured, warn_of_own_pictures
from hrvlm.evaluation.calibration_settings import CheckSettings
from hrvlm.models import Checkpoint
from hrvlm.trees.bounded_text import read_json
from hrvlm.whole_files import check_place, write_whole


@dataclass(frozen=True, kw_only=True)
class AnswerCheck:
    """How often one stretch failed.

    Attributes:
        change: its name.
        oracle: name of the oracle.
        epsilon: rate that is allowed.
        form: "marginal", or a confidence.
        share: of the change up to which the class of the answer was claimed.
        images: how many.
        violated: how many of them get an answer of another class on a picture up to the share.
        lower: exact bound below the violation rate, false with probability ALPHA / 2 at most.
        upper: and above.
        contradicted: whether it is known that the share does not keep epsilon, see `calibration_check.contradicts`; an
            error of all verdicts together in ALPHA of the checks.
    """

    change: str
    oracle: str
    epsilon: float
    form: str
    share: float
    images: int
    violated: int
    lower: float
    upper: float
    contradicted: bool


class _Told(msgspec.Struct):
    """A file of `calibrate_answers`, less its paths."""

    population: str
    generator: dict[str, Any]
    oracles: list[dict[str, Any]]
    pictures: dict[str, Any]
    stretches: list[StableStretch]


def check_answers(
    calibration_file: Path,
    checkpoint: Checkpoint | str,
    settings: CheckSettings,
    path: Path,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[AnswerCheck]:
    """Asks about the pictures of a second set, and writes how often stretches fail there, as JSON.

    Args:
        calibration_file: Of `certify.py calibrate` with answers.
        checkpoint: The model that it was made for.
        settings: A second set of images with pictures of the changes, and the oracles.
        path: The file.
        say: Gets sentences that a reader must know, and one per stretch, or that there is none.

    Raises:
        ValueError: If the calibration is of another model, other oracles or changes, or see `answer_paths`.
    """
    check_place(path.parent)
    known = _read(calibration_file)
    told, paths = answer_paths(checkpoint, settings)
    told = json.loads(json.dumps(told))  # as the file was written
    changes = {stretch.change for stretch in known.stretches}
    differing = [name for name in ("generator", "oracles") if told[name] != getattr(known, name)]
    differing += [f"change {c.name!r}" for c in settings.plan.changes() if c.name not in changes]
    if differing:
        raise ValueError(
            f"expected a calibration of what is checked, got one of another {', '.join(differing)}: make one with "
            "certify.py calibrate"
        )
    warn_of_own_pictures(known.pictures, told["pictures"], say)
    found = _checked(known.stretches, paths)
    result = {"population": known.population, **told, "checks": [asdict(check) for check in found]}
    write_whole(path, json.dumps(result, indent=1) + "\n")
    if not found:
        say("no stretch was claimed: nothing to check")
    for check in found:
        say(_words(check))
    return found


def _read(path: Path) -> _Told:
    try:
        return msgspec.convert(read_json(path), _Told)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"expected a calibration of answers that certify.py calibrate wrote at {path}, got {reason}"
        ) from error


def _checked(stretches: Sequence[StableStretch], paths: Sequence[AnswerPath]) -> list[AnswerCheck]:
    """Of the stretches of changes that were shown, with a share at all."""
    first: dict[tuple[str, str], list[float]] = {}
    for one in paths:
        first.setdefault((one.change, one.oracle), []).append(float(first_changes([one.classes], [one.shares])[0]))
    asked = [
        (stretch, form, share)
        for stretch in stretches
        for form, share in stretch.shares.items()
        if share is not None and (stretch.change, stretch.oracle) in first
    ]
    return [
        _check(stretch, form, share, np.array(first[stretch.change, stretch.oracle]), ALPHA / len(asked))
        for stretch, form, share in asked
    ]


def _check(stretch: StableStretch, form: str, share: float, first: Any, alpha: float) -> AnswerCheck:
    found = measured(stretch, form, int((first <= share).sum()), len(first), alpha)
    return AnswerCheck(change=stretch.change, oracle=stretch.oracle, epsilon=stretch.epsilon, share=share, **found)


def _words(check: AnswerCheck) -> str:
    verdict = "contradicted" if check.contradicted else "not contradicted"
    return (
        f"{check.change}, {check.oracle}, epsilon {check.epsilon:g} ({check.form}): up to {check.share:g} of the "
        f"change {check.violated} of {check.images} images get an answer of another class, a rate of "
        f"{100 * check.lower:.1f} to {100 * check.upper:.1f}%: {verdict}"
    )
