"""What folders of results hold for a comparison: records that bear out their claims, and the work that made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from hrvlm.evaluation.folder_names import read_settings, rows_of_training
from hrvlm.evaluation.verification import rules_of, verify, verify_files
from hrvlm.rows.agreement import Group, apart
from hrvlm.rows.measures import Measure

CLEAN, DECODING = "clean", "decoding"
COMPARED = ("zero-shot", "attack", "run")
"""Commands whose rows can be compared, in the order of their tables."""
Question: TypeAlias = tuple[str, Measure]
"""A heading, and what is averaged."""
Answers: TypeAlias = dict[Question, dict[int, float]]
"""What each image adds to each average."""


@dataclass(frozen=True, eq=False)
class Results:
    """The rows of one command in one folder.

    Attributes:
        folder: where they lie.
        command: what made them.
        settings: what they depend on, as the folder notes it.
        images: records by data set index, without what only verifying needs.
        facts: what all rows say alike, such as sigma, by the rows that say it and the field.
    """

    folder: Path
    command: str
    settings: Mapping[str, Any]
    images: Mapping[int, Sequence[Any]]
    facts: Mapping[tuple[Group, str], Hashable]

    @property
    def model(self) -> tuple[str, str] | None:
        """Digest of the model's weights, and how it decodes levels; None if the folder notes no weights."""
        weights, decoding = self.settings.get("weights"), self.settings.get(DECODING)
        return None if weights is None else (weights, decoding if isinstance(decoding, str) else "")

    @property
    def noise_shared(self) -> bool:
        """Whether models of other epochs were certified with the same noise."""
        return any(value for (_, name), value in self.facts.items() if name == "noise_shared")

    @property
    def budgets(self) -> list[float]:
        """Budgets of the attacks, rising; none of certificates, or where all images are clean."""
        records = (record for image in self.images.values() for record in image)
        return sorted({record.eps for record in records if getattr(record, "attack", CLEAN) != CLEAN})

    def images_of_sets(self) -> dict[str, set[int]]:
        """Indices of images by data set; by "" where rows name none."""
        found: dict[str, set[int]] = defaultdict(set)
        for index, records in self.images.items():
            for record in records:
                found[record.data if self.command == "zero-shot" else ""].add(index)
        return dict(found)

    def labels(self, index: int) -> dict[Hashable, int]:
        """Right classes of an image, by tree and level, or by data set."""
        return {_level(record): record.label for record in self.images[index]}

    def answers(self, radii: Sequence[float]) -> Answers:
        """What each image adds to each average.

        Args:
            radii: L2 radii at which certified accuracy is compared, in pixel units.
        """
        found: Answers = defaultdict(dict)
        measures = _MEASURES[self.command]
        for index, records in sorted(self.images.items()):
            for heading, measure, value in measures(records, radii):
                found[heading, measure][index] = value
        return found

    def largest_radius(self) -> float:
        """Largest certified L2 radius of any image; 0 where there is none."""
        if self.command != "run":
            return 0.0
        from hrvlm.certificates.kinds.registry import kind_named
        from hrvlm.certificates.kinds.report import report_of

        records = [record for image in self.images.values() for record in image]
        return max((report_of(kind_named(record.kind)).largest_radius([record]) for record in records), default=0.0)


def read_results(folder: Path) -> list[Results]:
    """The results of a folder, of each command that has rows there; rows are verified on the way.

    Args:
        folder: Of a command, or of a training run (`version_N`): its robustness after training, and its certificates
            of the end, on fresh noise if there are such, else of the last epoch.

    Raises:
        ValueError: If there is nothing to compare, or a row does not hold.
    """
    records: list[Any] = []
    found = []
    trained = rows_of_training(folder)

    def collect(record: Any) -> None:
        records.append(_slim(record))

    verified = verify(folder, collect=collect)
    if trained:
        verified = (verify_files(command, paths, collect=collect) for command, paths in trained.items())
    for part in verified:
        problem = next(part.problems, None)
        if problem is not None:
            part.problems.close()  # and with it what shows how far it has come
            raise ValueError(
                f"expected rows that hold in {folder}, got: {problem.message}; certify.py verify tells of all"
            )
        if part.command in COMPARED:
            found.append(_results(folder, part.command, records))
        records.clear()
    if not found:
        raise ValueError(f"expected rows of certify.py {' or '.join(COMPARED)} in {folder}, found others alone")
    return found


def _level(record: Any) -> Hashable:
    return (record.tree, record.level) if hasattr(record, "tree") else record.data


def _slim(record: Any) -> Any:
    return record.slim() if hasattr(record, "slim") else record


def _results(folder: Path, command: str, records: Sequence[Any]) -> Results:
    settings = read_settings(folder) or {}
    images: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        images[record.index].append(record)
    for image in images.values():
        image.sort(key=partial(_place, command))
    rules, _ = rules_of(command, settings)
    of_model = {kind: _names_of_model(command, kind) for kind in {record.kind for record in records}}
    facts = {
        (group, name): value
        for image in images.values()
        for record, group, names, values in rules.facts(image)
        for name, value in apart(names, values)
        if name not in of_model[record.kind]
    }
    return Results(folder, command, settings, images, facts)


def _place(command: str, record: Any) -> int:
    """Where a record's kind stands among those of its command; records of one kind stay in the order of their rows."""
    if command != "run":
        return 0
    from hrvlm.certificates.kinds.registry import REGISTRY

    return list(REGISTRY).index(record.kind)


def _names_of_model(command: str, kind: str) -> frozenset[str]:
    """Fields of a row of a kind that name the model."""
    if command != "run":
        return frozenset()
    from hrvlm.certificates.kinds.registry import kind_named

    return kind_named(kind).subject


def _of_certificates(records: Sequence[Any], radii: Sequence[float]) -> Iterator[tuple[str, Measure, float]]:
    from hrvlm.certificates.kinds.registry import kind_named
    from hrvlm.certificates.kinds.report import report_of

    for record in records:
        kind = kind_named(record.kind)
        heading = report_of(kind).heading
        yield from ((heading, measure, value) for measure, value in kind.measures(record, radii))


def _of_attacks(records: Sequence[Any], radii: Sequence[float]) -> Iterator[tuple[str, Measure, float]]:
    from hrvlm.attacks.summary import coherence_measures, robustness_measures

    for measures in (robustness_measures, coherence_measures):
        yield from ((f"Attacks: {budget}", measure, value) for budget, (measure, value) in measures(records))


def _of_data_sets(records: Sequence[Any], radii: Sequence[float]) -> Iterator[tuple[str, Measure, float]]:
    from hrvlm.evaluation.zero_shot.summary import zero_shot_measures

    heading = f"Zero-shot: {records[0].norm}"
    yield from ((heading, measure, value) for measure, value in zero_shot_measures(records))


_MEASURES: Mapping[str, Callable[[Sequence[Any], Sequence[float]], Iterator[tuple[str, Measure, float]]]] = {
    "run": _of_certificates,
    "attack": _of_attacks,
    "zero-shot": _of_data_sets,
}
