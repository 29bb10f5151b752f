"""Calibrates semantic certificates of a model on pictures of the changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from hrvlm.certificates.kinds.classifiers import classifiers_of
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.kinds.semantic.calibrating import (
    Calibrated,
    Claim,
    calibrate_claim,
    group_level,
    statements_of,
)
from hrvlm.certificates.kinds.semantic.calibration import CalibratedChange, Calibration
from hrvlm.data.references import pictures_identity
from hrvlm.evaluation.calibration_settings import CalibrationSettings
from hrvlm.evaluation.shown_features import ShownImages, claims_of
from hrvlm.evaluation.subject import data_identity, identity, load_subject
from hrvlm.models import Checkpoint, HierarchicalClassifier, inference_copy, inferring
from hrvlm.whole_files import check_place


def calibrate(
    checkpoint: Checkpoint | str,
    settings: CalibrationSettings,
    path: Path,
    say: Callable[[str], None] = lambda sentence: None,
) -> Calibration:
    """Calibrates all changes, levels and scorers, and writes the file.

    Args:
        checkpoint: See `hrvlm.models.load`.
        settings: Data, trees, changes with pictures, and rates.
        path: The file.
        say: Gets sentences that a reader of the file must know.

    Raises:
        ValueError: If checkpoint, trees, data and pictures do not fit each other, or there are too few images.
    """
    check_place(path.parent)
    classifier, data = load_subject(checkpoint, settings)
    changes = settings.plan.changes()
    known = identity(classifier, settings.split)
    shown = ShownImages(inference_copy(classifier), data, settings.plan)
    if shown.left_out:
        say(f"{shown.left_out} images are left out: they have no pictures of some change")
    claims, groups, sizes = calibrated_claims(shown, settings)
    calibration = Calibration(
        population=settings.plan.population,
        weights=known["weights"],
        trees=tuple(known["trees"]),
        changes=tuple(
            CalibratedChange(name=c.name, source=c.source, target=c.target, target_kind=c.target_kind) for c in changes
        ),
        pictures={
            "split": settings.split, **data_identity(data), **pictures_identity(changes), **settings.plan.identity()
        },
        parts=sizes,
        statements=tuple(statements_of(claims, groups, settings.plan.options)),
    )  # fmt: skip
    calibration.write(path)
    return calibration


def calibrated_claims(
    shown: ShownImages, settings: CalibrationSettings
) -> tuple[dict[Claim, Calibrated], dict[str, Tensor], dict[str, int]]:
    """What calibration images say of every claim, their groups per scorer, and the sizes of the parts.

    Args:
        shown: Images of the data with pictures of all changes.
        settings: Changes and rates.

    Raises:
        ValueError: If there are too few images, or no level of the groups asked for.
    """
    options = settings.plan.options
    parts = options.parts(len(shown.indices))
    classifiers = classifiers_of(shown.classifier)
    scorers = LevelScorers(classifiers)
    found: dict[Claim, Calibrated] = {}
    groups: dict[str, Tensor] = {}
    with inferring(*classifiers.values()):
        if options.groups is not None:
            groups = {
                kind: _groups(classifier, shown.features[parts["calibrate"]], options.groups)
                for kind, classifier in classifiers.items()
            }
        for change in settings.plan.changes():
            encoded = shown.encoded(change)
            split = [claims_of(scorers, change, encoded.rows(images)) for images in parts.values()]
            for (claim, fitted), (_, choice), (_, rest) in zip(*split, strict=True):
                found[claim] = calibrate_claim(fitted.speed(), choice, rest, options)
    return found, groups, {name: len(images) for name, images in parts.items()}


def _groups(classifier: HierarchicalClassifier, features: Tensor, groups: str) -> Tensor:
    """The class `(n,)` of the level of groups that images are predicted to be."""
    tree, level = group_level(groups)
    for key in classifier.keys:
        if (classifier.forest[key.tree].name, key.level) == (tree, level):
            return classifier.labels(classifier.head.lift_image(features), [key])[key]
    there = ", ".join(f"{classifier.forest[key.tree].name}/{key.level}" for key in classifier.keys)
    raise ValueError(f"expected groups among the levels {there}, got {groups!r}")
