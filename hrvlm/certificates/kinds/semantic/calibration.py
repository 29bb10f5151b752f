"""What a calibration of semantic claims holds, as a file of JSON that rows are made and checked by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import msgspec

from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibrated_stretch import Group, Over
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.rows.fields import INSIDE, NOT_NEGATIVE, SHARE
from hrvlm.trees.bounded_text import load_json, read_bytes
from hrvlm.whole_files import write_whole


@dataclass(frozen=True, kw_only=True)
class ThresholdRecord:
    """One threshold and what it holds of.

    Attributes:
        over: which claims it makes right together, see `Over`.
        scorer: kind of the scorer.
        target_kind: "text" or "image".
        attribute: name of the change; None where a threshold is over all changes.
        tree: name of the tree; None, as `level`, where a threshold is over all levels.
        level: level of the tree.
        group: (tree, level, class) that images of a group are predicted to be, None of all images.
        epsilon: rate of violated claims that is allowed.
        scale: what the threshold is measured in.
        speed: how far along the rotation pictures of the change lie.
        images: number of images that it was calibrated on.
        curve: (threshold, violated claims among them), where their number changes.
        thresholds: by form, "marginal" or the confidence as text: the smallest valid one, None where there is none.
        claimed: by form the mean share of the change that is claimed of the calibration images, for claims alone.
    """

    over: Over
    scorer: str
    target_kind: str
    attribute: str | None
    tree: str | None
    level: int | None
    group: Group | None = None
    epsilon: INSIDE
    scale: ThresholdScale
    speed: PathSpeed
    images: int
    curve: tuple[tuple[float, int], ...]
    thresholds: dict[str, NOT_NEGATIVE | None]
    claimed: dict[str, SHARE] = field(default_factory=dict)

    @property
    def raw_violated(self) -> float:
        """Share of the images whose raw claim some picture contradicts."""
        return self.curve[0][1] / self.images if self.curve else 0.0


@dataclass(frozen=True, kw_only=True)
class CalibratedChange:
    """A semantic change as it was calibrated."""

    name: str
    source: str
    target: str
    target_kind: str


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All thresholds of a model.

    Attributes:
        population: of the images, in words of the user, for the wording of claims.
        weights: digest of model and head.
        trees: levels and digest of prompts of each tree, as folders of rows note them.
        changes: that were calibrated.
        pictures: what tells the images and pictures from others.
        parts: numbers of images by what they served for.
        statements: the thresholds.
    """

    population: str
    weights: str
    trees: tuple[dict[str, Any], ...]
    changes: tuple[CalibratedChange, ...]
    pictures: dict[str, Any]
    parts: dict[str, int]
    statements: tuple[ThresholdRecord, ...]
    format: Literal["hrvlm calibration"] = "hrvlm calibration"
    schema: Literal[1] = 1

    @cached_property
    def text(self) -> str:
        """The file's contents."""
        return json.dumps(asdict(self)) + "\n"

    @cached_property
    def digest(self) -> str:
        """What rows name the calibration by."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    def write(self, path: str | Path) -> None:
        """Writes the file, whole or not at all."""
        write_whole(path, self.text)

    def of(self, attribute: str, target_kind: str, scorer: str, tree: str, level: int) -> Iterator[ThresholdRecord]:
        """The thresholds that hold of a claim."""
        places = product((attribute, None), ((tree, level), (None, None)))
        found = (self._by_claim.get((target_kind, scorer, change, *where), ()) for change, where in places)
        return (self.statements[i] for i in sorted(i for some in found for i in some))

    @cached_property
    def _by_claim(self) -> dict[tuple[Any, ...], list[int]]:
        """Positions of statements by what they hold of."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for i, s in enumerate(self.statements):
            found.setdefault((s.target_kind, s.scorer, s.attribute, s.tree, s.level), []).append(i)
        return found

    def without_threshold(self, changes: Collection[str]) -> int:
        """How many claims of some changes, by rate and form, rest on no threshold, for none was valid."""
        some = (s for s in self.statements if s.attribute is None or s.attribute in changes)
        return sum(threshold is None for s in some for threshold in s.thresholds.values())

    def noted(self, changes: Collection[str]) -> dict[str, Any]:
        """What the settings of a run keep of the thresholds of some changes, as JSON values, see `NotedCalibration`."""
        kept = [s for s in self.statements if s.attribute is None or s.attribute in changes]
        thresholds = [
            {
                **{name: getattr(s, name) for name in ("over", "scorer", "target_kind", "attribute", "tree", "level")},
                "group": None if s.group is None else list(s.group),
                "epsilon": s.epsilon,
                "unit": s.scale.unit,
                "growth": s.scale.growth,
                "speed": [list(s.speed.shares), list(s.speed.fractions)],
                "thresholds": s.thresholds,
            }
            for s in kept
        ]
        return {"digest": self.digest, "population": self.population, "thresholds": thresholds}

    def check(
        self, *, weights: str, trees: Sequence[Mapping[str, Any]], scorers: Sequence[str], changes: Sequence[Any]
    ) -> None:
        """Refuses what the calibration was not made for.

        Args:
            weights: digest of model and head.
            trees: as in `trees`.
            scorers: kinds of scorers that claims are made with.
            changes: attributes with name, source, target and target_kind.

        Raises:
            ValueError: naming what differs.
        """
        differing = [] if weights == self.weights else ["weights"]
        if [dict(tree) for tree in trees] != [dict(tree) for tree in self.trees]:
            differing.append("levels, trees or prompts of classes")
        lacking = sorted(set(scorers) - {statement.scorer for statement in self.statements})
        differing += [f"scorer {scorer!r}" for scorer in lacking]
        known = {change.name: change for change in self.changes}
        for change in changes:
            given = CalibratedChange(
                name=change.name, source=change.source, target=change.target, target_kind=change.target_kind
            )
            if known.get(change.name) != given:
                differing.append(f"prompts or pictures of change {change.name!r}")
        if differing:
            raise ValueError(
                f"expected a calibration of what is certified, got one of other {', '.join(differing)}: make one with "
                "certify.py calibrate"
            )


def read_calibration(path: str | Path) -> Calibration:
    """The calibration of a file.

    Raises:
        ValueError: if it is none.
    """
    try:
        return _calibration(read_bytes(path))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"expected a calibration that certify.py calibrate wrote at {path}, got {reason}") from error


@lru_cache(maxsize=1)
def _calibration(content: bytes) -> Calibration:
    """What a file holds; plan, check and rows of a run all ask for it."""
    given = load_json(content.decode("utf-8"))
    if isinstance(given, dict) and given.get("schema", 1) != 1:
        raise ValueError(f"one of schema {given['schema']!r}, of which this version reads 1: calibrate again")
    found = msgspec.convert(given, Calibration)
    if (known := json.loads(found.text)) != given:
        raise ValueError(f"keys that it does not know: {', '.join(_unknown(given, known)) or 'values of another type'}")
    return found


def _unknown(given: Any, known: Any, where: str = "$") -> list[str]:
    """Keys, with the way to them, that are in one value of JSON and not in another."""
    if isinstance(given, dict) and isinstance(known, dict):
        more = [f"{where}.{key}" for key in given if key not in known]
        pairs: Any = ((f"{where}.{key}", value, known[key]) for key, value in given.items() if key in known)
    elif isinstance(given, list) and isinstance(known, list):
        more, pairs = [], ((f"{where}[{i}]", *both) for i, both in enumerate(zip(given, known, strict=False)))
    else:
        return []
    return more + [key for place, one, other in pairs for key in _unknown(one, other, place)]
