"""Tries ways to train for certificates, on validation pictures of the emoji only.

    python benchmarks/smoothed_variants.py [--variants NAME ...] [--minutes M] [--tiny]

Every variant fine-tunes the packaged model under noise of sigma .25 at a learning rate of its own, one run each, with
the seed that learning rates of benchmarks/training.py are chosen with; epochs are so many that all but the "_long" ones
take about the same processor time. Of the results on file this holds among the runs before "straight_050", and among
those from it on, which took half of it for the same work. Told is the mean certified radius at
that sigma of leaf and group, n = 200, of all validation pictures.

What benchmarks/results/smoothed_variants_lines.jsonl holds is not repeated, so it may be stopped and started at will.
The table is written from the lines on file when everything is done.
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
from training_certificates import certified_lines
from training_methods import CERTIFIED_LEVELS, FOREST, FULL, ONE_TREE, SIGMA, TINY, Method, Sizes
from training_results import Results
from training_runs import TUNING_SEED, Subject, fine_tune
from training_tasks import Task

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import CleanObjective, Consistency, Guidance, GuidedHierarchicalObjective, HierarchicalObjective
from hrvlm.objectives.settings import LossWeights
from hrvlm.training.settings import TrainedParts

NAME, RUNS, SPLIT = "smoothed_variants", Path("runs/benchmark-smoothed-variants"), "validation"
ADAPTED, AVERAGED = TrainedParts(freeze_batch_norm=False), TrainedParts(average_decay=0.995)
LEVELS = (1.0, 0.8, 1.2, 0.4)  # nearly even, and more of what is the group in the Unicode tree


@dataclass(frozen=True)
class Variant:
    """A method and the learning rate that it is tried at."""

    method: Method
    rate: float


def clean(rate: float, epochs: int, trained: TrainedParts = TrainedParts()) -> Variant:  # frozen
    """The clean objective under noise: Gaussian augmentation."""
    return Variant(Method(CleanObjective, noise=SIGMA, epochs=epochs, trained=trained), rate)


def smoothed(
    rate: float,
    epochs: int,
    eps: float = 0.0,
    *,
    levels: Sequence[float] | None = None,
    guidance: Guidance | None = None,
    trees: tuple[str, ...] = FOREST,
    trained: TrainedParts = ADAPTED,
    random_start: bool = True,
    copies: int = 1,
    consistency: Consistency | None = None,
) -> Variant:
    """The hierarchical objective on noises of each picture, with one l2 step of length eps through them."""
    given: dict[str, Any] = {
        "weights": LossWeights(image_share=1.0, levels=levels),
        "threat_model": ThreatModel("l2", eps),
        "ascent": Ascent(steps=int(eps > 0.0), step_size=eps, random_start=random_start),
    }

    def objective() -> HierarchicalObjective:
        if guidance is None:
            return HierarchicalObjective(**given)
        return GuidedHierarchicalObjective(guidance=guidance, **given)

    noisy = Method(objective, trees, noise=SIGMA, copies=copies, consistency=consistency)
    return Variant(replace(noisy, epochs=epochs, trained=trained), rate)


SMOKE = replace(TINY, tuning_n=TINY.n)
FROZEN = TrainedParts()
VARIANTS = {
    "gaussian": clean(1e-3, 20),
    "gaussian_adapted": clean(2e-3, 20, ADAPTED),
    "gaussian_long": clean(1e-3, 40),
    "hierarchical": smoothed(2e-3, 19, trained=FROZEN),
    "weights_averaged": smoothed(2e-3, 19, trained=AVERAGED),
    "guided": smoothed(2e-3, 14, guidance=Guidance(general=1.0, clean=0.0, shown="clean"), trained=FROZEN),
    "adapted": smoothed(2e-3, 19),
    "adapted_4e-3": smoothed(4e-3, 19),
    "perturbed_025_2e-3": smoothed(2e-3, 10, 0.25),
    "perturbed_025_4e-3": smoothed(4e-3, 10, 0.25),
    "perturbed_050_4e-3": smoothed(4e-3, 10, 0.5),
    "perturbed_050_8e-3": smoothed(8e-3, 10, 0.5),
    "one_tree": smoothed(6e-3, 10, 0.5, trees=ONE_TREE),
    "upper_levels": smoothed(8e-3, 10, 0.5, levels=LEVELS),
    "perturbed_025_long": smoothed(4e-3, 20, 0.25),
    "perturbed_050_long": smoothed(8e-3, 20, 0.5),
    "straight_050": smoothed(4e-3, 10, 0.5, random_start=False),  # the start takes half of the step's direction away
    "straight_100": smoothed(4e-3, 10, 1.0, random_start=False),
    "upper_levels_4e-3": smoothed(4e-3, 10, 0.5, levels=LEVELS),
    "one_tree_4e-3": smoothed(4e-3, 10, 0.5, trees=ONE_TREE),
    "straight_100_one_tree": smoothed(4e-3, 10, 1.0, random_start=False, trees=ONE_TREE),
    "straight_100_one_tree_6e-3": smoothed(6e-3, 10, 1.0, random_start=False, trees=ONE_TREE),
    "straight_100_one_tree_8e-3": smoothed(8e-3, 10, 1.0, random_start=False, trees=ONE_TREE),
    "straight_100_one_tree_leaf": smoothed(
        4e-3, 10, 1.0, random_start=False, trees=ONE_TREE, levels=(1.5, 0.667, 0.333)
    ),
    "straight_150_one_tree": smoothed(4e-3, 10, 1.5, random_start=False, trees=ONE_TREE),
    "averaged_8e-3": smoothed(8e-3, 10, 0.5, trained=TrainedParts(freeze_batch_norm=False, average_decay=0.97)),
    "two_noises": smoothed(4e-3, 6, 0.5, copies=2),
    "consistency": smoothed(4e-3, 10, copies=2, consistency=Consistency(weight=2.0, entropy=0.1)),
}


@dataclass(frozen=True)
class Plan:
    """Which variants, how much is measured of each, and what is known so far."""

    labels: Sequence[str]
    sizes: Sizes
    results: Results

    def tasks(self) -> list[Task]:
        """One by one; a variant builds on nothing."""
        return [
            Task("runs", label, partial(self._is_done, label), lambda: True, partial(self._lines, label))
            for label in self.labels
        ]

    def _is_done(self, label: str) -> bool:
        return bool(self.results.find("runs", label=label))

    def _lines(self, label: str) -> list[dict[str, Any]]:
        """Trains and certifies."""
        chosen, path = VARIANTS[label], self.results.runs / f"{label}.ckpt"
        start = time.process_time()
        fine_tune(chosen.method, TUNING_SEED, chosen.rate, self.sizes, path)
        seconds = round(time.process_time() - start)
        draws = self.sizes.n0, self.sizes.tuning_n
        found = certified_lines(Subject(path), SPLIT, self.sizes.pgd, SIGMA, draws)
        radii = {line["level"]: fmean(line["radii"]) for line in found if line["level"] in CERTIFIED_LEVELS}
        path.unlink()
        run = {"learning_rate": chosen.rate, "epochs": chosen.method.epochs, "processor_seconds": seconds}
        return [{"part": "runs", "label": label, **run, **{f"{k} acr": round(v, 4) for k, v in radii.items()}}]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What smoothed_variants.json holds: a row per variant, in the order above."""
    runs = {line["label"]: line for line in lines if line["part"] == "runs"}
    rows = [{k: v for k, v in runs[label].items() if k != "part"} for label in VARIANTS if label in runs]
    return {"machine": machine(), "sigma": SIGMA, "split": SPLIT, "rows": rows}


def markdown(lines: list[dict[str, Any]]) -> str:
    """Mean certified radii, and how many times those of Gaussian augmentation they are."""
    rows = summary(lines)["rows"]
    plain = next((row for row in rows if row["label"] == "gaussian"), None)
    columns = [f"{level} acr" for level in CERTIFIED_LEVELS]
    header = ["variant", "rate", "epochs", "processor s", *columns]
    table = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    for row in rows:
        ratios = ["" if plain is None else f" ({row[column] / plain[column]:.2f})" for column in columns]
        cells = [f"{row[column]:.3f}{ratio}" for column, ratio in zip(columns, ratios, strict=True)]
        seconds = "" if row["processor_seconds"] is None else str(row["processor_seconds"])
        start = [row["label"], f"{row['learning_rate']:g}", str(row["epochs"]), seconds]
        table.append(f"| {' | '.join([*start, *cells])} |")
    return "\n".join(table)


def write(lines: list[dict[str, Any]], folder: Path) -> None:
    """Writes the results and their table."""
    (folder / f"{NAME}.json").write_text(json.dumps(summary(lines), indent=1) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(markdown(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing, until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    given = parsed(parser, arguments)
    sizes, runs = SMOKE if given.tiny else FULL, RUNS if given.results == RESULTS else given.results / "runs"
    try:
        results = Results(given.results / f"{NAME}_lines.jsonl", sizes.setting(), runs)
    except ValueError as error:
        parser.error(str(error))
    started = time.monotonic()
    done = work_through(
        Plan(given.variants, sizes, results), ["runs"], lambda: time.monotonic() - started < 60 * given.minutes
    )
    if done:
        write(results.lines(), given.results)


if __name__ == "__main__":
    main()
