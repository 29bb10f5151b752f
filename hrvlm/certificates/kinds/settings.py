"""What is known of the `settings.json` of a run of certificates; older ones say less."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from hrvlm.rows.fields import COUNT, GROWTH, INSIDE, NOT_NEGATIVE, POSITIVE, SOME


class Sampling(msgspec.Struct):
    """How noise samples are spent."""

    procedure: str = "split"
    goal: NOT_NEGATIVE | None = None
    give_up: INSIDE = 0.05
    threshold: INSIDE = 0.5
    votes: SOME | None = None
    vote_error: INSIDE = 0.05
    noise: str = "float32"
    precision: str = "float32"
    label_functions: int = 1
    functions_chosen: str = "before"


class NamedChange(msgspec.Struct):
    """A semantic change."""

    name: str
    source: str = ""
    target: str = ""
    pictures: Any = None
    appearances: Any = None


class JointAsked(msgspec.Struct):
    """What joint certificates are asked for."""

    radii: tuple[NOT_NEGATIVE, ...]
    extents: tuple[NOT_NEGATIVE, ...]
    move: str
    steps: int


class ProfileAsked(msgspec.Struct):
    """Radii of profiles."""

    radii: tuple[NOT_NEGATIVE, ...] = ()


class NamedTree(msgspec.Struct):
    """A tree, and its levels by name or number."""

    name: str
    levels: tuple[str, ...] | int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the levels, none where settings give their number alone."""
        return () if isinstance(self.levels, int) else self.levels

    @property
    def count(self) -> int:
        """Number of the levels."""
        return self.levels if isinstance(self.levels, int) else len(self.levels)


class NotedThreshold(msgspec.Struct):
    """A threshold of a calibration, by form; see `semantic.calibration.ThresholdRecord`."""

    over: str
    scorer: str
    target_kind: str
    epsilon: INSIDE
    unit: str
    growth: GROWTH
    speed: tuple[tuple[float, ...], tuple[float, ...]]
    thresholds: dict[str, NOT_NEGATIVE | None]
    attribute: str | None = None
    tree: str | None = None
    level: int | None = None
    group: tuple[str, int, int] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the others that concern a row."""
        return self.over, self.group, self.epsilon

    def concerns(self, record: Any) -> bool:
        """Whether it is about a row."""
        level = self.tree is None or (self.tree, self.level) == (record.tree, record.level)
        change = self.attribute in (None, record.attribute)
        return level and change and (self.scorer, self.target_kind) == (record.scorer, record.target_kind)

    def is_of(self, claim: Any) -> bool:
        """Whether a calibrated claim states what it is measured in, and its threshold."""
        said = self.unit, self.growth, self.thresholds.get(claim.form, -1.0)
        return bool((claim.unit, claim.growth, claim.threshold) == said)

    def share(self, fraction: float) -> float:
        """The largest share of the change, at most 1, that lies within a fraction of the rotation."""
        shares, fractions = self.speed
        after = bisect_right(fractions, fraction)  # the first knot beyond
        if after in (0, len(shares)):
            return min(1.0, shares[-1]) if after else 0.0
        share, begin, end = shares[after - 1], fractions[after - 1], fractions[after]
        return min(1.0, share + (fraction - begin) / (end - begin) * (shares[after] - share))


class Behind(NamedTuple):
    """Thresholds that calibrated claims of a row rest on."""

    complete: bool  # whether all are stated that every image has
    thresholds: list[NotedThreshold | None]  # of each claim; None where the calibration has no such one


class NotedCalibration(msgspec.Struct, dict=True):
    """The calibration of semantic claims that a run used."""

    digest: str
    population: str
    thresholds: list[NotedThreshold]

    def behind(self, record: Any) -> Behind:
        """What stands behind the calibrated claims of a row; found once for all rows that are alike in this."""
        place = record.scorer, record.tree, record.level, record.attribute, record.target_kind, record.calibrated
        found = self._known.get(place)
        if found is None:
            asked = {each.key: each for each in self.thresholds if each.concerns(record)}
            stated = {(claim.about, claim.form) for claim in record.calibrated}
            thresholds = [asked.get(claim.about) for claim in record.calibrated]
            found = self._known[place] = Behind(
                all((key, form) in stated for key, of in asked.items() if of.group is None for form in of.thresholds),
                [
                    each if each is not None and each.is_of(claim) else None
                    for each, claim in zip(thresholds, record.calibrated, strict=True)
                ],
            )
        return found

    @cached_property
    def _known(self) -> dict[tuple[Any, ...], Behind]:
        return {}


class RunSettings(msgspec.Struct, dict=True):
    """What is known of the settings of `certify.py run`, `recertify` and `audit`."""

    sigma: POSITIVE | None = None
    alpha: INSIDE | None = None
    seed: int | None = None
    n0: int | None = None
    n: int | None = None
    sampling: Sampling | None = None
    trees: list[tuple[str, int] | NamedTree] | None = None
    deltas: tuple[NOT_NEGATIVE, ...] | None = None
    attributes: list[NamedChange] | None = None
    calibration: NotedCalibration | None = None
    joint_questions: JointAsked | None = None
    profile: ProfileAsked | None = None
    data_size: COUNT | None = None
    random_numbers: Any = None
    functions_chosen: dict[str, str] | None = None

    @cached_property
    def forest(self) -> list[NamedTree]:
        """The trees; older settings do not name their levels."""
        return [tree if isinstance(tree, NamedTree) else NamedTree(*tree) for tree in self.trees or []]

    @cached_property
    def levels(self) -> dict[str, int]:
        """Number of levels of each tree by its name."""
        return {tree.name: tree.count for tree in self.forest}

    @cached_property
    def changes(self) -> dict[str, NamedChange]:
        """The semantic changes by their name."""
        return {change.name: change for change in self.attributes or []}

    @property
    def selection_samples(self) -> int | None:
        """How many samples choose a class: none where those that are counted do."""
        return 0 if self.sampling is not None and self.sampling.procedure == "shared" else self.n0

    @property
    def samples(self) -> Sampling | None:
        """How samples are spent, where the settings say how many there are."""
        return None if self.n0 is None or self.n is None else self.sampling


def read_settings(settings: Mapping[str, Any]) -> RunSettings:
    """The settings of a run, as far as rows must agree with them.

    Raises:
        ValueError: if they are none of a run.
    """
    try:
        return msgspec.convert(dict(settings), RunSettings)
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"expected the settings of a run: {error}") from error
