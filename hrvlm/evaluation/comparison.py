"""Models side by side: averages over the images that all were evaluated on, and paired differences from the first.

Results of one model in several folders, such as those of `run` and of `attack`, make one column. Two columns are
compared only where they come of the same work: the same pictures, trees, budget, noise and confidence, whatever the
weights. Everything is recomputed from rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from hrvlm.evaluation.comparison_rows import COMPARED, Answers, Question, Results
from hrvlm.evaluation.comparison_work import check_same_work, shared_images
from hrvlm.evaluation.paired import CONFIDENCE, Difference, difference_of_means, difference_of_shares
from hrvlm.rows.measures import Measure


@dataclass(frozen=True, eq=False)
class Column:
    """A model and its results.

    Attributes:
        name: of the column.
        results: of different commands.
    """

    name: str
    results: tuple[Results, ...]


@dataclass(frozen=True)
class Line:
    """An average of all models that have it.

    Attributes:
        heading: of the lines that it stands among.
        measure: what is averaged.
        images: how many images it is over, the same of all models.
        means: per column; None where a model lacks it.
        differences: per column from the first one; None for that one, and where one of the two lacks it.
    """

    heading: str
    measure: Measure
    images: int
    means: tuple[float | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Models side by side.

    Attributes:
        names: of the columns.
        lines: in the order of their headings and levels.
        confidence: of each interval.
        remarks: what a reader must know besides, in sentences.
    """

    names: tuple[str, ...]
    lines: tuple[Line, ...]
    confidence: float
    remarks: tuple[str, ...]


def columns_of(results: Sequence[Sequence[Results]], names: Sequence[str] | None = None) -> list[Column]:
    """Folders of results as columns, in their order.

    Args:
        results: per folder, see `read_results`.
        names: per folder what its column is called; folders of one model may share a name. None takes the folders'
            names, and puts folders of the same weights into one column unless they are of the same command.

    Raises:
        ValueError: If names and folders do not fit each other.
    """
    if names is None:
        groups = _of_one_model(results)
        return [Column(name, group) for name, group in zip(_distinct(groups), groups, strict=True)]
    if len(names) != len(results) or not all(name.strip() for name in names):
        raise ValueError(f"expected a name for each of {len(results)} folders, got {len(names)}: {', '.join(names)}")
    named: dict[str, tuple[Results, ...]] = {}
    for name, found in zip(names, results, strict=True):
        named[name] = (*named.get(name, ()), *found)
    for name, group in named.items():
        _check_one_model(name, group)
    return [Column(name, group) for name, group in named.items()]


def _of_one_model(results: Sequence[Sequence[Results]]) -> list[tuple[Results, ...]]:
    groups: list[tuple[Results, ...]] = []
    for found in results:
        place = next((number for number, group in enumerate(groups) if _complete_each_other(group, found)), None)
        if place is None:
            groups.append(tuple(found))
        else:
            groups[place] += tuple(found)
    return groups


def _complete_each_other(group: Sequence[Results], found: Sequence[Results]) -> bool:
    models = {part.model for part in (*group, *found)}
    return len(models) == 1 and None not in models and not {r.command for r in group} & {r.command for r in found}


def _check_one_model(name: str, group: Sequence[Results]) -> None:
    for one, other in combinations(group, 2):
        if one.command == other.command or one.model != other.model:
            what = f"two of {one.command}" if one.command == other.command else "of different weights or decoding"
            raise ValueError(
                f"expected folders of one model and of different commands under the name {name!r}, got {what}: "
                f"{one.folder} and {other.folder}"
            )


def _distinct(groups: Sequence[Sequence[Results]]) -> list[str]:
    """Names of the first folders, with as many folders above as tell them apart."""
    paths = [Path(group[0].folder).resolve() for group in groups]
    depth = 1
    names = [path.name for path in paths]
    while len(set(names)) < len(names) and depth < max(len(path.parts) for path in paths) - 1:  # less the root
        depth += 1
        names = ["/".join(path.parts[-depth:]) if names.count(name) > 1 else name for name, path in zip(names, paths)]  # noqa: B905
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]


def compare(columns: Sequence[Column], radii: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """Averages of all columns, and paired differences from the first.

    Args:
        columns: see `columns_of`.
        radii: L2 radii at which certified accuracy is compared, in pixel units.
        confidence: of each interval, in (0, 1).

    Raises:
        ValueError: If there are fewer than two columns, or two do not come of the same work on images that they share.
    """
    if len(columns) < 2:
        raise ValueError(f"expected two models or more to compare, got {len(columns)}: name folders of other weights")
    if any(not radius >= 0 for radius in radii):
        raise ValueError(f"expected radii >= 0, got {list(radii)}")
    by_command: dict[str, dict[str, Results]] = {}
    for column in columns:
        for part in column.results:
            by_command.setdefault(part.command, {})[column.name] = part
    for parts in by_command.values():
        for one, other in combinations(parts.values(), 2):
            check_same_work(one, other)
        shared_images(list(parts.values()))
    answers = [_answers(column, radii) for column in columns]
    lines = [_line(question, answers, confidence) for question in _in_order(answers)]
    remarks = [remark for command, parts in by_command.items() for remark in _remarks(command, parts)]
    names = tuple(column.name for column in columns)
    if not any(difference for line in lines for difference in line.differences):
        raise ValueError(f"expected results of {names[0]} that another model has too, got none: compare alike commands")
    return Comparison(names, tuple(line for line in lines if line.images), confidence, tuple(remarks))


def _answers(column: Column, radii: Sequence[float]) -> Answers:
    parts = sorted(column.results, key=lambda part: COMPARED.index(part.command))
    return {question: found for part in parts for question, found in part.answers(radii).items()}


def _in_order(answers: Sequence[Answers]) -> list[Question]:
    """All questions, by heading and level as they first occur."""
    questions = list(dict.fromkeys(question for found in answers for question in found))
    headings = list(dict.fromkeys(heading for heading, _ in questions))
    levels = list(dict.fromkeys((measure.tree, measure.level) for _, measure in questions))
    return sorted(questions, key=lambda q: (headings.index(q[0]), levels.index((q[1].tree, q[1].level))))


def _line(question: Question, answers: Sequence[Answers], confidence: float) -> Line:
    found = [answer.get(question) for answer in answers]
    shared = sorted(set.intersection(*(set(values) for values in found if values is not None)))
    values = [None if numbers is None else [numbers[index] for index in shared] for numbers in found]
    heading, measure = question
    differences = [_difference(measure, values[0], other, confidence) for other in values[1:]]
    means = tuple(fmean(numbers) if numbers else None for numbers in values)
    return Line(heading, measure, len(shared), means, (None, *differences))


def _difference(
    measure: Measure, first: Sequence[float] | None, second: Sequence[float] | None, confidence: float
) -> Difference | None:
    if not first or not second:
        return None
    how = difference_of_shares if measure.unit == "right" else difference_of_means
    return how(first, second, confidence)


def _remarks(command: str, parts: Mapping[str, Results]) -> Iterator[str]:
    """Images that some columns have rows of and others lack; what is not known of the work; what alpha leaves open."""
    for data, shared in shared_images(list(parts.values())).items():
        counts = {name: len(part.images_of_sets().get(data, ())) for name, part in parts.items()}
        more = {name: count for name, count in counts.items() if count > len(shared)}
        if more:
            told = ", ".join(f"{name} has {count}" for name, count in more.items())
            of, has = (f"{command} on {data}", "with that data set ") if data else (command, "")
            yield f"Averages of {of} are over the {len(shared)} images that all columns {has}have rows of ({told})."
    unnoted = [name for name, part in parts.items() if not part.settings]
    if unnoted:
        yield (
            f"Nothing is noted beside the rows of {command} of {', '.join(unnoted)}: that pictures, trees and effort "
            "are the same is known as far as the rows say it."
        )
    shared_noise = [name for name, part in parts.items() if part.noise_shared]
    if shared_noise:
        yield (
            f"Other epochs of {', '.join(shared_noise)} met the same noise: alpha does not cover the choice of the one "
            "that is compared."
        )
