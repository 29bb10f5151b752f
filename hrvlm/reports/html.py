"""`report.html`: one file that needs nothing else, made from rows alone; with pictures if the data set is at hand."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
from PIL import Image
from rich.table import Table

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.certificates import summarise
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.data.sampling import evenly_spread
from hrvlm.generative.targeted_attack_records import TargetedAttackRecord, summarise_targeted_attacks
from hrvlm.reports import figures
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.guarantees import guarantees
from hrvlm.reports.joint_table import joint_table
from hrvlm.reports.oracle_table import oracle_table
from hrvlm.reports.profile_table import profile_table
from hrvlm.reports.push_figures import attack_curves
from hrvlm.reports.push_table import push_table
from hrvlm.reports.tables import robustness_table, semantic_table, smoothing_table, transfer_tables
from hrvlm.reports.terminal import lines_of

NUM_IMAGES = 8
KEY = (
    (figures.SAME, "as for the image"),
    (figures.RIGHT, "changed to the right class"),
    (figures.OTHER, "changed to another class"),
    (figures.NOTHING, "nothing certified"),
)
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
    pushes: Sequence[Row] = (),
) -> str:
    """The report as one HTML page.

    Args:
        rows: Certificates of all kinds, one per image and statement; as rows, or read and verified.
        robustness: Robustness rows; of several stages and budgets if need be.
        title: Of the page.
        radii: L2 radii of the tables; None takes round ones.
        settings: What else is known of the run.
        at_hand: Pictures and names of classes.
        pushes: Rows of attacks towards a forbidden answer.

    Raises:
        ValueError: If there are no rows, or some do not fit each other.
    """
    certificates = rows if isinstance(rows, Certificates) else Certificates.of_rows(rows)
    records = certificates.records
    if not records and not robustness and not pushes:
        raise ValueError("expected rows of certificates or of attacks for a report, got none")
    attacked: list[Any] = [
        *(RobustnessRecord.from_row(row) for row in robustness),
        *map(TargetedAttackRecord.from_row, pushes),
    ]
    images = len({record.index for record in [*records, *attacked]})
    sections = [
        *_certificates(records, radii, at_hand or AtHand()),
        *_robustness(robustness),
        *_pushes([record for record in attacked if isinstance(record, TargetedAttackRecord)]),
    ]
    return _template().render(
        title=title,
        subtitle=f"{images} images, {len(records)} certificates, {len(attacked)} rows of attacks",
        checked=len(records),
        problems=certificates.problems,
        guarantees=guarantees(records),
        sections=sections,
        settings=json.dumps(settings or {}, indent=2, ensure_ascii=False),
    )


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("hrvlm.reports", "")
    plain = jinja2.Environment(loader=loader, autoescape=True, finalize=_shown)
    return plain.get_template("report.html.jinja")


def _shown(value: Any) -> Any:
    """Texts with control characters written out, which pages must not hold; finished parts of the page as they are."""
    return lines_of(value) if type(value) is str else value


def _certificates(records: list[Any], radii: Sequence[float] | None, at_hand: AtHand) -> Iterable[dict[str, Any]]:
    smoothing = [record for record in records if isinstance(record, SmoothingRecord)]
    profiles = [record for record in records if isinstance(record, ProfileRecord)]
    semantic = [record for record in records if isinstance(record, SemanticRecord)]
    summary = summarise(records, figures.nice_radii(smoothing) if radii is None else radii) if records else {}
    if smoothing:
        drawn = figures.svg(figures.certified_accuracy(smoothing), "Certified accuracy over the L2 radius per level")
        text = "Share of images whose smoothed prediction is right and certified up to the radius."
        yield _section("smoothing", "Smoothing", text, [drawn], [smoothing_table(summary)])
    if profiles:
        drawn = figures.svg(figures.profile_depths(profiles), "Deepest certified level over the L2 radius per tree")
        text = "For every radius the deepest ancestor that is certified; the rest is certified for the root alone."
        yield _section("profile", "Hierarchical profile", text, [drawn], [profile_table(summary)])
    if semantic:
        drawn = figures.svg(figures.mean_invariance(semantic), "Mean invariant share per attribute, level and scorer")
        text = "Share of the way from the image to the target on which the prediction provably does not change."
        section = _section("semantic", "Semantic extent", text, [drawn], [semantic_table(summary)])
        yield section | {"images": [_image(group, at_hand) for group in _chosen(semantic)], "key": KEY}
    if summary.get("joint"):
        text = "Pixels and meaning together: every image within the radius, moved up to the extent."
        yield _section("joint", "Joint pixel-and-semantic", text, [], [joint_table(summary)])
    if summary.get("oracle"):
        text = "Answers under an oracle: its own label (composite), and that of an ideal oracle (semantic, corrected)."
        yield _section("oracle", "Generative model with an oracle", text, [], [oracle_table(summary)])


def _robustness(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["norm"], row["eps"], row["stage"]), []).append(row)
    for number, ((norm, eps, stage), group) in enumerate(groups.items()):
        budget = f"{norm} eps={eps * 255:.3g}/255" + ("" if stage is None else f", {stage} training")
        tables = [robustness_table(group, title="Accuracy in percent, each level attacked by its own classifier")]
        text = "Upper bounds of robustness, found by attacks; nothing here is certified."
        yield _section(f"robustness-{number}", f"Attacks: {budget}", text, [], [*tables, *transfer_tables(group)])


def _pushes(records: Sequence[TargetedAttackRecord]) -> Iterable[dict[str, Any]]:
    if records:
        words = "Success of attacks over the L2 budget, without and with smoothing, inside and beyond certified radii"
        text = (
            "Share of attacked images that reach the forbidden class. Only inside certified radii is failure proven; "
            "elsewhere a stronger attack may succeed."
        )
        table = push_table(summarise_targeted_attacks(records), forbidden=records[0].forbidden)
        yield _section(
            "pushes", "Pushed to a forbidden answer", text, [figures.svg(attack_curves(records), words)], [table]
        )


def _section(name: str, heading: str, text: str, drawn: list[str], tables: list[Table]) -> dict[str, Any]:
    return {"id": name, "heading": heading, "text": text, "figures": drawn, "tables": [_cells(t) for t in tables]}


def _cells(table: Table) -> dict[str, Any]:
    """A table of the terminal, cell by cell."""
    kinds = ["number" if column.justify == "right" else "" for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return {
        "title": ". ".join(str(part) for part in (table.title, table.caption) if part),
        "head": [(str(column.header), kind) for column, kind in zip(table.columns, kinds, strict=True)],
        "rows": [list(zip(cells, kinds, strict=True)) for cells in zip(*columns, strict=True)],
    }


def _chosen(records: list[SemanticRecord]) -> list[list[SemanticRecord]]:
    """Records of a few images, evenly spread over those there are, not picked by what they show."""
    indices = sorted({record.index for record in records})
    chosen = [indices[place] for place in evenly_spread(len(indices), NUM_IMAGES)]
    return [[record for record in records if record.index == index] for index in chosen]


def _image(records: list[SemanticRecord], at_hand: AtHand) -> dict[str, Any]:
    first = min(records, key=lambda record: record.level)
    scorers = sorted({record.scorer for record in records})
    words = f"of {at_hand.name(first.tree, first.level, first.label)}"
    return {
        "index": first.index,
        "words": words,
        "picture": None if at_hand.picture is None else data_uri(at_hand.picture(first.index)),
        "bars": [
            (scorer, figures.svg(figures.interval_bars([r for r in records if r.scorer == scorer], at_hand.name),
                                 f"Intervals of constant prediction of image {first.index}, {scorer} scorer"))
            for scorer in scorers
        ],
    }  # fmt: skip


def data_uri(image: Any) -> str:
    """An image `(3, H, W)` in [0, 1] as a PNG inside a link, at most 256 pixels wide and high."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((256, 256))
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
