"""A kind of certificate in one file: the leaf of an image's embedding, and how far the embedding may move and keep it.

Cosines of a unit vector change by no more than the vector moves, so that the gap of the two best closes only after
half of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.table import Table
from torch.nn.functional import normalize

from hrvlm.certificates.kinds.checks import correct_findings
from hrvlm.certificates.kinds.interface import Context, EmbeddedImage, Kind, Summary
from hrvlm.certificates.kinds.report import KindReport
from hrvlm.rows.measures import Measured, measured
from hrvlm.rows.record import Key, Record
from hrvlm.rows.verifying import Finding


@dataclass(frozen=True, kw_only=True)
class ToyRecord(Record):
    """The leaf of an image's embedding, and how far that may move.

    Attributes:
        best: largest cosine of the embedding with the text of a leaf.
        second: the second largest.
        distance: how far the unit embedding may move, less than which is certified; 0 where the gap is too small.
        least: smallest distance that is told of.
    """

    kind = "toy"

    best: float
    second: float
    distance: float
    least: float


def claimed(best: float, second: float, least: float) -> float:
    distance = (best - second) / 2
    return distance if distance > least else 0.0


class ToyKind(Kind[ToyRecord]):
    """How far embeddings may move."""

    name = "toy"
    record = ToyRecord
    source = "embedding"
    report = "toy_kind"

    def check_options(self, plan: Any) -> None:
        options = self.options(plan)
        if options is not None and not options["least"] >= 0:
            raise ValueError(f"expected least >= 0 for toy certificates, got {options['least']}")

    def keys(self, context: Context, index: int) -> set[Key]:
        return {(self.name, index, context.classifier.forest[0].name, 0)}

    def certify(self, context: Context, stream: Iterable[EmbeddedImage]) -> Iterator[Sequence[ToyRecord]]:
        classifier = context.classifier
        tree, texts = classifier.forest[0], normalize(classifier.text_points(classifier.keys[0]), dim=1)
        for image in stream:
            best, second = (normalize(image.feature, dim=1) @ texts.T)[0].topk(2).values
            told = {"tree": tree.name, "level": 0, "level_name": tree.levels[0].name, "index": image.index}
            yield [made(best.item(), second.item(), context.options["least"], int(best_class(image, texts)),
                        label=image.label, **told)]  # fmt: skip

    def check(self, record: ToyRecord) -> Iterator[Finding]:
        yield from correct_findings(record)
        wanted = claimed(record.best, record.second, record.least)
        if record.distance != wanted:
            yield "distance", record.distance > wanted, f"distance {record.distance}, where cosines give {wanted}"
        if (record.reason is None) != (record.distance > 0):
            yield "reason", False, f"reason {record.reason!r} at distance {record.distance}"
        if not 1.001 >= record.best >= record.second >= -1.001:
            yield "best", True, f"cosines {record.best} and {record.second}"

    def summarise(self, records: Sequence[ToyRecord], radii: Sequence[float]) -> Summary:
        found: Summary = {}
        for tree in sorted({record.tree for record in records}):
            group = sorted((r for r in records if r.tree == tree), key=lambda record: record.index)
            numbers = {"accuracy": fmean(r.correct for r in group), "mean_distance": fmean(r.distance for r in group)}
            found[tree] = {"0": numbers | {"images": len(group)}}
        return found

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        for tree, levels in summary.items():
            yield f"{tree}/0/mean_distance", levels["0"]["mean_distance"]

    def measures(self, record: ToyRecord, radii: Sequence[float]) -> list[Measured]:
        return measured(record, [("mean distance", "number", record.distance)])


def best_class(image: EmbeddedImage, texts: Any) -> Any:
    return (image.feature @ texts.T).argmax()


def made(best: float, second: float, least: float, prediction: int, **told: Any) -> ToyRecord:
    """The record of an image whose two best cosines are known."""
    distance = claimed(best, second, least)
    return ToyRecord(
        prediction=prediction, correct=prediction == told["label"], best=best, second=second, distance=distance,
        least=least, reason=None if distance > 0 else "the two best classes are too close", **told,
    )  # fmt: skip


class ToyReport(KindReport[ToyRecord]):
    """Mean distances."""

    heading = "A toy"
    caption = "How far embeddings may move."

    def guarantee(self, records: Sequence[ToyRecord]) -> list[str]:
        return [f"Deterministic: of {len(records)} embeddings, each keeps its leaf while it moves by less."]

    def table(self, summary: Mapping[str, Any]) -> Table:
        table = Table("tree", "mean distance", title="Toy certificates")
        for tree, levels in summary.items():
            table.add_row(tree, f"{levels['0']['mean_distance']:.3f}")
        return table


KIND, REPORT = ToyKind(), ToyReport()
