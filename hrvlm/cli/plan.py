"""`certify.py plan`: how many noise samples for which loss of mean radius or certified accuracy."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from rich.table import Table

from hrvlm.certificates import OracleRecord, SmoothingRecord, read_rows, record_from_row
from hrvlm.certificates.noise.gaussian import check_sigma
from hrvlm.certificates.planning.laws import BetaLaw, ProbabilityLaw, UniformLaw, pilot_law
from hrvlm.certificates.planning.sample_size import Question, SamplePlan, check_samples, forecast, plan_samples
from hrvlm.certificates.statistics.radii import operational_threshold
from hrvlm.cli.errors import ClearParser
from hrvlm.reports.terminal import console
from hrvlm.rows.record import Record


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What `certify.py plan` is asked.

    Attributes:
        sigma: Standard deviation of the noise, in pixel units.
        alpha: Error probability per image.
        statements: Levels of an image that share alpha.
        loss: Share of the mean radius that may be lost; with `radius`, of the images certified there.
        radius: L2 radius at which certified accuracy counts; null to plan for the mean radius.
        radii: L2 radii at which certified accuracy is forecast.
        low: Without beta or pilot: class probabilities are uniform between this and 1.
        beta: Two parameters of a Beta law of the class probability.
        pilot: certificates.jsonl of a small run; its counts are the law, and are not used in any certificate.
        tree: Tree of the pilot's rows, or oracle of the answers; the first one if null.
        level: Level of the pilot's rows.
        samples: Numbers of samples that are forecast beside the answer.
        reference: Samples that the loss is measured against.
        threshold: Probability that the class must keep.
        votes: Samples of a deployed vote, which then sets the threshold.
        vote_error: Error probability of one deployed answer.
        json: Whether to print JSON instead of a table.
    """

    sigma: float = 0.25
    alpha: float = 0.001
    statements: int = 1
    loss: float = 0.1
    radius: float | None = None
    radii: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2, 0.3])
    low: float = 0.5
    beta: list[float] | None = None
    pilot: str | None = None
    tree: str | None = None
    level: int = 0
    samples: list[int] = field(default_factory=lambda: [100, 1000, 10_000])
    reference: int = 100_000
    threshold: float = 0.5
    votes: int | None = None
    vote_error: float = 0.05
    json: bool = False

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if self.beta is not None and len(self.beta) != 2:
            raise ValueError(f"expected two parameters in beta, got {self.beta}")
        if self.beta is not None and self.pilot is not None:
            raise ValueError("expected beta or pilot, got both")
        if self.statements < 1:
            raise ValueError(f"expected statements >= 1, got {self.statements}")
        if not self.samples or not min(self.radii, default=0.0) >= 0:
            raise ValueError(f"expected at least one of samples and radii >= 0, got {self.samples} and {self.radii}")
        for n in (*self.samples, self.reference):
            check_samples(n)
        if self.votes is not None and self.threshold != 0.5:
            raise ValueError("expected threshold or votes, got both: votes set the threshold")


def add_parser(subparsers: Any) -> None:
    """Adds the command `plan` to the subcommands of a parser of jsonargparse."""
    parser = ClearParser(description="How many noise samples for which loss of mean radius or certified accuracy.")
    parser.add_class_arguments(PlanSettings, skip={"json"})
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    subparsers.add_subcommand("plan", parser)


def plan(given: Any) -> None:
    """Prints the plan.

    Args:
        given: Parsed options of the command, one per attribute of `PlanSettings`.

    Raises:
        ValueError: If an option lies outside its range, or the pilot's file holds no row to plan by.
    """
    settings = PlanSettings(**{name: getattr(given, name) for name in PlanSettings.__dataclass_fields__})
    question = Question(
        law=_law(settings),
        alpha=settings.alpha / settings.statements,
        sigma=settings.sigma,
        threshold=_threshold(settings),
    )
    answer = plan_samples(question, settings.loss, radius=settings.radius, n_reference=settings.reference)
    numbers = sorted({*settings.samples, answer.n, answer.n_reference})
    lines = forecast(question, numbers, settings.radii)
    if settings.json:
        described = {"settings": asdict(settings), "alpha_share": question.alpha, "threshold": question.threshold}
        print(json.dumps({**described, "plan": asdict(answer), "forecast": lines}, indent=2))
        return
    out = console()
    out.print(_table(lines, answer, settings.radii))
    out.print(_sentence(answer, settings), highlight=False)


def _threshold(settings: PlanSettings) -> float:
    if settings.votes is None:
        return settings.threshold
    return operational_threshold(settings.votes, settings.vote_error)


def _law(settings: PlanSettings) -> ProbabilityLaw:
    if settings.pilot is not None:
        return _pilot(settings, Path(settings.pilot))
    return UniformLaw(settings.low) if settings.beta is None else BetaLaw(*settings.beta)


def _pilot(settings: PlanSettings, path: Path) -> ProbabilityLaw:
    """Law of the images of one level, or oracle; wrong predictions count as never certified.

    Answers whose right class nobody knows count whatever their class, as certified shares do.
    """
    found = [record for record in map(record_from_row, read_rows(path)) if _counts(record)]
    names = [settings.tree] if settings.tree is not None else [_name(record) for record in found][:1]
    rows = [r for r in found if _name(r) in names and r.level == settings.level]
    known = any(r.label >= 0 for r in rows)
    correct = [r for r in rows if r.n > 0 and (r.correct if known else r.prediction >= 0)]
    if not correct:
        there = list(dict.fromkeys(f"{_name(record)!r}, level {record.level}" for record in found))
        asked = f"tree or oracle {names[0] if names else settings.tree!r}, level {settings.level}"
        raise ValueError(
            f"expected rows with counts and a correct prediction of {asked} in {path}, found none; "
            f"there are rows of {'; '.join(there) or 'no tree and no oracle'}"
        )
    return pilot_law([r.count for r in correct], [r.n for r in correct], num_images=len(rows))


def _counts(record: Record) -> TypeGuard[SmoothingRecord | OracleRecord]:
    """Whether a row has the counts of a smoothed label; both claims about answers have the same ones."""
    return isinstance(record, SmoothingRecord) or (isinstance(record, OracleRecord) and record.claim == "composite")


def _name(record: SmoothingRecord | OracleRecord) -> str:
    return record.oracle if isinstance(record, OracleRecord) else record.tree


def _table(lines: list[dict[str, Any]], answer: SamplePlan, radii: list[float]) -> Table:
    table = Table(title="Forecast per number of noise samples, over the correctly classified images of the law")
    for name in ("samples", "mean radius", "by the law", "of reference", *(f"r={r:g}" for r in radii), "ceiling"):
        table.add_column(name, justify="right")
    reference = next(line["mean_radius"] for line in lines if line["n"] == answer.n_reference)
    for line in lines:
        share = f"{100 * line['mean_radius'] / reference:.1f}%" if reference > 0 else "-"
        cells = [f"{line['mean_radius']:.4f}", f"{line['mean_radius_law']:.4f}", share]
        cells += [f"{100 * line['certified_accuracy'][str(radius)]:.1f}%" for radius in radii]
        style = "bold" if line["n"] == answer.n else None
        table.add_row(f"{line['n']:,}", *cells, f"{line['ceiling']:.4f}", style=style)
    return table


def _sentence(answer: SamplePlan, settings: PlanSettings) -> str:
    if settings.radius is None:
        what = f"lose {100 * answer.loss:.1f}% of the mean radius {answer.reference:.4f}"
    else:
        percent = 100 * answer.loss
        what = f"lose {percent:.1f} points of the {100 * answer.reference:.1f}% certified at {settings.radius:g}"
    law = "the exact sum (too few samples for the law)" if answer.n_law is None else f"the law ({answer.n_law:,})"
    return (
        f"{answer.n:,} samples {what} that {answer.n_reference:,} samples reach; found by {law}, confirmed by the "
        f"exact sum. No radius above {answer.ceiling:.4f} can come out of them."
    )
