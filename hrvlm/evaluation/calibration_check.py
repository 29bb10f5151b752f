"""Whether the violation rates of a calibration hold on a second set of images with pictures of the changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from hrvlm.certificates import clopper_pearson_lower
from hrvlm.certificates.kinds.classifiers import classifiers_of
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrated_stretch import MARGINAL
from hrvlm.certificates.kinds.semantic.calibrating import Claim
from hrvlm.certificates.kinds.semantic.calibration import Calibration, ThresholdRecord, read_calibration
from hrvlm.certificates.kinds.semantic.calibration_losses import ShownChange
from hrvlm.certificates.statistics.binomial import clopper_pearson_interval
from hrvlm.certificates.statistics.risk import excess_probability
from hrvlm.data.references import pictures_identity
from hrvlm.evaluation.calibration_settings import CheckSettings
from hrvlm.evaluation.shown_features import ShownImages, claims_of
from hrvlm.evaluation.subject import data_identity, identity, load_subject
from hrvlm.models import Checkpoint, inference_copy, inferring
from hrvlm.whole_files import check_place, write_whole

ALPHA = 0.05
"""Error probability of each interval, and of all verdicts together."""
Violated: TypeAlias = dict[tuple[int, str], Tensor]


@dataclass(frozen=True, kw_only=True)
class CheckRecord:
    """How often one threshold failed.

    Attributes:
        over: which claims it makes right together.
        scorer: kind of the scorer.
        target_kind: "text" or "image".
        attribute: name of the change; None where it is over all.
        tree: name of the tree; None, as `level`, where it is over all levels.
        level: level of the tree.
        group: of the images, or None.
        epsilon: rate that is allowed.
        form: "marginal", or a confidence.
        threshold: that was checked.
        images: how many.
        violated: of how many some picture contradicts a claim.
        lower: exact bound below the violation rate, false with probability ALPHA / 2 at most.
        upper: and above.
        contradicted: whether it is known that the threshold does not keep epsilon, see `contradicts`; an error of all
            verdicts together in ALPHA of the checks.
    """

    over: str
    scorer: str
    target_kind: str
    attribute: str | None
    tree: str | None
    level: int | None
    group: tuple[str, int, int] | None
    epsilon: float
    form: str
    threshold: float
    images: int
    violated: int
    lower: float
    upper: float
    contradicted: bool


def check_calibration(
    calibration_file: Path,
    checkpoint: Checkpoint | str,
    settings: CheckSettings,
    path: Path,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[CheckRecord]:
    """Measures violation rates and writes them, with what was checked, as JSON.

    Args:
        calibration_file: Of `certify.py calibrate`.
        checkpoint: The model that it was made for.
        settings: A second set of images with pictures of the changes.
        path: The file.
        say: Gets sentences that a reader must know.

    Raises:
        ValueError: If the calibration is of another model or other changes, or data and pictures do not fit each other.
    """
    check_place(path.parent)
    calibration = read_calibration(calibration_file)
    classifier, data = load_subject(checkpoint, settings)
    changes, known = settings.plan.changes(), identity(classifier, settings.split)
    classifiers = classifiers_of(inference_copy(classifier))
    scorers = LevelScorers(classifiers)
    calibration.check(weights=known["weights"], trees=known["trees"], scorers=list(classifiers), changes=changes)
    shown = ShownImages(next(iter(classifiers.values())), data, settings.plan)
    pictures = {"split": settings.split, **data_identity(data), **pictures_identity(changes)}
    warn_of_own_pictures(calibration.pictures, pictures, say)
    with inferring(*classifiers.values()):
        violated: Violated = {}
        labels: dict[tuple[str, str, int], Tensor] = {}
        for change in changes:
            encoded = shown.encoded(change)
            for claim, of_change in claims_of(scorers, change, encoded):
                _add_violated(violated, claim, of_change, calibration)
                labels[claim[0], claim[3], claim[4]] = of_change.label
    found = list(_checked(calibration, violated, labels))
    result = {"calibration": calibration.digest, "population": calibration.population, "pictures": pictures}
    write_whole(path, json.dumps(result | {"checks": [asdict(check) for check in found]}, indent=1) + "\n")
    return found


def _add_violated(violated: Violated, claim: Claim, shown: ShownChange, calibration: Calibration) -> None:
    """Notes, per threshold that holds of a claim and its form, which images violate it or one that it goes with."""
    scorer, kind, name, tree, level = claim
    concerned = {id(s) for s in calibration.of(name, kind, scorer, tree, level)}
    for place, s in enumerate(calibration.statements):
        for form, threshold in s.thresholds.items() if id(s) in concerned else ():
            if threshold is not None:
                wrong = shown.violated(threshold, s.scale, s.speed)
                violated[place, form] = violated.get((place, form), torch.zeros_like(wrong)) | wrong


def _checked(
    calibration: Calibration, violated: Violated, labels: Mapping[tuple[str, str, int], Tensor]
) -> Iterator[CheckRecord]:
    for (place, form), wrong in sorted(violated.items(), key=lambda item: item[0]):
        statement = calibration.statements[place]
        if statement.group is not None:
            tree, level, label = statement.group
            wrong = wrong[labels[statement.scorer, tree, level] == label]
        if len(wrong):
            yield _record(statement, form, int(wrong.sum()), len(wrong), ALPHA / len(violated))


def _record(statement: ThresholdRecord, form: str, violated: int, images: int, alpha: float) -> CheckRecord:
    names = ("over", "scorer", "target_kind", "attribute", "tree", "level", "group", "epsilon")
    given: dict[str, Any] = {name: getattr(statement, name) for name in names}
    threshold = float(statement.thresholds[form] or 0.0)
    return CheckRecord(**given, threshold=threshold, **measured(statement, form, violated, images, alpha))


def warn_of_own_pictures(known: Mapping[str, Any], checked: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Says so if images and pictures that are checked are those of the calibration."""
    if all(known.get(name) == value for name, value in checked.items()):
        say("these are images and pictures of the calibration itself: their rates say nothing of other images")


class Calibrated(Protocol):
    """What was calibrated: at which rate, on how many images."""

    @property
    def epsilon(self) -> float:
        """Rate that is allowed."""

    @property
    def images(self) -> int:
        """Number of calibration images."""


def measured(statement: Calibrated, form: str, violated: int, images: int, alpha: float) -> dict[str, Any]:
    """What checks of all kinds state: counts, the exact interval of the rate, and the verdict, see `contradicts`."""
    lower, upper = clopper_pearson_interval(violated, images, ALPHA)
    return {
        "form": form,
        "images": images,
        "violated": violated,
        "lower": float(lower),
        "upper": float(upper),
        "contradicted": contradicts(statement, form, violated, images, alpha),
    }


def contradicts(statement: Calibrated, form: str, violated: int, images: int, alpha: float) -> bool:
    """Whether a violation rate contradicts what a form of a threshold says of epsilon.

    The form with confidence says that this threshold's own rate is at most epsilon, the marginal one that the rate is
    so on average over calibrations.

    Args:
        statement: what was calibrated.
        form: "marginal", or a confidence.
        violated: of how many images some picture contradicts the claim.
        images: number of them, exchangeable with the calibration's if its assumption holds.
        alpha: probability of an error.
    """
    if form == MARGINAL:
        probability = excess_probability(violated, images, calibrated_on=statement.images, epsilon=statement.epsilon)
        return probability <= alpha
    return bool(clopper_pearson_lower(violated, images, alpha) > statement.epsilon)
