"""`report.html`: one file that needs nothing else, made from rows alone; with pictures if the data set is at hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hrvlm.attacks.records import CLEAN, RobustnessRecord, own_level
from hrvlm.attacks.summary import robustness_measures
from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.registry import kind_named
from hrvlm.certificates.kinds.report import Judged
from hrvlm.evaluation.zero_shot.summary import summarise_zero_shot
from hrvlm.figures import svg
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord, summarise_targeted_attacks
from hrvlm.reports.certificates import reports_of
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.image_columns import ImageColumns
from hrvlm.reports.overview import Overview
from hrvlm.reports.page import page_section, render_page, table_cells
from hrvlm.reports.pictures import small_pictures
from hrvlm.reports.radii import round_radii
from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables
from hrvlm.reports.targeted_attack_figures import attack_curves
from hrvlm.reports.targeted_attack_table import targeted_attack_table
from hrvlm.reports.zero_shot_tables import zero_shot_tables
from hrvlm.rows.measures import ALL
from hrvlm.rows.record import Record

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AtHand:
    """What rows do not hold, as far as it is known.

    Attributes:
        picture: Image `(3, H, W)` in [0, 1] of a data set index, as a tensor.
        names: Names of the classes per (tree, level).
        parents: Per (tree, level) the node of the next level that each node lies in.
        path: File of a data set index, or None.
        held: Small pictures of an earlier page, which are shown where the data set is not at hand.
    """

    picture: Callable[[int], Any] | None = None
    names: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)
    parents: Mapping[tuple[str, int], Sequence[int]] = field(default_factory=dict)
    path: Callable[[int], str | None] = lambda index: None
    held: Mapping[int, str] = field(default_factory=dict)

    def name(self, tree: str, level: int, label: int) -> str | None:
        """A class in words, where it is known."""
        known = self.names.get((tree, level))
        return known[label] if known is not None and 0 <= label < len(known) else None


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

    Raises:
        ValueError: If there are no rows, or some do not fit each other.
    """
    certificates = rows if isinstance(rows, Certificates) else Certificates.of_rows(rows)
    records, attacked = certificates.records, [RobustnessRecord.from_row(row) for row in robustness]
    pushes = [TargetedAttackRecord.from_row(row) for row in targeted_attacks]
    if not records and not attacked and not pushes and not zero_shot:
        raise ValueError("expected rows of certificates or of attacks for a report, got none")
    if radii is None:
        top = (report.largest_radius(group) for _, report, group in reports_of(records))
        radii = round_radii(max(top, default=0.0))
    columns, overview = ImageColumns(), Overview()
    _collect(records, attacked, radii, columns, overview)
    head = overview.section(_warnings(records, radii))
    sections = [
        *([] if head is None else [head]),
        *_zero_shot(zero_shot),
        *_certificates(records, radii),
        *_robustness(robustness),
        *_targeted_attacks(pushes),
        *more,
    ]
    return render_page(
        title=title,
        subtitle=_counted(records, attacked, pushes, zero_shot),
        checked=len(records),
        problems=certificates.problems,
        sections=sections,
        settings=settings or {},
        data=_data(columns, at_hand or AtHand()),
    )


def _collect(
    records: Iterable[Record], attacked: Iterable[RobustnessRecord], radii: Sequence[float], columns: ImageColumns,
    overview: Overview,
) -> None:  # fmt: skip
    """What records say of their images, into the table of images and the overview; attacks first."""
    images: dict[tuple[bool, int], list[RobustnessRecord]] = defaultdict(list)
    for each in attacked:
        images[each.stage != "before", each.index].append(each)
        if own_level(asdict(each)):
            columns.add("Attacks", "", each.index, [_judged(each)])
    for (_, index), group in sorted(images.items()):
        for budget, measured in robustness_measures(group):
            stage = "" if group[0].stage is None else f", {group[0].stage} training"
            overview.add(f"{budget}{stage}", index, [measured])
    for _, report, group in reports_of(records):
        for record in group:
            columns.add(report.heading, report.unit, record.index, report.judged(record), report.change(record))
            measured = kind_named(record.kind).measures(record, radii)
            shared = record.names_leaf  # trees share their leaves
            found = ((replace(m, tree=ALL) if shared and not m.level else m, value) for m, value in measured)
            overview.add(report.heading, record.index, found)


def _judged(record: RobustnessRecord) -> Judged:
    budget = "" if record.attack == CLEAN else f" {record.norm} {record.eps * 255:.3g}/255"
    stage = "" if record.stage is None else f", {record.stage} training"
    return Judged(
        tree=record.tree, level=record.level, level_name=record.level_name, about=f"{record.attack}{budget}{stage}",
        label=record.label, prediction=record.prediction,
    )  # fmt: skip


def _data(columns: ImageColumns, at_hand: AtHand) -> dict[str, Any] | None:
    if not columns.indices:
        return None
    pictures = small_pictures(columns.indices, at_hand.picture) or dict(at_hand.held)
    return columns.to_json(at_hand.name, at_hand.path, pictures, at_hand.parents)


def _counted(
    records: Sequence[Record], attacked: Sequence[Any], pushes: Sequence[Any], zero_shot: Sequence[Row]
) -> str:
    """How much the page is made of."""
    images = len({record.index for part in (records, attacked, pushes) for record in part})
    images += len({(row["data"], row["index"]) for row in zero_shot})
    attacks = len(attacked) + len(pushes) + sum(row["attack"] != CLEAN for row in zero_shot)
    told = [f"{images} images", f"{len(records)} certificates", f"{attacks} rows of attacks"]
    counts = (images, len(records), attacks)
    return ", ".join(words for words, count in zip(told, counts, strict=True) if count)


def _warnings(records: Sequence[Record], radii: Sequence[float]) -> Iterator[str]:
    """Radii that no image could have been certified at, and what kinds warn of."""
    for _, report, group in reports_of(records):
        yield from report.warnings(group)
        ceiling = report.ceiling(group)
        beyond = [radius for radius in radii if ceiling is not None and radius > ceiling]
        if beyond:
            yield (
                f"{report.heading}: no image can be certified beyond L2 radius {ceiling:.3g} with so few samples; the "
                f"columns of {', '.join(f'{radius:g}' for radius in beyond)} say nothing about the model."
            )


def _certificates(records: list[Record], radii: Sequence[float]) -> Iterable[dict[str, Any]]:
    summary = summarise(records, radii)
    for name, report, group in reports_of(records):
        drawn, tables = report.figures(group), [report.table(summary[name])]
        yield page_section(name, report.heading, report.caption, drawn, tables, guarantee=report.guarantee(group))


def _robustness(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["norm"], row["eps"], row["stage"]), []).append(row)
    in_order = sorted(groups.items(), key=lambda item: item[0][2] == "after")
    for number, ((norm, eps, stage), group) in enumerate(in_order):
        budget = f"{norm} eps={eps * 255:.3g}/255" + ("" if stage is None else f", {stage} training")
        first = robustness_table(group, title="Accuracy in percent, each level attacked by its own classifier")
        tables = [table_cells(first), *(table_cells(table, heat=True) for table in transfer_tables(group))]
        tables += [table_cells(table) for table in coherence_tables(group)]
        text = "Upper bounds of robustness, found by attacks; nothing here is certified."
        yield page_section(f"robustness-{number}", f"Attacks: {budget}", text, [], []) | {"tables": tables}


def _zero_shot(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    if rows:
        text = "Every picture is given the class whose prompts it is nearest to; nothing here is certified."
        yield page_section("zero-shot", "Zero-shot", text, [], zero_shot_tables(summarise_zero_shot(rows)))


def _targeted_attacks(records: Sequence[TargetedAttackRecord]) -> Iterable[dict[str, Any]]:
    if records:
        words = "Success of attacks over the L2 budget, without and with smoothing, inside and beyond certified radii"
        text = (
            "Share of attacked images that reach the forbidden class. Only inside certified radii is failure proven; "
            "elsewhere a stronger attack may succeed."
        )
        table = targeted_attack_table(summarise_targeted_attacks(records), forbidden=records[0].forbidden)
        yield page_section(
            "pushes", "Pushed to a forbidden answer", text, [svg(attack_curves(records), words)], [table]
        )
