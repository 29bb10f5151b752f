"""Smoothing certificates as a kind, see `kinds.interface`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.checks import choice_findings, correct_findings, noise_findings, sharing_findings
from hrvlm.certificates.kinds.facts import SHARED, level_findings, named, said_of_label, said_of_level, said_of_noise
from hrvlm.certificates.kinds.interface import LEVELS, Context, Expected, Kind, Said, Summary, account_of
from hrvlm.certificates.kinds.settings import RunSettings
from hrvlm.certificates.kinds.smoothing.record import VARYING, SmoothingRecord
from hrvlm.certificates.kinds.smoothing.summary import (
    measured_together,
    smoothing_measures,
    smoothing_scalars,
    summarise_smoothing,
)
from hrvlm.certificates.kinds.smoothing.verify import as_sound, smoothing_findings
from hrvlm.certificates.kinds.together import Alike
from hrvlm.certificates.statistics.claim import METHOD_OF
from hrvlm.rows.measures import Measured, MeasuredTogether
from hrvlm.rows.record import Key
from hrvlm.rows.table import Column, RecordTable
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:
    from hrvlm.certificates.sampling.plan import Statement
    from hrvlm.certificates.sampling.procedures import Sampled


class SmoothingKind(Kind[SmoothingRecord], Alike[SmoothingRecord]):
    """An L2 radius per image and level, from the labels of noisy copies."""

    name = "smoothing"
    record = SmoothingRecord
    source = "labels"
    spends = LEVELS
    report = "hrvlm.certificates.kinds.smoothing.report"
    varying = VARYING

    def options(self, plan: Any) -> Any | None:
        """How samples are spent, where smoothing is asked for."""
        return plan.sampling if plan.smoothing else None

    def without(self, plan: Any) -> dict[str, Any]:
        """See `Kind.without`."""
        return {"smoothing": False}

    def account(self, plan: Any) -> list[Any]:
        """Alpha and threshold, and how samples are spent."""
        return [account_of(plan)]

    def draws(self, plan: Any) -> int:
        """Selection and estimation samples."""
        return int(plan.smoothing_plan().estimation.stop)

    def statements(self, context: Context) -> list[Statement]:
        """One per level."""
        return context.levels

    def keys(self, context: Context, index: int) -> set[Key]:
        """One row per level."""
        return {(self.name, index, statement.tree, statement.level) for statement in context.levels}

    def certify(self, context: Context, stream: Iterable[Sampled]) -> Iterator[Sequence[SmoothingRecord]]:
        """See `smoothing.certify`."""
        from hrvlm.certificates.kinds.smoothing.certify import smoothing_records

        return map(partial(smoothing_records, plan=context.plan), stream)

    def check(self, record: SmoothingRecord) -> Iterator[Finding]:
        """Bounds and radius follow from the counts."""
        yield from correct_findings(record)
        yield from noise_findings(record.float_mode, record.noise_space)
        yield from choice_findings(record)
        yield from smoothing_findings(record)

    def as_sound(self, example: SmoothingRecord, columns: Mapping[str, Column]) -> NDArray[np.bool_]:
        """See `as_sound`."""
        return as_sound(example, columns)

    def check_family(self, records: Sequence[SmoothingRecord]) -> Iterator[tuple[SmoothingRecord, Finding]]:
        """Levels of an image share alpha."""
        return sharing_findings(records)

    def said_of_image(self, record: SmoothingRecord) -> Iterator[Said]:
        """Leaves are counted once, for profiles too."""
        yield from said_of_label(record)
        if record.level == 0:
            yield ("count", record.prediction, record.n), "counts", record.count
            yield ("invalid", record.n), "invalid", record.invalid

    def said_of_run(self, record: SmoothingRecord, leaf: int | None) -> Iterator[Said]:
        """Noise, procedure and level."""
        yield from said_of_noise(record)
        yield from named(record, (self.name,), *SHARED, "n0", "method", "n_max", "goal", "give_up")
        yield from said_of_level(record, leaf)
        yield (self.name, record.tree, record.level), "split", record.split
        if record.n_max is None:
            yield (self.name,), "n", record.n

    def expected(self, settings: RunSettings) -> Expected:
        """Procedure and numbers of samples."""
        sampling = settings.samples
        if sampling is None:
            return {}
        adaptive, open_end = sampling.procedure == "adaptive", sampling.procedure in ("adaptive", "pilot")
        told: dict[str, Hashable] = {
            "method": METHOD_OF.get(sampling.procedure, "clopper-pearson"),
            "n0": settings.selection_samples,
            "n_max": settings.n if open_end else None,
            "goal": sampling.goal,
            "give_up": sampling.give_up if adaptive else None,
        }
        told |= {} if open_end else {"n": settings.n}
        return {((self.name,), field): value for field, value in told.items()}

    def check_against(self, record: SmoothingRecord, settings: RunSettings) -> Iterator[Finding]:
        """Leaves go by the first tree."""
        return level_findings(record, settings, leaves_of_first=True)

    def counts_for(self, record: SmoothingRecord) -> str:
        """The tree."""
        return record.tree

    def summarise(self, records: Sequence[SmoothingRecord], radii: Sequence[float]) -> Summary:
        """See `summarise_smoothing`."""
        return summarise_smoothing(records, radii)

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """See `smoothing_scalars`."""
        return smoothing_scalars(summary)

    def measured_together(
        self, records: RecordTable[SmoothingRecord], radii: Sequence[float]
    ) -> Iterator[MeasuredTogether]:
        """See `measured_together`."""
        return measured_together(records, radii)

    def measures(self, record: SmoothingRecord, radii: Sequence[float]) -> list[Measured]:
        """See `smoothing_measures`."""
        return smoothing_measures(record, radii)


KIND = SmoothingKind()
