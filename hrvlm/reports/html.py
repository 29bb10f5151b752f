"""`report.html`: one file that needs nothing else, made from rows alone; with pictures if the data set is at hand."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from hrvlm.attacks.records import CLEAN, RobustnessRecord
from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.report import KindReport
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.zero_shot.summary import summarise_zero_shot
from hrvlm.figures import svg
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord, summarise_targeted_attacks
from hrvlm.reports.certificates import guarantees, reports_of
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.page import page_section, page_template
from hrvlm.reports.radii import round_radii
from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables
from hrvlm.reports.targeted_attack_figures import attack_curves
from hrvlm.reports.targeted_attack_table import targeted_attack_table
from hrvlm.reports.zero_shot_tables import zero_shot_tables
from hrvlm.rows.record import Record

NUM_IMAGES = 8
Row = Mapping[str, Any]


@dataclass(frozen=True)
class AtHand:
    """What rows do not hold, as far as it is known.

    Attributes:
        picture: Image `(3, H, W)` in [0, 1] of a data set index, as a tensor.
        names: Names of the classes per (tree, level).
    """

    picture: Callable[[int], Any] | None = None
    names: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)

    def name(self, tree: str, level: int, label: int) -> str:
        """A class in words."""
        known = self.names.get((tree, level))
        return known[label] if known is not None and 0 <= label < len(known) else f"class {label}"


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

    Raises:
        ValueError: If there are no rows, or some do not fit each other.
    """
    certificates = rows if isinstance(rows, Certificates) else Certificates.of_rows(rows)
    records = certificates.records
    if not records and not robustness and not targeted_attacks and not zero_shot:
        raise ValueError("expected rows of certificates or of attacks for a report, got none")
    attacked: list[Any] = [
        *(RobustnessRecord.from_row(row) for row in robustness),
        *map(TargetedAttackRecord.from_row, targeted_attacks),
    ]
    images = len({record.index for record in [*records, *attacked]})
    images += len({(row["data"], row["index"]) for row in zero_shot})
    attacks = len(attacked) + sum(row["attack"] != CLEAN for row in zero_shot)
    sections = [
        *_zero_shot(zero_shot),
        *_certificates(records, radii, at_hand or AtHand()),
        *_robustness(robustness),
        *_targeted_attacks([record for record in attacked if isinstance(record, TargetedAttackRecord)]),
    ]
    return page_template().render(
        title=title,
        subtitle=f"{images} images, {len(records)} certificates, {attacks} rows of attacks",
        checked=len(records),
        problems=certificates.problems,
        guarantees=guarantees(records),
        sections=sections,
        settings=json.dumps(settings or {}, indent=2, ensure_ascii=False),
    )


def _certificates(records: list[Record], radii: Sequence[float] | None, at_hand: AtHand) -> Iterable[dict[str, Any]]:
    told = list(reports_of(records))
    if radii is None:
        radii = round_radii(max((report.largest_radius(group) for _, report, group in told), default=0.0))
    summary = summarise(records, radii)
    for name, report, group in told:
        tables = [report.table(summary[name])]
        section = page_section(name, report.heading, report.caption, report.figures(group), tables)
        images = [image for part in _chosen(group) if (image := _image(part, report, at_hand)) is not None]
        yield section | {"images": images, "key_title": report.key_title, "key": report.key()}


def _robustness(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["norm"], row["eps"], row["stage"]), []).append(row)
    for number, ((norm, eps, stage), group) in enumerate(groups.items()):
        budget = f"{norm} eps={eps * 255:.3g}/255" + ("" if stage is None else f", {stage} training")
        tables = [robustness_table(group, title="Accuracy in percent, each level attacked by its own classifier")]
        tables += [*transfer_tables(group), *coherence_tables(group)]
        text = "Upper bounds of robustness, found by attacks; nothing here is certified."
        yield page_section(f"robustness-{number}", f"Attacks: {budget}", text, [], tables)


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


def _chosen(records: list[Record]) -> list[list[Record]]:
    """Records of a few images, evenly spread over those there are, not picked by what they show."""
    indices = sorted({record.index for record in records})
    chosen = [indices[place] for place in evenly_spread(len(indices), NUM_IMAGES)]
    return [[record for record in records if record.index == index] for index in chosen]


def _image(records: list[Record], report: KindReport[Any], at_hand: AtHand) -> dict[str, Any] | None:
    """An image with figures of its records; None for a kind that has none."""
    figures = report.figures_of_image(records, at_hand.name)
    if not figures:
        return None
    first = min(records, key=lambda record: record.level)
    return {
        "index": first.index,
        "words": f"of {at_hand.name(first.tree, first.level, first.label)}" if first.labelled else "without a label",
        "picture": None if at_hand.picture is None else data_uri(at_hand.picture(first.index)),
        "figures": figures,
    }


def data_uri(image: Any) -> str:
    """An image `(3, H, W)` in [0, 1] as a PNG inside a link, at most 256 pixels wide and high."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((256, 256))
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
