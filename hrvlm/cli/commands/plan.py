"""`certify.py plan`: how many noise samples for which loss of mean radius or certified accuracy."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from hrvlm.certificates.planning.sample_size import SamplePlan, forecast, plan_samples
from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import settings_of
from hrvlm.evaluation.sample_plan import RADII, PlanSettings, question_of
from hrvlm.reports.radii import beyond_words, round_radii
from hrvlm.reports.terminal import console


def _parser() -> ClearParser:
    parser = ClearParser()
    parser.add_class_arguments(PlanSettings, skip={"json"})
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    return parser


def _run(options: Any, given: Any) -> None:
    """Prints the plan.

    Raises:
        ValueError: If an option lies outside its range, or the pilot's file holds no row to plan by.
    """
    settings = settings_of(PlanSettings, options)
    question = question_of(settings)
    answer = plan_samples(question, settings.loss, radius=settings.radius, n_reference=settings.reference)
    numbers = sorted({*settings.samples, answer.n, answer.n_reference})
    usual = list(RADII) if RADII[-1] <= answer.ceiling else round_radii(answer.ceiling)
    radii = usual if settings.radii is None else settings.radii
    lines = forecast(question, numbers, radii)
    if settings.json:
        described = {"settings": asdict(settings), "alpha_share": question.alpha, "threshold": question.threshold}
        print(json.dumps({**described, "plan": asdict(answer), "forecast": lines}, indent=2))
        return
    out = console()
    out.print(_table(lines, answer, radii))
    out.print(_sentence(answer, settings), highlight=False)
    if beyond := beyond_words(radii, answer.ceiling):
        out.print(f"No image can be certified at {beyond} by {answer.n:,} samples, however good the model.")


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


COMMAND = Command(_parser, _run)
