"""Hierarchical profiles as a kind, see `kinds.interface`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hrvlm.certificates.kinds.checks import noise_findings, sharing_findings
from hrvlm.certificates.kinds.facts import SHARED, level_findings, named, said_of_label, said_of_level, said_of_noise
from hrvlm.certificates.kinds.interface import Context, Expected, Kind, Said, Summary, account_of
from hrvlm.certificates.kinds.profile.claim import choose_budget
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.profile.summary import profile_measures, profile_scalars, summarise_profiles
from hrvlm.certificates.kinds.profile.verify import profile_faults
from hrvlm.certificates.kinds.settings import RunSettings
from hrvlm.rows.measures import Measured
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:
    from hrvlm.certificates.kinds.profile.options import ProfileOptions
    from hrvlm.certificates.sampling.plan import Statement
    from hrvlm.certificates.sampling.procedures import Sampled


class ProfileKind(Kind[ProfileRecord]):
    """At every radius the deepest ancestor below which the smoothed leaf classifier stays, from leaf labels alone."""

    name = "profile"
    record = ProfileRecord
    source = "labels"
    spends = name
    report = "hrvlm.certificates.kinds.profile.report"

    def options(self, plan: Any) -> ProfileOptions | None:
        """The budget, where profiles are asked for."""
        found: ProfileOptions | None = plan.profile
        return found

    def without(self, plan: Any) -> dict[str, Any]:
        """See `Kind.without`."""
        return {"profile": None}

    def check_options(self, plan: Any) -> None:
        """Not every procedure makes profiles."""
        if plan.profile is not None:
            plan.profile.check(plan.smoothing_plan())

    def account(self, plan: Any) -> list[Any]:
        """As of smoothing, and the radii."""
        return [account_of(plan), sorted(plan.profile.radii)]

    def draws(self, plan: Any) -> int:
        """Selection and estimation samples."""
        return int(plan.smoothing_plan().estimation.stop)

    def statements(self, context: Context) -> list[Statement]:
        """The leaves alone."""
        return context.levels[:1]

    def keys(self, context: Context, index: int) -> set[Key]:
        """One row per tree."""
        return {(self.name, index, tree.name) for tree in context.classifier.forest.trees}

    def certify(self, context: Context, stream: Iterable[Sampled]) -> Iterator[Sequence[ProfileRecord]]:
        """See `profile.certify`."""
        from hrvlm.certificates.kinds.profile.certify import Profiler

        classifier = context.classifier
        profiler = Profiler(classifier.forest.trees, classifier.keys[0], context.plan, context.options)
        return (profiler.records(sampled) for sampled in stream)

    def check(self, record: ProfileRecord) -> Iterator[Finding]:
        """Bounds and radii follow from the counts along the chain."""
        yield from noise_findings(record.float_mode, record.noise_space)
        yield from profile_faults(record)

    def check_family(self, records: Sequence[ProfileRecord]) -> Iterator[tuple[ProfileRecord, Finding]]:
        """Trees of an image share alpha."""
        return sharing_findings(records)

    def said_of_image(self, record: ProfileRecord) -> Iterator[Said]:
        """Labels of all levels, and the counts of the leaves, which smoothing rows have too."""
        yield from said_of_label(record)
        for number, label in enumerate(record.labels[1:], start=1):
            yield ("label", record.tree, number), "label", label
        if record.chain and record.counts:  # without, the row is at fault by itself
            yield ("count", record.chain[0], record.n), "counts", record.counts[0]
        yield ("invalid", record.n), "invalid", record.invalid

    def said_of_run(self, record: ProfileRecord, leaf: int | None) -> Iterator[Said]:
        """Noise, budget and tree."""
        yield from said_of_noise(record)
        yield from named(record, (self.name,), *SHARED)
        yield from said_of_level(record, leaf)
        yield from named(record, (self.name, record.tree), "budget", "split", "asked", "level_names", "n0")
        if record.n > 0:
            yield (self.name,), "n", record.n
        yield from self._said_of_tree(record)

    def _said_of_tree(self, record: ProfileRecord) -> Iterator[Said]:
        """A node has one name and one parent."""
        for level, (node, name) in enumerate(zip(record.chain, record.node_names, strict=False)):
            if node >= 0:
                yield ("node", record.tree, level, node), "node_names", name
        for field, path in (("chain", record.chain), ("labels", record.labels)):
            for level, (node, parent) in enumerate(pairwise(path)):
                if node >= 0:
                    yield ("parent", record.tree, level, node), field, parent

    def expected(self, settings: RunSettings) -> Expected:
        """Samples, budget and radii, levels, and how many trees share alpha."""
        found: Expected = {}
        if settings.samples is not None:
            found[(self.name,), "n"] = settings.n
        if settings.forest and settings.random_numbers is not None:
            found[(self.name,), "num_statements"] = len(settings.levels)
        for tree in settings.forest:
            if tree.names:
                found[(self.name, tree.name), "level_names"] = tree.names
            if settings.profile is not None:
                budget = choose_budget(len(settings.profile.radii), tree.count)
                asked = tuple(sorted(settings.profile.radii)) if budget == "fixed radii" else ()
                found |= {((self.name, tree.name), "budget"): budget, ((self.name, tree.name), "asked"): asked}
        return found

    def check_against(self, record: ProfileRecord, settings: RunSettings) -> Iterator[Finding]:
        """The run has the tree, with as many levels."""
        yield from level_findings(record, settings)
        if settings.levels.get(record.tree, len(record.chain)) != len(record.chain):
            text = f"a chain of {len(record.chain)} levels in a tree of {settings.levels[record.tree]}"
            yield "chain", True, text

    def summarise(self, records: Sequence[ProfileRecord], radii: Sequence[float]) -> Summary:
        """See `summarise_profiles`."""
        return summarise_profiles(records, radii)

    def scalars(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """See `profile_scalars`."""
        return profile_scalars(summary)

    def measures(self, record: ProfileRecord, radii: Sequence[float]) -> Iterator[Measured]:
        """See `profile_measures`."""
        return profile_measures(record, radii)


KIND = ProfileKind()
