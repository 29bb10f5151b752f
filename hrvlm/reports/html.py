"""`report.html`: one file that needs nothing else, made from rows alone; with pictures if the data set is at hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from hrvlm.attacks.records import CLEAN, RobustnessRecord
from hrvlm.attacks.summary import robustness_measures
from hrvlm.certificates.kinds.registry import kind_named
from hrvlm.certificates.kinds.report import KindReport
from hrvlm.certificates.kinds.summary import summarise_kinds
from hrvlm.evaluation.image_files import image_paths
from hrvlm.reports.attack_images import add_attacks, add_targeted_attacks, same_pictures
from hrvlm.reports.attack_sections import (
    robustness_sections,
    targeted_attack_sections,
    targeted_attacks_of,
    zero_shot_sections,
)
from hrvlm.reports.certificates import reports_of_kinds
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.image_columns import ImageColumns
from hrvlm.reports.overview import Overview, stage_words
from hrvlm.reports.page import page_section, render_page
from hrvlm.reports.pictures import Held, small_pictures
from hrvlm.reports.radii import beyond_words, round_radii
from hrvlm.reports.zero_shot_images import add_zero_shot
from hrvlm.rows.measures import ALL, Measured
from hrvlm.rows.record import Record
from hrvlm.rows.table import RecordTable, distinct
from hrvlm.trees.words import printable

if TYPE_CHECKING:
    from hrvlm.trees import Forest

Row = Mapping[str, Any]
Told: TypeAlias = tuple[str, KindReport[Any], Sequence[Record]]
"""Name, report and records of a kind."""


@dataclass(frozen=True)
class AtHand:
    """What rows do not hold, as far as it is known.

    Attributes:
        picture: Image `(3, H, W)` in [0, 1] of a data set index, as a tensor.
        names: Names of the classes per (tree, level).
        parents: Per (tree, level) the node of the next level that each node lies in.
        path: File of a data set index, or None.
        held: What an earlier page shows, which is kept where the data set is not at hand.
        files: Files by data set and index there, of zero-shot evaluation.
        attacked_split: Split that attacks were on, where pictures, names and files are of another one.
    """

    picture: Callable[[int], Any] | None = None
    names: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)
    parents: Mapping[tuple[str, int], Sequence[int]] = field(default_factory=dict)
    path: Callable[[int], str | None] = lambda index: None
    held: Held = field(default_factory=Held)
    files: Mapping[tuple[str, int], str] = field(default_factory=dict)
    attacked_split: str | None = None

    @classmethod
    def of(cls, data: Any, forest: Forest | None) -> AtHand:
        """Of a data set of (picture, label), and the trees over its classes.

        Args:
            data: the data set.
            forest: None where there are no trees.
        """
        levels = [(tree, level.index) for tree in forest or () for level in tree.levels]
        names = {(tree.name, k): tree.levels[k].names for tree, k in levels}
        parents = {(tree.name, k): tree.parents(k).tolist() for tree, k in levels if k + 1 < len(tree.levels)}
        paths = cache(lambda: image_paths(data, range(len(data))))
        return cls(lambda index: data[index][0], names, parents, lambda index: paths().get(index))

    def name(self, tree: str, level: int, label: int) -> str | None:
        """A class in words, where it is known."""
        known = self.names.get((tree, level))
        if known is None:
            return self.held.names.get(printable(f"{tree}/{level}"), {}).get(str(label))
        return known[label] if 0 <= label < len(known) else None


def render_report(
    rows: Sequence[Row] | Certificates,
    robustness: Sequence[Row] = (),
    *,
    title: str = "Certificates",
    radii: Sequence[float] | None = None,
    settings: Mapping[str, Any] | None = None,
    at_hand: AtHand | None = None,
    targeted_attacks: Sequence[Row] = (),
    zero_shot: Sequence[Row] = (),
    more: Sequence[Mapping[str, Any]] = (),
    warn: Callable[[str], None] = lambda sentence: None,
) -> str:
    """The report as one HTML page.

    Args:
        rows: Certificates of all kinds, one per image and statement; as rows, or read and verified.
        robustness: Robustness rows; of several stages and budgets if need be.
        title: Heading of the page.
        radii: L2 radii of the tables; None takes round ones.
        settings: What else is known of the run.
        at_hand: Pictures and names of classes.
        targeted_attacks: Rows of attacks towards a forbidden answer.
        zero_shot: Rows of zero-shot evaluation.
        more: Further sections, see `page_section`.
        warn: Gets what the page warns of, sentence by sentence.

    Raises:
        ValueError: If there are no rows, or some do not fit each other.
    """
    certificates = rows if isinstance(rows, Certificates) else Certificates.of_rows(rows)
    attacked = [RobustnessRecord.from_row(row) for row in robustness]
    pushes = targeted_attacks_of(targeted_attacks)
    if not certificates and not attacked and not pushes and not zero_shot:
        raise ValueError("expected rows of certificates or of attacks for a report, got none")
    told = list(reports_of_kinds(certificates.by_kind))
    if radii is None:
        radii = round_radii(max((report.largest_radius(group) for _, report, group in told), default=0.0))
    columns, overview, at_hand = ImageColumns(), Overview(), at_hand or AtHand()
    _collect(told, attacked, radii, columns, overview, elsewhere=at_hand.attacked_split is not None)
    if not columns.indices:
        add_targeted_attacks(columns, pushes)
    if not columns.indices and (named := add_zero_shot(columns, zero_shot, at_hand.files)):
        at_hand = replace(at_hand, path=named.get)
    warnings = list(_warnings(told, radii))
    for sentence in warnings:
        warn(sentence)
    head = overview.section(warnings)
    sections = [
        *([] if head is None else [head]),
        *zero_shot_sections(zero_shot),
        *_certificates(told, summarise_kinds(certificates.by_kind, radii)),
        *robustness_sections(robustness, at_hand.attacked_split),
        *targeted_attack_sections(pushes),
        *more,
    ]
    return render_page(
        title=title,
        subtitle=_counted(told, attacked, pushes, zero_shot),
        checked=len(certificates),
        problems=certificates.problems,
        sections=sections,
        settings=settings or {},
        data=_data(columns, at_hand),
    )


def _collect(
    told: Sequence[Told], attacked: Sequence[RobustnessRecord], radii: Sequence[float], columns: ImageColumns,
    overview: Overview, *, elsewhere: bool = False,
) -> None:  # fmt: skip
    """What records say of their images, into the table of images and the overview; attacks first.

    The table has no attacks on other images, which are `elsewhere`.
    """
    images: dict[tuple[bool, int], list[RobustnessRecord]] = defaultdict(list)
    for each in attacked:
        images[each.stage != "before", each.index].append(each)
    for _, group in sorted(images.items()):
        for budget, measured in robustness_measures(group):
            overview.add(f"{budget}{stage_words(group[0].stage)}", [measured])
    for kind in told:
        _collect_kind(*kind, radii, columns, overview)
    if not elsewhere and same_pictures((group for *_, group in told), attacked):
        add_attacks(columns, attacked)


def _collect_kind(
    name: str, report: KindReport[Any], records: Sequence[Record], radii: Sequence[float], columns: ImageColumns,
    overview: Overview,
) -> None:  # fmt: skip
    """The same of the records of one kind."""
    kind: Any = kind_named(name)
    if isinstance(records, RecordTable):
        columns.add_table(report.heading, report.unit, report.value, records)
        overview.add_together(report.heading, kind.measured_together(records, radii))
        return
    alone = len({record.tree for record in records}) == 1
    for record in records:
        cells, change = report.judged(record), report.change(record)
        if columns.add(report.heading, report.unit, record.index, cells, change):  # others repeat its accuracy
            told_of = kind.measures(record, radii)
            overview.add(report.heading, _shared(record, told_of) if alone else told_of)


def _shared(record: Record, measured: Iterable[Measured]) -> Iterator[Measured]:
    """Measures of leaves go by no tree, where one tree alone tells of them: several would count an image for each."""
    for measure, value in measured:
        yield (replace(measure, tree=ALL) if record.names_leaf and not measure.level else measure), value


def _data(columns: ImageColumns, at_hand: AtHand) -> dict[str, Any] | None:
    if not columns.indices:
        return None
    pictures = small_pictures(columns.indices, at_hand.picture) or at_hand.held.pictures
    found = columns.to_json(at_hand.name, at_hand.path, pictures, at_hand.parents)
    return found | ({} if at_hand.parents else {"parents": at_hand.held.parents})


def _counted(told: Sequence[Told], attacked: Sequence[Any], pushes: Sequence[Any], zero_shot: Sequence[Row]) -> str:
    """How much the page is made of."""
    certificates = [group for *_, group in told]
    images = len(set[int]().union(*(distinct(part, "index") for part in (*certificates, attacked, pushes))))
    images += len({(row["data"], row["index"]) for row in zero_shot})
    attacks = len(attacked) + len(pushes) + sum(row["attack"] != CLEAN for row in zero_shot)
    counts = {("image", ""): images, ("certificate", ""): sum(map(len, certificates)), ("row", " of attacks"): attacks}
    return ", ".join(f"{n} {one}{'s' * (n != 1)}{more}" for (one, more), n in counts.items() if n)


def _warnings(told: Sequence[Told], radii: Sequence[float]) -> Iterator[str]:
    """Radii that no image could have been certified at, and what kinds warn of."""
    for _, report, group in told:
        yield from report.warnings(group)
        ceiling = report.ceiling(group)
        if beyond := beyond_words(radii, ceiling):
            yield (
                f"{report.heading}: no image can be certified beyond L2 radius {ceiling:.3g} with so few samples; the "
                f"columns of {beyond} say nothing about the model."
            )


def _certificates(told: Sequence[Told], summary: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for name, report, group in told:
        drawn, tables = report.figures(group), [report.table(summary[name])]
        yield page_section(name, report.heading, report.caption, drawn, tables, guarantee=report.guarantee(group))
