"""The pieces of work of benchmarks/training.py: what each needs, and which lines it adds to the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from training_attacks import APGD, AUTOATTACK, LEAF, PGD, TOGETHER, first_lines, following_lines
from training_certificates import certified_lines
from training_methods import (
    ABLATIONS,
    ADAPTING,
    CERTIFIED_LEVELS,
    EVERYTHING,
    METHODS,
    NOISY,
    PRETRAINED,
    SIGMA,
    START_RATES,
    Sizes,
    families,
    named,
)
from training_rates import Grids, grids
from training_results import Results, lock
from training_runs import TUNING_SEED, Subject, fine_tune, subject

from hrvlm.training.failure import NonFiniteLossError


@dataclass(frozen=True)
class Task:
    """One piece of work that a process takes.

    Attributes:
        part: Which part of the benchmark it belongs to.
        name: For its lock and the log.
        done: Whether its result is there.
        ready: Whether what it builds on is there.
        work: Does it and returns its lines.
    """

    part: str
    name: str
    done: Callable[[], bool]
    ready: Callable[[], bool]
    work: Callable[[], list[dict[str, Any]]]


@dataclass(frozen=True)
class Benchmark:
    """What is compared, and what is known so far.

    Attributes:
        methods: Labels of the methods.
        seeds: At most this many seeds of each.
        sizes: How much is measured.
        tuned: Whether learning rates are chosen; else all take the one in the middle of the first grid.
        results: What is known.
    """

    methods: Sequence[str]
    seeds: int
    sizes: Sizes
    tuned: bool
    results: Results

    def tasks(self) -> list[Task]:
        """Everything that can be named so far; the grid of learning rates grows."""
        state = self.grids()
        main = [name for name in self.methods if name in METHODS]
        runs = [(name, seed) for name in main for seed in range(min(self.seeds, METHODS[name].seeds))]
        every = [(PRETRAINED, 0), *sorted(runs, key=lambda run: run[1])]
        bare = [run for run in every if not named(run[0])["noise"]]
        first = [run for run in every if run[1] == 0]
        found = [self._tuning(name, rate) for name, rate in state.missing if name in self.methods]
        for seed in sorted({seed for _, seed in every}):  # all of a seed before the next, so that seeds count whole
            own = [run for run in every if run[1] == seed]
            found += [self._run("runs", *run, state) for run in own]
            found += [self._certificate(*run, SIGMA) for run in own if run[1] == 0 or run not in bare]
            found += [self._attack(APGD, PGD, *run) for run in own if not run[0].endswith(NOISY)]
        return [
            *found,
            *(self._certificate(*run, sigma) for run in first for sigma in self.sizes.sigmas if sigma != SIGMA),
            *(self._attack(AUTOATTACK, APGD, *run) for run in first if run in bare),
            *(self._run("ablations", name, 0, state) for name in self.methods if name in ABLATIONS),
            *(self._attack(APGD, PGD, name, 0) for name in self.methods if name in ADAPTING),
            *(self._attack(APGD, PGD, *run) for run in first if run[0].endswith(NOISY)),
        ]

    def grids(self) -> Grids:
        """Where the choice of learning rates stands; of all methods, whichever are to be worked on."""
        if not self.tuned:
            choosing = [name for names in families() for name in names]
            return Grids(dict.fromkeys(choosing, START_RATES), (), dict.fromkeys(choosing, START_RATES[1]), ())
        scores: dict[str, dict[float, float]] = {}
        for line in self.results.find("tuning"):
            scores.setdefault(line["label"], {})[line["learning_rate"]] = line["score"]
        return grids(scores, families())

    def _tuning(self, label: str, rate: float) -> Task:
        """Scores a learning rate."""
        name = f"{label}.tuning={rate:g}"

        def work() -> list[dict[str, Any]]:
            path, common = self.results.runs / f"{name}.ckpt", {"part": "tuning", "label": label, "learning_rate": rate}
            try:
                fine_tune(EVERYTHING[label], TUNING_SEED, rate, self.sizes, path)
            except NonFiniteLossError:
                return [common | {"score": 0.0, "diverged": True}]
            scores = self._scores(Subject(path), EVERYTHING[label].noise)
            path.unlink()
            counted = [value for key, value in scores.items() if EVERYTHING[label].scored in key]
            return [common | {"score": fmean(counted), **scores}]

        def done() -> bool:
            return bool(self.results.find("tuning", label=label, learning_rate=rate))

        return Task("tuning", name, done, lambda: True, work)

    def _scores(self, model: Subject, noise: float) -> dict[str, float]:
        """By what a rate is chosen, on validation pictures: certified radii under noise, else accuracies."""
        if noise:
            draws = (self.sizes.n0, self.sizes.tuning_n)
            radii = certified_lines(model, "validation", self.sizes.pgd, noise, draws)
            return {f"{line['level']} acr": fmean(line["radii"]) for line in radii if line["level"] in CERTIFIED_LEVELS}
        lines = [line for line in first_lines(model, "validation", self.sizes) if line["level"] != TOGETHER]
        scores: dict[str, float] = {}
        for attack in dict.fromkeys(line["attack"] for line in lines):
            shares = {line["level"]: fmean(map(int, line["right"])) for line in lines if line["attack"] == attack}
            scores[f"leaf {attack}"] = shares.pop(LEAF)
            scores[f"superclass {attack}"] = fmean(shares.values())
        return scores

    def _run(self, part: str, label: str, seed: int, state: Grids) -> Task:
        """One fine-tuning run, and its accuracies clean and under PGD-20."""
        method = EVERYTHING.get(label)
        rate = 0.0 if method is None else state.chosen.get(method.rate_of or label)

        def work() -> list[dict[str, Any]]:
            assert rate is not None
            path = self._weights(label, seed)
            run = {"part": "runs", "label": label, "seed": seed, "learning_rate": rate}
            if method is not None:
                run |= fine_tune(method, seed, rate, self.sizes, path)
            model = Subject(None if method is None else path)
            lines = [line for split in self.sizes.splits for line in first_lines(model, split, self.sizes)]
            return [*({"part": "accuracy", "label": label, "seed": seed, **line} for line in lines), run]

        return Task(part, f"{label}.seed={seed}", lambda: self._has_run(label, seed), lambda: rate is not None, work)

    def _has_run(self, label: str, seed: int) -> bool:
        return bool(self.results.find("runs", label=label, seed=seed))

    def _weights(self, label: str, seed: int) -> Path:
        return self.results.runs / f"{label}.seed={seed}.ckpt"

    def _subject(self, label: str, seed: int) -> Subject:
        """The model of a run that is on file; trained again where the results came here without the weights."""
        if label == PRETRAINED:
            return subject(None)
        path, (run,) = self._weights(label, seed), self.results.find("runs", label=label, seed=seed)
        with lock(self.results.runs, path.stem, wait=True):  # else two processes would train it again
            if not path.exists():
                fine_tune(EVERYTHING[label], seed, run["learning_rate"], self.sizes, path)
        return subject(path)

    def _attack(self, attack: str, before: str, label: str, seed: int) -> Task:
        """Further attacks on pictures that are left standing."""
        run = {"label": label, "seed": seed}

        def work() -> list[dict[str, Any]]:
            model, lines = self._subject(label, seed), list[dict[str, Any]]()
            for split in self._attacked_splits(attack, label, seed):
                found = self.results.find("accuracy", **run, attack=before, split=split)
                known = [line for line in found if line["level"] != TOGETHER]
                lines += following_lines(model, attack, known, self.sizes)
            return [{"part": "accuracy", **run, **line} for line in lines]

        return Task(
            attack,
            f"{label}.seed={seed}.{attack}",
            lambda: bool(self.results.find("accuracy", **run, attack=attack)),
            lambda: bool(self.results.find("accuracy", **run, attack=before)),
            work,
        )

    def _attacked_splits(self, attack: str, label: str, seed: int) -> Sequence[str]:
        """All for the worst case of a first seed without noise; the first alone for what costs most and tells least."""
        everything = attack == APGD and seed == 0 and not named(label)["noise"]
        return self.sizes.splits if everything else self.sizes.splits[:1]

    def _certificate(self, label: str, seed: int, sigma: float) -> Task:
        """Certificates of a run under one sigma; models without noise take fewer pictures."""
        run = {"label": label, "seed": seed}
        images = self.sizes.certified if named(label)["noise"] else self.sizes.certified_bare

        def work() -> list[dict[str, Any]]:
            model, draws = self._subject(label, seed), (self.sizes.n0, self.sizes.n)
            found = [certified_lines(model, split, count, sigma, draws) for split, count in images.items()]
            return [{"part": "certificates", **run, **line} for lines in found for line in lines]

        return Task(
            "certificates",
            f"{label}.seed={seed}.sigma={sigma:g}",
            lambda: bool(self.results.find("certificates", **run, sigma=sigma)),
            lambda: self._has_run(label, seed),
            work,
        )
