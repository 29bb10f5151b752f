"""Compares fine-tuning methods on the emoji: accuracy clean and attacked, at leaves and superclasses, over seeds.

    python benchmarks/training.py [--methods NAME ...] [--seeds N] [--minutes M] [--no-tune]

Every method fine-tunes the packaged model with the same data, batches, epochs and attacker; the learning rate is chosen
per method from the same three, by accuracy on validation pictures in one run of full length with a seed of its own
(variants of the hierarchical method take that of the full one). What benchmarks/results/training.json holds is not
repeated, so the benchmark may be stopped and started at will, and several processes may work at it side by side.
Checkpoints and rows per image are in runs/benchmark-training.

Levels: "leaf", and "superclass", the mean over the upper levels of the Unicode tree; every level is attacked through
its own classifier. AutoAttack runs on a fixed subset of the pictures and the first seed of each method. "pretrained" is
the model that all start from.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer, seed_everything
from training_methods import ABLATIONS, BATCH_SIZE, EPOCHS, EPS, LEARNING_RATES, METHODS, ONE_TREE, Method
from training_results import ROWS, Results, lock
from training_table import AUTOATTACK_IMAGES

import hrvlm
from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan, evaluate_robustness
from hrvlm.attacks.records import RobustnessRecord, own_level
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, cosine_head
from hrvlm.models.checkpoints import load
from hrvlm.models.heads import Head
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.settings import OptimizerSettings

HERE = Path(__file__).parent
RESULT = HERE / "results" / "training.json"
TUNING_SEED = 1000
SPLITS = ("unseen_artist", "unseen_classes")
PRETRAINED = "pretrained"
PGD = RobustnessPlan(attacks=["pgd20"], threat_model=ThreatModel(eps=EPS), transfer=False)


def fine_tune(method: Method, seed: int, learning_rate: float, path: Path) -> float:
    """Writes the checkpoint of a fine-tuned model; returns the seconds that an epoch took."""
    seed_everything(seed, verbose=False)
    module = RobustFineTuning(
        objective=method.objective(),
        trees=method.trees,
        optimizer=OptimizerSettings(learning_rate=learning_rate, warmup_steps=10),
        seed=seed,
    )
    data = EmojiDataModule(batch_size=BATCH_SIZE, seed=seed, plain_share=0.5)
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    start = time.perf_counter()
    trainer.fit(module, datamodule=data)
    seconds = (time.perf_counter() - start) / EPOCHS
    trainer.save_checkpoint(path, weights_only=True)
    return seconds


def evaluate(model: VisionLanguageModel, head: Head, split: str, plan: RobustnessPlan) -> list[RobustnessRecord]:
    """Rows of one split under one plan, for leaves and Unicode levels, with the method's own head."""
    data = hrvlm.data.emoji(split)
    classifier = HierarchicalClassifier(model, head, hrvlm.load_forest(ONE_TREE).restrict(data.class_names))
    batches = evaluate_robustness(classifier, data, plan.indices(len(data)), plan)
    return [record for batch in batches for record in batch]


def accuracies(records: Iterable[RobustnessRecord]) -> dict[tuple[str, str], float]:
    """Accuracy by (level, attack); a superclass accuracy is the mean over the upper levels."""
    found: dict[tuple[str, int], list[bool]] = {}
    for record in records:
        if own_level(record.to_row()):
            found.setdefault((record.attack, record.level), []).append(record.correct)
    result: dict[tuple[str, str], float] = {}
    for attack in dict.fromkeys(attack for attack, _ in found):
        levels = {level: statistics.fmean(values) for (name, level), values in found.items() if name == attack}
        result["leaf", attack] = levels.pop(0)
        result["superclass", attack] = statistics.fmean(levels.values())
    return result


@dataclass(frozen=True)
class Task:
    """One piece of work that a process takes.

    Attributes:
        name: For its lock and the log.
        done: Whether its result is there.
        ready: Whether what it builds on is there.
        work: Does it and adds its result.
    """

    name: str
    done: Callable[[], bool]
    ready: Callable[[], bool]
    work: Callable[[], None]


def tuning_task(name: str, method: Method, rate: float, results: Results) -> Task:
    """Scores a learning rate: mean of clean and PGD-20 accuracy, of leaf and superclass, on validation pictures."""
    label = f"{name}.tuning={rate:g}"

    def work() -> None:
        path = ROWS / f"{label}.ckpt"
        fine_tune(method, TUNING_SEED, rate, path)
        found = accuracies(evaluate(*loaded(path), "validation", PGD))
        scores = {f"{level} {attack}": value for (level, attack), value in found.items()}
        score = statistics.fmean(found.values())
        results.add(tuning=[{"method": name, "learning_rate": rate, "score": score, **scores}])
        path.unlink()

    return Task(label, lambda: results.has("tuning", method=name, learning_rate=rate), lambda: True, work)


def run_task(name: str, method: Method, seed: int, results: Results, tuned: bool) -> Task:
    """One fine-tuning run, and its accuracies clean and under PGD-20."""

    def work() -> None:
        rate = results.rate(method.rate_of or name) or LEARNING_RATES[1]
        seconds = fine_tune(method, seed, rate, checkpoint(name, seed))
        rows = measure(name, seed, *loaded(checkpoint(name, seed)), PGD)
        results.add(
            rows=rows, runs=[{"method": name, "seed": seed, "learning_rate": rate, "seconds_per_epoch": seconds}]
        )

    def ready() -> bool:
        return not tuned or results.rate(method.rate_of or name) is not None

    return Task(f"{name}.seed={seed}", lambda: results.has("runs", method=name, seed=seed), ready, work)


def pretrained_task(results: Results) -> Task:
    """The model that all methods start from, as plain CLIP classifies."""

    def work() -> None:
        model = hrvlm.load_model("emoji")
        rows = measure(PRETRAINED, 0, model, cosine_head(model), PGD)
        results.add(rows=rows, runs=[{"method": PRETRAINED, "seed": 0, "learning_rate": 0.0, "seconds_per_epoch": 0.0}])

    return Task(PRETRAINED, lambda: results.has("runs", method=PRETRAINED), lambda: True, work)


def autoattack_task(name: str, results: Results, images: int) -> Task:
    """AutoAttack on some pictures, for the first seed."""
    plan = RobustnessPlan(attacks=["autoattack"], threat_model=PGD.threat_model, num_images=images, transfer=False)

    def work() -> None:
        if name == PRETRAINED:
            model = hrvlm.load_model("emoji")
            rows = measure(name, 0, model, cosine_head(model), plan)
        else:
            rows = measure(name, 0, *loaded(checkpoint(name, 0)), plan)
        results.add(rows=[row for row in rows if row["attack"] != "clean"])  # clean accuracy is that of all pictures

    return Task(
        f"{name}.autoattack",
        lambda: results.has("rows", method=name, seed=0, attack="autoattack"),
        lambda: results.has("runs", method=name, seed=0),
        work,
    )


def checkpoint(name: str, seed: int) -> Path:
    """Where a run leaves its weights."""
    return ROWS / f"{name}.seed={seed}.ckpt"


def loaded(path: Path) -> tuple[VisionLanguageModel, Head]:
    """Model and head of a checkpoint."""
    found = load(path)
    return found.model, found.head


def measure(name: str, seed: int, model: VisionLanguageModel, head: Head, plan: RobustnessPlan) -> list[dict[str, Any]]:
    """Accuracies on both splits; rows per image go to a file."""
    rows: list[dict[str, Any]] = []
    with (ROWS / f"{name}.seed={seed}.{plan.attacks[0]}.jsonl").open("w", encoding="utf-8") as file:
        for split in SPLITS:
            records = evaluate(model, head, split, plan)
            file.write("".join(json.dumps({"split": split, **record.to_row()}) + "\n" for record in records))
            for (level, attack), accuracy in accuracies(records).items():
                row = {"method": name, "seed": seed, "split": split, "level": level, "attack": attack}
                rows.append(row | {"accuracy": accuracy})
    shown = {f"{r['split']} {r['level']} {r['attack']}": round(100 * r["accuracy"], 1) for r in rows}
    print(f"{name}, seed {seed}: {shown}", flush=True)
    return rows


def tasks(chosen: Sequence[str], seeds: int, images: int, tuned: bool, results: Results) -> list[Task]:
    """Everything: learning rates, methods seed by seed, ablations, then AutoAttack."""
    everything = {**METHODS, **ABLATIONS}
    runs = [(name, seed) for name in chosen for seed in range(min(seeds, everything[name].seeds))]
    runs.sort(key=lambda run: (run[0] in ABLATIONS, run[1]))
    rates = [(name, rate) for name in chosen if tuned and not everything[name].rate_of for rate in LEARNING_RATES]
    return [
        pretrained_task(results),
        *(tuning_task(name, METHODS[name], rate, results) for name, rate in rates),
        *(run_task(name, everything[name], seed, results, tuned) for name, seed in runs),
        *(autoattack_task(name, results, images) for name in (PRETRAINED, *chosen) if images),
    ]


def work_through(todo: list[Task], in_time: Callable[[], bool]) -> None:
    """Takes the first task that is open, ready and not another process's, until none is left or time is out."""
    while in_time():
        open_tasks = [task for task in todo if not task.done()]
        if not open_tasks:
            return
        for task in open_tasks:
            with lock(task.name, wait=False) as free:
                if free and task.ready() and not task.done():
                    task.work()
                    break
        else:
            time.sleep(5)  # the rest waits for what other processes do


def main() -> None:
    """Runs what is missing, until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*METHODS, *ABLATIONS]
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="at most this many seeds of each method")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further run after this time")
    parser.add_argument("--no-tune", action="store_true", help="take the middle learning rate where none was chosen")
    parser.add_argument(
        "--autoattack-images", type=int, default=AUTOATTACK_IMAGES, help="per split; 0 for no AutoAttack"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*Checkpoint directory.*|.*dataloader.*")
    images = arguments.autoattack_images
    try:
        results = Results(RESULT, images)
    except ValueError as error:
        parser.error(str(error))
    todo = tasks(arguments.methods, arguments.seeds, images, not arguments.no_tune, results)
    started = time.monotonic()
    work_through(todo, lambda: time.monotonic() - started < 60 * arguments.minutes)


if __name__ == "__main__":
    main()
