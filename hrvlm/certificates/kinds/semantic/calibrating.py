"""Chooses thresholds of semantic claims on pictures of the changes, so that pictures seldom contradict a claim.

Images are split in three, at random: on the first the path's speed is fitted, on the second what thresholds are
measured in is chosen by the share of the change that is claimed, and on the third alone thresholds are calibrated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CONFIDENCE, MARGINAL, UNITS, Over
from hrvlm.certificates.kinds.semantic.calibration import ThresholdRecord
from hrvlm.certificates.kinds.semantic.calibration_losses import THRESHOLDS, ShownChange, violation_counts, worst_of
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.certificates.statistics.binomial import check_probability
from hrvlm.certificates.statistics.risk import smallest_valid

GROWTHS = (0.0, 1.0, 3.0, -0.9)
"""Of thresholds per radian: those that are tried, the simplest first."""
Claim: TypeAlias = tuple[str, str, str, str, int]
"""Scorer, target kind, change, tree and level."""
Measured: TypeAlias = tuple[ThresholdScale, PathSpeed]
"""What thresholds are measured in, and how fast pictures go along the rotation."""


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What is calibrated.

    Attributes:
        epsilons: Rates of violated claims that are allowed, each with thresholds of its own.
        confidence: Probability, over the calibration images, that the rate of further images is kept; null for the
            marginal form alone, which keeps it on average over calibrations.
        joint: Thresholds that besides hold of several claims of an image together: of its "levels", "changes" or "all".
        groups: "TREE/LEVEL" whose predicted classes are groups of images with thresholds of their own; null for none.
        fit_share: Share of the images that the path's speed is fitted on.
        choice_share: Share of the images on which it is chosen what thresholds are measured in.
        seed: Of the split.
    """

    epsilons: tuple[float, ...] = (0.05, 0.1, 0.2)
    confidence: float | None = 0.95
    joint: tuple[str, ...] = ()
    groups: str | None = None
    fit_share: float = 0.1
    choice_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.epsilons or len(set(self.epsilons)) < len(self.epsilons):
            raise ValueError(f"expected different epsilons, at least one, got {list(self.epsilons)}")
        for epsilon in self.epsilons:
            check_probability(epsilon, "epsilons")
        if self.confidence is not None:
            check_probability(self.confidence, "confidence")
            if not re.fullmatch(CONFIDENCE, _named(self.confidence)):
                raise ValueError(f"expected a confidence from 0.0001 to 0.999999, got {self.confidence}")
        if unknown := sorted(set(self.joint) - {"levels", "changes", "all"}):
            raise ValueError(f"expected joint of levels, changes or all, got {unknown[0]!r}")
        check_probability(self.fit_share, "fit_share")
        check_probability(self.choice_share, "choice_share")
        if self.fit_share + self.choice_share >= 1:
            raise ValueError(
                f"expected fit_share and choice_share below 1 together, got {self.fit_share} and {self.choice_share}"
            )

    def parts(self, count: int) -> dict[str, Tensor]:
        """Positions of the images that serve to "fit", for the "choice" and to "calibrate"."""
        order = torch.from_numpy(np.random.default_rng([self.seed, count]).permutation(count))
        fitted, chosen = int(self.fit_share * count), int(self.choice_share * count)
        if not fitted or not chosen or fitted + chosen == count:
            raise ValueError(f"expected images for each part of a calibration, got {count} of them in all: give more")
        split = (fitted, chosen, count - fitted - chosen)
        return dict(
            zip(("fit", "choice", "calibrate"), (part.sort().values for part in order.split(split)), strict=True)
        )

    def thresholds(self, critical: Tensor, epsilon: float) -> dict[str, float | None]:
        """By form the smallest valid threshold of images with critical positions `(n,)`, None where there is none."""
        counts, n = violation_counts(critical), len(critical)
        forms = {MARGINAL: None} | ({} if self.confidence is None else {_named(self.confidence): self.confidence})
        places = {name: smallest_valid(counts, n, epsilon=epsilon, confidence=form) for name, form in forms.items()}
        return {name: None if place is None else THRESHOLDS[place] for name, place in places.items()}


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What the calibration images say of one claim.

    Attributes:
        found: per epsilon the scale, the speed and critical positions `(n,)` of the calibration images; one choice
            serves all.
        joint: their critical positions in the scale of joint thresholds.
        claimed: per epsilon and form the mean share that is claimed of them.
    """

    found: Mapping[float, tuple[ThresholdScale, PathSpeed, Tensor]]
    joint: Tensor
    claimed: Mapping[float, dict[str, float]]


def calibrate_claim(
    speed: PathSpeed, choice: ShownChange, rest: ShownChange, options: CalibrationOptions
) -> Calibrated:
    """Chooses what the thresholds of a claim are measured in, and finds where the calibration images contradict it.

    Args:
        speed: fitted on other images.
        choice: images of the choice.
        rest: calibration images.
        options: what is calibrated.
    """
    usual, plain = (ThresholdScale(), speed), (ThresholdScale(), PathSpeed())
    scales = [ThresholdScale(unit, growth) for unit, growth in product(UNITS, GROWTHS)]
    tried = dict.fromkeys([usual, *product(scales, (speed, PathSpeed()))])
    chosen = _chosen([(pair, _claimed(choice, pair, options.epsilons)) for pair in tried])
    critical = {pair: rest.critical(*pair) for pair in {chosen, plain}}
    claimed = {}
    for epsilon in options.epsilons:
        thresholds = options.thresholds(critical[chosen], epsilon)
        claimed[epsilon] = {
            form: 0.0 if threshold is None else float(rest.share(threshold, *chosen).mean())
            for form, threshold in thresholds.items()
        }
    found = dict.fromkeys(options.epsilons, (*chosen, critical[chosen]))
    return Calibrated(found, critical[plain], claimed)


def _claimed(choice: ShownChange, pair: Measured, epsilons: Sequence[float]) -> Tensor:
    """`(n,)` share of the change that is claimed of each image, at the thresholds that these very images would choose.

    Their mean over epsilons: few images tell little of one.
    """
    critical = choice.critical(*pair)
    places = [smallest_valid(violation_counts(critical), len(critical), epsilon=epsilon) for epsilon in epsilons]
    shares = [torch.zeros_like(choice.first) if g is None else choice.share(THRESHOLDS[g], *pair) for g in places]
    return torch.stack(shares).mean(dim=0)


def _chosen(tried: Sequence[tuple[Measured, Tensor]]) -> Measured:
    """The first of those tried that is behind the one that claims most by no more than half a standard error.

    Args:
        tried: the simplest first, each with the share `(n,)` that it claims of each image.
    """
    best = max((claimed for _, claimed in tried), key=lambda claimed: float(claimed.mean()))

    def near(claimed: Tensor) -> bool:
        behind = best - claimed
        return float(behind.mean()) <= 0.5 * float(behind.std(correction=0)) / len(behind) ** 0.5

    return next(measured for measured, claimed in tried if near(claimed))


def statements_of(
    claims: Mapping[Claim, Calibrated], groups: Mapping[str, Tensor], options: CalibrationOptions
) -> Iterator[ThresholdRecord]:
    """The thresholds of all claims, each alone, by group, and joint ones.

    Args:
        claims: what calibration images say of each.
        groups: per scorer the class `(n,)` that each of them is predicted to be; empty for no groups.
        options: what is calibrated.
    """
    for claim, calibrated in claims.items():
        for epsilon, (scale, speed, critical) in calibrated.found.items():
            alone = _statement("alone", claim, epsilon, (scale, speed), critical, options)
            yield replace(alone, claimed=calibrated.claimed[epsilon])
            if options.groups is not None:
                labels = groups[claim[0]]
                for label in labels[labels >= 0].unique().tolist():
                    some = critical[labels == label]
                    yield _statement("group", claim, epsilon, (scale, speed), some, options, group=label)
    for over in options.joint:
        for claim, members in _joint(claims, over).items():
            worst = worst_of([claims[member].joint for member in members])
            for epsilon in options.epsilons:
                yield _statement(over, claim, epsilon, (ThresholdScale(), PathSpeed()), worst, options)  # type: ignore[arg-type]


def _joint(claims: Iterable[Claim], over: str) -> dict[Any, list[Claim]]:
    """The claims that are right together."""
    found: dict[Any, list[Claim]] = {}
    for claim in claims:
        scorer, kind, change, tree, level = claim
        key = (
            scorer, kind, change if over == "levels" else None,
            *((tree, level) if over == "changes" else (None, None)),
        )  # fmt: skip
        found.setdefault(key, []).append(claim)
    return found


def _statement(
    over: Over,
    claim: Any,
    epsilon: float,
    measured: Measured,
    critical: Tensor,
    options: CalibrationOptions,
    *,
    group: int | None = None,
) -> ThresholdRecord:
    counts, n = violation_counts(critical), len(critical)
    changing = [g for g, count in enumerate(counts) if not g or count != counts[g - 1]]
    scorer, kind, change, tree, level = claim
    return ThresholdRecord(
        over=over, scorer=scorer, target_kind=kind, attribute=change, tree=tree, level=level,
        group=None if group is None else (*group_level(options.groups), group),
        epsilon=epsilon, scale=measured[0], speed=measured[1], images=n,
        curve=tuple((THRESHOLDS[g], counts[g]) for g in changing),
        thresholds=options.thresholds(critical, epsilon),
    )  # fmt: skip


def _named(confidence: float) -> str:
    """A confidence as rows name it."""
    return f"{confidence:g}"


def group_level(groups: str | None) -> tuple[str, int]:
    """Tree and level of "TREE/LEVEL".

    Raises:
        ValueError: if the text is none of a level.
    """
    tree, _, level = (groups or "").rpartition("/")
    if not tree or not level.isdecimal():
        raise ValueError(f'expected groups as "TREE/LEVEL", a level by its number, got {groups!r}')
    return tree, int(level)
