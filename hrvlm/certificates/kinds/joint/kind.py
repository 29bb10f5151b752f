"""Joint certificates as a kind, see `kinds.interface`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hrvlm.certificates.kinds.checks import correct_findings, named_findings, noise_findings
from hrvlm.certificates.kinds.facts import (
    SHARED,
    attribute_findings,
    level_findings,
    level_of,
    named,
    said_of_label,
    said_of_level,
    said_of_noise,
    said_of_prompts,
)
from hrvlm.certificates.kinds.interface import Context, Expected, Kind, Said, Summary
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.joint.summary import joint_measures, joint_scalars, summarise_joint
from hrvlm.certificates.kinds.joint.verify import joint_families_findings, joint_findings
from hrvlm.certificates.kinds.settings import RunSettings
from hrvlm.rows.measures import Measured
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:
    from hrvlm.certificates.kinds.joint.options import JointOptions
    from hrvlm.certificates.sampling.batches import Sample


class JointKind(Kind[JointRecord]):
    """Every image within a radius, and every semantic move up to an extent, at once."""

    name = "joint"
    record = JointRecord
    source = "features"
    spends = name
    report = "hrvlm.certificates.kinds.joint.report"

    def options(self, plan: Any) -> JointOptions | None:
        """Attributes, radii and extents, where joint certificates are asked for."""
        from hrvlm.certificates.kinds.joint.options import JointOptions

        return JointOptions(plan.attributes, plan.joint_questions) if plan.joint else None

    def without(self, plan: Any) -> dict[str, Any]:
        """See `Kind.without`."""
        return {"joint": False}

    def check_options(self, plan: Any) -> None:
        """Joint certificates need changes in words."""
        if not plan.joint:
            return
        if not plan.attributes:
            raise ValueError("expected attributes for joint certificates, got none: name a semantic change")
        if plan.joint_questions.move == "target" and any(change.shown for change in plan.attributes):
            raise ValueError("expected attributes in words alone for joint rows with move: target, got pictures")

    def account(self, plan: Any) -> list[Any]:
        """Alpha and threshold, planes, radii and extents; n0 and n are used whatever the procedure is."""
        asked = [plan.alpha, plan.sampling.threshold, plan.sampling.votes, plan.sampling.vote_error]
        planes = sorted([change.source, change.target] for change in plan.attributes)
        return [asked, planes, asdict(plan.joint_questions)]

    def draws(self, plan: Any) -> int:
        """Selection and estimation samples, whatever the procedure is."""
        return int(plan.n0 + plan.n)

    def keys(self, context: Context, index: int) -> set[Key]:
        """One row per level, scorer and attribute."""
        from hrvlm.certificates.kinds.classifiers import scorers_of

        options: JointOptions = context.options
        scorers = scorers_of(context.classifier)
        return {
            (self.name, index, statement.tree, statement.level, scorer, change.name, options.questions.move)
            for scorer in (scorers if options.questions.plain_cosine else scorers[:1])
            for statement in context.levels
            for change in options.attributes
        }

    def certify(self, context: Context, stream: Iterable[Sample]) -> Iterator[Sequence[JointRecord]]:
        """See `joint.run`."""
        from hrvlm.certificates.kinds.joint.run import certify

        return certify(context, stream)

    def check(self, record: JointRecord) -> Iterator[Finding]:
        """Extents and radii follow from the histogram."""
        yield from correct_findings(record)
        yield from named_findings(record)
        yield from noise_findings(record.float_mode, record.noise_space)
        yield from joint_findings(record)

    def check_family(self, records: Sequence[JointRecord]) -> Iterator[tuple[JointRecord, Finding]]:
        """All statements of an image share alpha."""
        return joint_families_findings(records)

    def said_of_image(self, record: JointRecord) -> Iterator[Said]:
        """Prompts of an attribute; the class that the selection samples chose, once for all attributes."""
        yield from said_of_label(record)
        yield from named(record, ("prompts", record.attribute), "source_prompt", "target_prompt")
        level = (self.name, record.scorer, *level_of(record))
        if record.prediction >= 0:
            yield level, "prediction", record.prediction
        yield level, "selection_count", record.selection_count

    def said_of_run(self, record: JointRecord, leaf: int | None) -> Iterator[Said]:
        """Noise, moves, prompts, radii and extents."""
        yield from said_of_noise(record)
        yield from named(record, (self.name,), *SHARED, "n0", "n", "move", "steps")
        yield from said_of_level(record, leaf)
        yield from said_of_prompts(record, leaf)
        yield (self.name,), "at_radii", tuple(radius for radius, _ in record.at_radii)
        yield (self.name,), "at_extents", tuple(extent for extent, _ in record.at_extents)

    def expected(self, settings: RunSettings) -> Expected:
        """Samples, moves, radii and extents."""
        asked = settings.joint_questions
        if asked is None or settings.samples is None:
            return {}
        told: dict[str, Hashable] = {"n0": settings.n0, "n": settings.n, "move": asked.move, "steps": asked.steps}
        told |= {"at_radii": asked.radii, "at_extents": asked.extents}
        return {((self.name,), field): value for field, value in told.items()}

    def check_against(self, record: JointRecord, settings: RunSettings) -> Iterator[Finding]:
        """The run has tree, level and attribute."""
        yield from level_findings(record, settings)
        yield from attribute_findings(record, settings)

    def summarise(self, records: Sequence[JointRecord], radii: Sequence[float]) -> Summary:
        """See `summarise_joint`; radii were fixed when the rows were made."""
        return summarise_joint(records)

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """See `joint_scalars`."""
        return joint_scalars(summary)

    def measures(self, record: JointRecord, radii: Sequence[float]) -> list[Measured]:
        """See `joint_measures`; radii were fixed when the rows were made."""
        return joint_measures(record)


KIND = JointKind()
