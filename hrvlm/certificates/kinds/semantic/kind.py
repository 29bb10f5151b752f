"""Semantic-extent certificates as a kind, see `kinds.interface`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from hrvlm.certificates.kinds.checks import correct_findings, named_findings
from hrvlm.certificates.kinds.facts import (
    attribute_findings,
    level_findings,
    level_of,
    named,
    said_of_label,
    said_of_level,
    said_of_prompts,
)
from hrvlm.certificates.kinds.interface import Context, EmbeddedImage, Expected, Kind, Said, Summary
from hrvlm.certificates.kinds.semantic.record import LARGEST_DELTA, SemanticRecord
from hrvlm.certificates.kinds.semantic.summary import semantic_measures, semantic_scalars, summarise_semantic
from hrvlm.certificates.kinds.semantic.verify import semantic_findings
from hrvlm.certificates.kinds.semantic.verify_calibrated import calibrated_against, calibrated_findings
from hrvlm.certificates.kinds.settings import RunSettings
from hrvlm.certificates.kinds.sound import TellsSound
from hrvlm.rows.measures import Measured
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:
    from hrvlm.certificates.kinds.semantic.options import SemanticOptions


class SemanticKind(Kind[SemanticRecord], TellsSound[SemanticRecord]):
    """Intervals of a semantic change over which the class of an image's embedding cannot change."""

    name = "semantic"
    record = SemanticRecord
    source = "embedding"
    report = "hrvlm.certificates.kinds.semantic.report"

    def options(self, plan: Any) -> SemanticOptions | None:
        """Attributes and misalignment bounds, where there are any attributes."""
        from hrvlm.certificates.kinds.semantic.options import SemanticOptions

        if not plan.semantic or not plan.attributes:
            return None
        return SemanticOptions(plan.attributes, plan.deltas, plan.calibration)

    def without(self, plan: Any) -> dict[str, Any]:
        """See `Kind.without`."""
        return {"semantic": False, "calibration": None}

    def check_options(self, plan: Any) -> None:
        """Bounds are in units of the features."""
        deltas = plan.deltas
        if len(set(deltas)) != len(deltas) or not all(0 <= delta <= LARGEST_DELTA for delta in deltas):
            raise ValueError(
                f"expected different deltas from 0 to {LARGEST_DELTA:g}, got {deltas}: bounds in feature units"
            )
        if plan.calibration is not None and self.options(plan) is None:
            raise ValueError(
                "expected semantic certificates of some attributes with a calibration, got none: it is for nothing else"
            )

    def check_model(self, plan: Any, scorers: Sequence[str], identity: Callable[[], Mapping[str, Any]]) -> None:
        """A calibration is of one model, with its levels, prompts and scorers, and of the changes asked."""
        if plan.calibration is not None:
            from hrvlm.certificates.kinds.semantic.calibration import read_calibration

            known = identity()
            read_calibration(plan.calibration).check(
                weights=known["weights"], trees=known["trees"], scorers=scorers, changes=plan.attributes
            )

    def keys(self, context: Context, index: int) -> set[Key]:
        """One row per level, scorer and attribute."""
        from hrvlm.certificates.kinds.classifiers import scorers_of

        scorers, changes = scorers_of(context.classifier), context.options.attributes
        return {
            (self.name, index, statement.tree, statement.level, scorer, change.name, change.target_kind)
            for statement in context.levels
            for scorer in scorers
            for change in changes
        }

    def certify(self, context: Context, stream: Iterable[EmbeddedImage]) -> Iterator[Sequence[SemanticRecord]]:
        """See `semantic.run`."""
        from hrvlm.certificates.kinds.semantic.run import certify

        return certify(context, stream)

    def check(self, record: SemanticRecord) -> Iterator[Finding]:
        """Intervals and shares follow from the scores that the row holds."""
        yield from correct_findings(record)
        yield from named_findings(record)
        yield from semantic_findings(record)
        yield from calibrated_findings(record)

    def sound(self, records: Sequence[SemanticRecord]) -> Iterator[SemanticRecord]:
        """See `TellsSound`; what scores bear out is derived of all at once."""
        from hrvlm.certificates.kinds.semantic.verify_calibrated_together import sound_stretches
        from hrvlm.certificates.kinds.semantic.verify_together import sound_claims

        held = sound_claims(records) & sound_stretches(records)
        for record, holds in zip(records, held.tolist(), strict=True):
            if holds and next(chain(correct_findings(record), named_findings(record)), None) is None:
                yield record

    def said_of_image(self, record: SemanticRecord) -> Iterator[Said]:
        """Prompts of an attribute, and the class of the image itself."""
        yield from said_of_label(record)
        yield from named(record, ("prompts", record.attribute), "source_prompt", "target_prompt")
        for tree, level, label in record.calibrated.groups:
            yield (self.name, record.scorer, *((tree, level) if level else ("leaf",))), "prediction", label
        if record.prediction >= 0:
            yield (self.name, record.scorer, *level_of(record)), "prediction", record.prediction

    def said_of_run(self, record: SemanticRecord, leaf: int | None) -> Iterator[Said]:
        """Level, prompts, and what evidence rows hold."""
        yield from said_of_level(record, leaf)
        yield from said_of_prompts(record, leaf)
        if record.intervals:
            yield (self.name,), "stable", tuple(delta for delta, _ in record.stable)
            yield (self.name, "evidence"), "waves", bool(record.waves)
            yield (self.name,), "calibration", record.calibration
            yield (self.name, "evidence"), "largest_deltas", record.largest_deltas is not None

    def expected(self, settings: RunSettings) -> Expected:
        """Misalignment bounds."""
        return {} if settings.deltas is None else {((self.name,), "stable"): settings.deltas}

    def check_against(self, record: SemanticRecord, settings: RunSettings) -> Iterator[Finding]:
        """Leaves go by the first tree; the run has the attribute."""
        yield from level_findings(record, settings, leaves_of_first=True)
        yield from attribute_findings(record, settings)
        yield from calibrated_against(record, settings.calibration)

    def summarise(self, records: Sequence[SemanticRecord], radii: Sequence[float]) -> Summary:
        """See `summarise_semantic`; extents have no radii."""
        return summarise_semantic(records)

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """See `semantic_scalars`."""
        return semantic_scalars(summary)

    def measures(self, record: SemanticRecord, radii: Sequence[float]) -> list[Measured]:
        """See `semantic_measures`."""
        return semantic_measures(record)


KIND = SemanticKind()
