"""Compares fine-tuning methods on the emoji: accuracy clean and attacked, at leaves and superclasses, over seeds.

    python benchmarks/training.py [--methods NAME ...] [--seeds N] [--minutes M] [--no-tune]

Every method fine-tunes the packaged model with the same data, batches, epochs and attacker; the learning rate is chosen
per method from the same three, by accuracy on validation pictures in a run of half the length (ablations take the full
method's). Runs that benchmarks/results/training.json holds are not repeated, so the benchmark may be stopped and
started at will; each run's rows per image are in runs/benchmark-training.

Levels: "leaf", and "superclass", the mean over the upper levels of the Unicode tree; every level is attacked through
its own classifier. AutoAttack runs on a fixed subset of the pictures. "pretrained" is the model that all start from.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from training_methods import ABLATIONS, EPS, LEARNING_RATES, METHODS, ONE_TREE, Method
from training_table import write_table

import hrvlm
from hrvlm.attacks.evaluation import RobustnessPlan, evaluate_robustness
from hrvlm.attacks.records import RobustnessRecord, own_level
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, cosine_head
from hrvlm.models.heads import Head
from hrvlm.training.fine_tuning import RobustFineTuning

HERE = Path(__file__).parent
RESULT = HERE / "results" / "training.json"
ROWS = Path("runs/benchmark-training")
EPOCHS, BATCH_SIZE, TUNING_SEED = 10, 128, 1000
AUTOATTACK_IMAGES = 16
SPLITS = ("unseen_artist", "unseen_classes")
PRETRAINED = "pretrained"


def fine_tune(method: Method, seed: int, learning_rate: float, epochs: int) -> tuple[RobustFineTuning, float]:
    """A fine-tuned model and the seconds that an epoch took."""
    seed_everything(seed, verbose=False)
    module = RobustFineTuning(
        objective=method.objective(), trees=method.trees, learning_rate=learning_rate, warmup_steps=10, seed=seed
    )
    data = EmojiDataModule(batch_size=BATCH_SIZE, seed=seed, plain_share=0.5)
    trainer = Trainer(
        max_epochs=epochs,
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
    return module, (time.perf_counter() - start) / epochs


def evaluate(model: VisionLanguageModel, head: Head, split: str, plan: RobustnessPlan) -> list[RobustnessRecord]:
    """Rows of one split under one plan, for leaves and Unicode levels, with the method's own head."""
    data = hrvlm.data.emoji(split)
    classifier = HierarchicalClassifier(model, head, hrvlm.load_forest(ONE_TREE).restrict(data.class_names))
    batches = evaluate_robustness(classifier, data, plan.indices(len(data)), plan)
    return [record for batch in batches for record in batch]


def plans(autoattack_images: int) -> list[RobustnessPlan]:
    """PGD-20 on all pictures, AutoAttack on some."""
    pgd = RobustnessPlan(attacks=["pgd20"], eps=EPS, transfer=False)
    if not autoattack_images:
        return [pgd]
    return [pgd, RobustnessPlan(attacks=["autoattack"], eps=EPS, num_images=autoattack_images, transfer=False)]


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


class Results:
    """The result file: read at the start, written after every run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"machine": {}, "setting": {}, "tuning": [], "runs": [], "rows": []}
        if path.exists():
            self.content |= json.loads(path.read_text(encoding="utf-8"))
        self.content["machine"] = {
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cuda": torch.cuda.is_available(),
        }
        self.content["setting"] = {
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "eps": EPS,
            "learning_rates": LEARNING_RATES,
        }

    def has(self, kind: str, **values: Any) -> bool:
        """Whether an entry with these values is there."""
        return any(all(entry[key] == value for key, value in values.items()) for entry in self.content[kind])

    def add(self, kind: str, *entries: dict[str, Any]) -> None:
        """Appends and writes."""
        self.content[kind].extend(entries)
        self.path.parent.mkdir(exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)
        write_table(self.content, self.path.with_suffix(".md"))

    def best_rate(self, name: str) -> float:
        """The learning rate with the best score; the middle one if none was tried."""
        tried = [entry for entry in self.content["tuning"] if entry["method"] == name]
        return max(tried, key=lambda entry: entry["score"])["learning_rate"] if tried else LEARNING_RATES[1]


def tune(name: str, method: Method, results: Results) -> None:
    """Scores each learning rate: mean of clean and PGD-20 accuracy, of leaf and superclass, on validation pictures."""
    for rate in LEARNING_RATES:
        if not results.has("tuning", method=name, learning_rate=rate):
            module, _ = fine_tune(method, TUNING_SEED, rate, max(1, EPOCHS // 2))
            found = accuracies(evaluate(module.model, module.objective.head, "validation", plans(0)[0]))
            scores = {f"{level} {attack}": value for (level, attack), value in found.items()}
            score = statistics.fmean(found.values())
            results.add("tuning", {"method": name, "learning_rate": rate, "score": score, **scores})
            print(f"tuning {name}, learning rate {rate}: {scores}", flush=True)


def run(name: str, method: Method, seed: int, results: Results, autoattack_images: int) -> None:
    """One fine-tuning run, evaluated on both splits."""
    rate = results.best_rate(method.rate_of or name)
    module, seconds = fine_tune(method, seed, rate, EPOCHS)
    rows = measure(name, seed, module.model, module.objective.head, autoattack_images)
    results.content["rows"].extend(rows)
    results.add("runs", {"method": name, "seed": seed, "learning_rate": rate, "seconds_per_epoch": seconds})


def run_pretrained(results: Results, autoattack_images: int) -> None:
    """The model that all methods start from, as plain CLIP classifies."""
    model = hrvlm.load_model("emoji")
    results.content["rows"].extend(measure(PRETRAINED, 0, model, cosine_head(model), autoattack_images))
    results.add("runs", {"method": PRETRAINED, "seed": 0, "learning_rate": 0.0, "seconds_per_epoch": 0.0})


def measure(
    name: str, seed: int, model: VisionLanguageModel, head: Head, autoattack_images: int
) -> list[dict[str, Any]]:
    """Accuracies on both splits; rows per image go to a file."""
    rows: list[dict[str, Any]] = []
    with _rows_file(name, seed) as file:
        for split in SPLITS:
            for plan in plans(autoattack_images):
                records = evaluate(model, head, split, plan)
                file.write("".join(json.dumps({"split": split, **record.to_row()}) + "\n" for record in records))
                for (level, attack), accuracy in accuracies(records).items():
                    if attack == "clean" and plan.attacks == ["autoattack"]:
                        continue  # clean accuracy is that of all pictures
                    row = {"method": name, "seed": seed, "split": split, "level": level, "attack": attack}
                    rows.append(row | {"accuracy": accuracy})
    shown = {f"{r['split']} {r['level']} {r['attack']}": round(100 * r["accuracy"], 1) for r in rows}
    print(f"{name}, seed {seed}: {shown}", flush=True)
    return rows


def _rows_file(name: str, seed: int) -> Any:
    ROWS.mkdir(parents=True, exist_ok=True)
    return (ROWS / f"{name}.seed={seed}.jsonl").open("w", encoding="utf-8")


def schedule(chosen: Sequence[str], seeds: int) -> list[tuple[str, Method, int]]:
    """All runs: the first seed of every method comes first, then the ablations, then further seeds."""
    methods = {**METHODS, **ABLATIONS}
    runs = [(name, methods[name], seed) for name in chosen for seed in range(min(seeds, methods[name].seeds))]
    return sorted(runs, key=lambda entry: (entry[2], entry[0] in ABLATIONS))


def main() -> None:
    """Runs what is missing, until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*METHODS, *ABLATIONS]
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="at most this many seeds of each method")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further run after this time")
    parser.add_argument("--no-tune", action="store_true", help="take the learning rates that were chosen before")
    parser.add_argument("--autoattack-images", type=int, default=AUTOATTACK_IMAGES)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*Checkpoint directory.*|.*dataloader.*")
    results, started = Results(RESULT), time.monotonic()

    def in_time() -> bool:
        return time.monotonic() - started < 60 * arguments.minutes

    if not results.has("runs", method=PRETRAINED):
        run_pretrained(results, arguments.autoattack_images)
    for name in arguments.methods:
        if name in METHODS and not arguments.no_tune and in_time():
            tune(name, METHODS[name], results)
    for name, method, seed in schedule(arguments.methods, arguments.seeds):
        if in_time() and not results.has("runs", method=name, seed=seed):
            run(name, method, seed, results, arguments.autoattack_images)


if __name__ == "__main__":
    main()
