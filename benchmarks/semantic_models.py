"""The models of benchmarks/semantic_calibration.py: packaged, fine-tuned robustly, and with pictures aligned too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml
from semantic_subject import Subject

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan, evaluate_robustness
from hrvlm.cli.train import main as train
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import inference_copy

ROOT = Path(__file__).parents[1]
CONFIGURATIONS = {"packaged": (), "robust": ("quickstart",), "aligned": ("quickstart", "aligned")}
"""Files of configs/emoji that each is trained by; the packaged model is not trained any further."""
EPS, ATTACKED = 4 / 255, 200


def checkpoint(name: str, folder: Path, epochs: int, batches: int | None = None) -> Path | None:
    """The checkpoint of a model, which is trained if it is not there yet; None for the packaged model.

    Only a checkpoint of the end is taken: a run that was stopped begins anew.

    Args:
        name: One of `CONFIGURATIONS`.
        folder: Of all runs.
        epochs: How many.
        batches: Of each, at most; None for all.
    """
    if not CONFIGURATIONS[name]:
        return None
    run = folder / f"{name}_{epochs}"
    found, last = run / "trained.ckpt", run / "checkpoints" / "last.ckpt"
    if not found.is_file():
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        saved = {"dirpath": str(last.parent), "save_last": True, "save_top_k": 0}
        callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": saved}
        trainer: dict[str, Any] = {"max_epochs": epochs, "logger": False, "callbacks": [callback]}
        trainer |= {"default_root_dir": str(run), "enable_progress_bar": False, "limit_train_batches": batches}
        short = run / "short.yaml"
        short.write_text(yaml.safe_dump({"trainer": trainer}), encoding="utf-8")
        files = [ROOT / "configs" / "emoji" / f"{file}.yaml" for file in CONFIGURATIONS[name]]
        train(["fit", *(word for file in (*files, short) for word in ("--config", str(file)))])
        last.rename(found)
    return found


def accuracy(subject: Subject, images: int) -> dict[str, dict[str, float]]:
    """Share of pictures of the unseen artist that are right, clean and under PGD-20, by scorer; leaf level."""
    chosen = evenly_spread(len(subject.data), images)
    plan = RobustnessPlan(threat_model=ThreatModel(eps=EPS), transfer=False)
    found = {}
    for kind, classifier in subject.classifiers.items():
        attacked = inference_copy(classifier)
        rows = [
            row
            for batch in evaluate_robustness(attacked, subject.data, chosen, plan, levels=attacked.keys[:1])
            for row in batch
            if row.level == 0
        ]
        found[kind] = {
            name: sum(row.correct for row in rows if row.attack == name) / len(chosen) for name in ("clean", "pgd20")
        }
    return found
