"""Tries stronger perturbations of training at equal cost, on validation pictures of the emoji only.

    python benchmarks/perturbations.py [--variants NAME ...] [--seeds N] [--minutes M] [--learning-rate R] [--tiny]

Every variant changes the hierarchical method of benchmarks/training.py in one switch and takes as many forward and
backward passes per batch (adversarial weights and a second start cost one, so that ascent has a step less). All
validation pictures, clean, under PGD-20 and under the worst case of PGD-20, APGD-CE and APGD-T, at the leaves and, as a
mean, at the upper levels of the Unicode tree. One learning rate for all: which variants are worth a comparison with
rates of their own is the question here, not which one wins.

What benchmarks/results/perturbations_lines.jsonl holds is not repeated, so it may be stopped and started at will, and
several processes may work at it side by side. Tables are written from the lines on file when everything is done.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from machines import machine
from training import RESULTS, parsed, work_through
from training_attacks import APGD, LEAF, PGD, TOGETHER, first_lines, following_lines
from training_methods import EPS, FOREST, STEP_SIZE, STEPS, TINY, Method, Sizes
from training_results import Results
from training_runs import Subject, fine_tune
from training_statistics import crossed
from training_tasks import Task

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import HierarchicalObjective
from hrvlm.objectives.settings import LossWeights
from hrvlm.objectives.soft_targets import SoftTargets
from hrvlm.training.failure import NonFiniteLossError
from hrvlm.training.settings import TrainedParts, WeightPerturbation

NAME, RUNS = "perturbations", Path("runs/benchmark-perturbations")
SPLIT, SEEDS, RATE = "validation", 2, 2e-3
PLAIN = "plain"
FULL = Sizes(splits=(SPLIT,), pgd=200, apgd=200, apgd_steps=100)
SMOKE = replace(TINY, splits=(SPLIT,))
ATTACKS, LEVELS = ("clean", PGD, APGD), (LEAF, "superclass")
PASSES = STEPS + 1  # forward and backward, of a batch


def variant(
    ascent: dict[str, Any] | None = None,
    trained: TrainedParts = TrainedParts(),
    **switches: Any,  # frozen
) -> Method:
    """The hierarchical method with some switches; without what costs a pass, ascent takes the steps that are left."""
    steps = STEPS - (trained.weight_perturbation is not None)
    chosen = Ascent(**{"steps": steps, "step_size": STEP_SIZE, **(ascent or {})})
    given = {"weights": LossWeights(image_share=1.0), "threat_model": ThreatModel(eps=EPS), **switches}
    return Method(lambda: HierarchicalObjective(ascent=chosen, **given), FOREST, trained=trained)


MOMENTUM, APGD_STEPS = {"rule": "momentum"}, {"rule": "apgd", "step_size": 2 * EPS}
MARGIN, RATIO, ONE_TREE = {"loss": "margin"}, {"loss": "dlr"}, {"trees_per_step": 1}
SOFT = LossWeights(image_share=1.0, soft_targets=SoftTargets())
MOVED, AVERAGED = WeightPerturbation(), 0.99
VARIANTS: dict[str, Method] = {
    PLAIN: variant(),
    "momentum": variant(MOMENTUM),
    "apgd_steps": variant(APGD_STEPS),
    "margin": variant(MARGIN),
    "ratio": variant(RATIO),
    "alternating": variant(strategy="alternating"),
    "one_tree": variant(ONE_TREE),
    "soft_targets": variant(weights=SOFT),
    "averaged_starts": variant({"starts": 2, "steps": STEPS - 1}),
    "weights_moved": variant(trained=TrainedParts(weight_perturbation=MOVED)),
    "weights_averaged": variant(trained=TrainedParts(average_decay=AVERAGED)),
}


def passes(method: Method) -> int:
    """Forward and backward passes per batch: the ascent's, that of the weights' perturbation, and the step's own."""
    return method.objective().ascent.gradients + (method.trained.weight_perturbation is not None) + 1


@dataclass(frozen=True)
class Plan:
    """Which variants and seeds, how much of each, and what is known so far."""

    labels: Sequence[str]
    seeds: int
    sizes: Sizes
    rate: float
    results: Results

    def tasks(self) -> list[Task]:
        """Seed by seed; a variant builds on nothing."""
        return [
            Task(
                "runs", f"{label}.seed={seed}", partial(self._is_done, label, seed), lambda: True,
                partial(self._lines, label, seed),
            )
            for seed in range(self.seeds)
            for label in self.labels
        ]  # fmt: skip

    def _is_done(self, label: str, seed: int) -> bool:
        return bool(self.results.find("runs", label=label, seed=seed))

    def _lines(self, label: str, seed: int) -> list[dict[str, Any]]:
        """Trains and attacks; a run that diverged has no accuracy."""
        method, sizes, common = VARIANTS[label], self.sizes, {"label": label, "seed": seed}
        path = self.results.runs / f"{label}.seed={seed}.ckpt"
        run = {"part": "runs", **common, "passes": passes(method)}
        try:
            run |= fine_tune(method, seed, self.rate, sizes, path)
        except NonFiniteLossError:
            return [run | {"diverged": True}]
        model = Subject(path)
        lines = [line for line in first_lines(model, SPLIT, sizes) if line["level"] != TOGETHER]
        lines += following_lines(model, APGD, [line for line in lines if line["attack"] == PGD], sizes)
        path.unlink()
        return [*({"part": "accuracy", **common, **line} for line in lines), run]


def values(lines: list[dict[str, Any]], label: str, attack: str, level: str) -> dict[int, list[float]]:
    """Accuracy by seed and picture, of superclasses the mean over the upper levels."""
    own = [
        line for line in lines if (line["part"], line.get("label"), line.get("attack")) == ("accuracy", label, attack)
    ]
    chosen = [line for line in own if (line["level"] == LEAF) == (level == LEAF)]
    seeds = sorted({line["seed"] for line in chosen})
    rows = {seed: [list(map(int, line["right"])) for line in chosen if line["seed"] == seed] for seed in seeds}
    return {seed: [fmean(column) for column in zip(*found, strict=True)] for seed, found in rows.items()}


def labels(runs: list[dict[str, Any]]) -> list[str]:
    """Variants of which there are runs, in the order above."""
    found = {run["label"] for run in runs}
    return [label for label in VARIANTS if label in found]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Setting, a row per variant, seed, attack and level, and runs."""
    found: dict[str, Any] = {"machine": machine(), "setting": {}, "rows": [], "runs": []}
    found["setting"] = {key: value for key, value in lines[0].items() if key != "part"}
    found["runs"] = [{k: v for k, v in line.items() if k != "part"} for line in lines if line["part"] == "runs"]
    for label in labels(found["runs"]):
        for attack in ATTACKS:
            for level in LEVELS:
                for seed, row in values(lines, label, attack, level).items():
                    place = {"variant": label, "seed": seed, "split": SPLIT, "attack": attack, "level": level}
                    found["rows"].append(place | {"accuracy": fmean(row), "pictures": len(row)})
    return found


def markdown(lines: list[dict[str, Any]]) -> str:
    """Accuracies in percent, and under each how it differs from the plain ascent, with the standard error."""
    setting, columns = lines[0], [(attack, level) for attack in ATTACKS for level in LEVELS]
    header = ["variant", "seeds", *(f"{attack} {level}" for attack, level in columns), "passes", "s per epoch"]
    table = [
        f"Emoji, validation pictures, attacks at {255 * EPS:.0f}/255, learning rate {setting['learning_rate']:g}; "
        f"percent, mean over seeds, and difference to `{PLAIN}` ± standard error over seeds and pictures.",
        "",
        f"| {' | '.join(header)} |",
        "|" + " --- |" * len(header),
    ]
    runs = [line for line in lines if line["part"] == "runs"]
    for label in labels(runs):
        own = [run for run in runs if run["label"] == label]
        seconds = [run["seconds_per_epoch"] for run in own if "seconds_per_epoch" in run]
        cells = [_cell(lines, label, *column) for column in columns]
        end = [str(own[0]["passes"]), f"{fmean(seconds):.0f}" if seconds else "diverged"]
        table.append(f"| {' | '.join([label, str(len(own)), *cells, *end])} |")
    return "\n".join(table)


def _cell(lines: list[dict[str, Any]], label: str, attack: str, level: str) -> str:
    own, plain = (values(lines, name, attack, level) for name in (label, PLAIN))
    if not own:
        return ""
    mean = f"{100 * fmean(map(fmean, own.values())):.1f}"
    shared = sorted(own.keys() & plain.keys())
    if label == PLAIN or not shared:
        return mean
    found = crossed([[a - b for a, b in zip(own[seed], plain[seed], strict=True)] for seed in shared])
    return f"{mean} ({100 * found.estimate:+.1f} ± {100 * found.error:.1f})"


def write(lines: list[dict[str, Any]], folder: Path) -> None:
    """Writes the results and their table."""
    (folder / f"{NAME}.json").write_text(json.dumps(summary(lines), indent=1) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(markdown(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing, until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--learning-rate", type=float, default=RATE, help="of all variants")
    given = parsed(parser, arguments)
    sizes, runs = SMOKE if given.tiny else FULL, RUNS if given.results == RESULTS else given.results / "runs"
    try:
        setting = sizes.setting() | {"learning_rate": given.learning_rate}
        results = Results(given.results / f"{NAME}_lines.jsonl", setting, runs)
    except ValueError as error:
        parser.error(str(error))
    started, plan = time.monotonic(), Plan(given.variants, given.seeds, sizes, given.learning_rate, results)
    if work_through(plan, ["runs"], lambda: time.monotonic() - started < 60 * given.minutes):
        write(results.lines(), given.results)


if __name__ == "__main__":
    main()
