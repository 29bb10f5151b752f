"""Where the commands expect files: each place is given every file of the corpus of bad ones in turn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a file is expected, in a copy of `good`, and the command that looks there."""

    program: str
    file: str
    command: tuple[str, ...]


def certifying(file: str, *command: str) -> Place:
    return Place("certify.py", file, command)


def helping(file: str, *command: str) -> Place:
    return Place("hrvlm", file, command)


def training_of(file: str, *command: str) -> Place:
    return Place("train.py", file, command)


def training(file: str, *more: str) -> Place:
    return training_of(file, "fit", "--config", "train.yaml", *more)


RUN = ("run", "--config", "run.yaml", "--checkpoint", "model", "--output", "results")
ATTACK = ("attack", "--config", "attack.yaml", "--checkpoint", "model", "--output", "attacked")
RECERTIFY = (
    "recertify",
    "--config",
    "run.yaml",
    "--checkpoint",
    "model",
    "--features",
    "features",
    "--output",
    "scored",
)
FEW = ("--plan.num_images", "1", "--plan.n", "20")  # whether the file is read shows at the first image
FRESH = (*RUN[:-1], "new")
CAPTIONER = ("run", "--config", "certify/oracle_action", "--checkpoint", "captioner", "--output", "new", *FEW)
CLASSES = ("--leaves", "classes.txt")
GENERATOR = ("--config", "answers.yaml", "--checkpoint", "captioner", "--output")
ANSWERS = ("answers", *GENERATOR, "new.jsonl")
ANSWERED = ("run", *GENERATOR, "answered")
AUDIT = ("audit", "answered", "--config", "audit.yaml", "--output", "audited")
TARGETED_ATTACK = ("targeted-attack", "--config", "push.yaml", "--checkpoint", "captioner", "--output", "pushed")
VALIDATE = ("validate", "--config", "train.yaml")
BUILD = ("tree", "build", "--leaves", "synsets.yaml", "--least", "2", "--output", "new.yaml")
SHARDS = (*FRESH, "--config", "shards.yaml")
PLACES = {
    "verify: rows": certifying("results/certificates.jsonl", "verify", "results"),
    "verify: settings": certifying("results/settings.json", "verify", "results"),
    "verify: part": certifying("results/certificates.parts/rank=0.jsonl", "verify", "results"),
    "report: rows": certifying("results/certificates.jsonl", "report", "results"),
    "report: settings": certifying("results/settings.json", "report", "results"),
    "report: attacks": certifying("attacked/robustness.jsonl", "report", "results", "--robustness", "attacked"),
    "export: rows": certifying("results/certificates.jsonl", "export", "results", "--to", "tsv"),
    "run: settings": certifying("results/settings.json", *RUN),
    "run: rows": certifying("results/certificates.jsonl", *RUN),
    "run: part": certifying("results/certificates.parts/rank=0.jsonl", *RUN),
    "run: alien part": certifying("results/certificates.parts/rank=x.jsonl", *RUN),
    "run: checkpoint": certifying("bad", *FRESH, "--checkpoint", "bad"),
    "run: .ckpt": certifying("bad.ckpt", *FRESH, "--checkpoint", "bad.ckpt"),
    "run: model description": certifying("model/open_clip_config.json", *FRESH),
    "run: weights": certifying("model/open_clip_model.safetensors", *FRESH),
    "run: configuration": certifying("run.yaml", *FRESH),
    "run: tree": certifying("kinds.yaml", *FRESH),
    "run: picture": certifying("pictures/ant/0.png", *FRESH),
    "run: output": certifying("new", *FRESH),
    "attack: settings": certifying("attacked/settings.json", *ATTACK),
    "attack: rows": certifying("attacked/robustness.jsonl", *ATTACK),
    "recertify: header": certifying("features/store.json", *RECERTIFY),
    "recertify: ledger": certifying("features/functions.jsonl", *RECERTIFY),
    "run: captioner": certifying("captioner/captioner.json", *CAPTIONER),
    "run: captioner's weights": certifying("captioner/captioner.safetensors", *CAPTIONER),
    "targeted attack: configuration": certifying(
        "push.yaml", "targeted-attack", "--config", "push.yaml", "--checkpoint", "captioner", "--output", "new"
    ),
    "plan: pilot": certifying("bad.jsonl", "plan", "--pilot", "bad.jsonl"),
    "fit: configuration": training("train.yaml"),
    "fit: checkpoint": training("bad.ckpt", "--ckpt_path", "bad.ckpt"),
    "fit: tree": training("kinds.yaml"),
    "fit: model": training("model/open_clip_config.json"),
    "fit: weights": training("model/open_clip_model.safetensors"),
    "export: checkpoint": helping("bad.ckpt", "export", "--checkpoint", "bad.ckpt", "--output", "new"),
    "export: the run's configuration": helping(
        "bad.yaml", "export", "--checkpoint", "model", "--output", "new", "--run-config", "bad.yaml"
    ),
    "export: output": helping("new", "export", "--checkpoint", "model", "--output", "new"),
    "show": helping("bad.yaml", "tree", "show", "bad.yaml"),
    "check": helping("bad.yaml", "tree", "check", "kinds.yaml", "bad.yaml", "--forest"),
    "diff": helping("bad.yaml", "tree", "diff", "kinds.yaml", "bad.yaml"),
    "build: classes": helping("bad.txt", "tree", "build", "--leaves", "bad.txt", "--output", "new.yaml"),
    "build: YAML classes": helping("bad.yaml", "tree", "build", "--leaves", "bad.yaml", "--output", "new.yaml"),
    "import: proposal": helping("bad.json", "tree", "import", "bad.json", *CLASSES, "--output", "new.yaml"),
    "import: JSON classes": helping("bad.json", "tree", "import", "kinds.yaml", "--leaves", "bad.json"),
    "prompt: classes": helping("bad.txt", "tree", "prompt", "--leaves", "bad.txt"),
    "answers: configuration": certifying("answers.yaml", *ANSWERS),
    "run: labelled answers": certifying("labels.jsonl", *ANSWERED[:-1], "new", "--config", "calibrated.yaml"),
    "audit: output": certifying("new", *AUDIT[:-1], "new"),
    "audit: configuration": certifying("audit.yaml", *AUDIT),
    "audit: labels": certifying("labels.jsonl", *AUDIT),
    "audit: rows": certifying("answered/certificates.jsonl", *AUDIT),
    "audit: part": certifying("answered/certificates.parts/rank=0.jsonl", *AUDIT),
    "audit: settings": certifying("answered/settings.json", *AUDIT),
    "audit: earlier audit": certifying("audited/settings.json", *AUDIT),
    "verify: pushes": certifying("pushed/pushes.jsonl", "verify", "pushed"),
    "verify: attacks": certifying("attacked/robustness.jsonl", "verify", "attacked"),
    "verify: a file": certifying("bad.jsonl", "verify", "bad.jsonl"),
    "report: pushes": certifying("pushed/pushes.jsonl", "report", "pushed"),
    "report: part": certifying("results/certificates.parts/rank=0.jsonl", "report", "results"),
    "export: Parquet": certifying("results/certificates.jsonl", "export", "results", "--to", "parquet"),
    "run: plan": certifying("plan.yaml", *FRESH, "--plan", "plan.yaml"),
    "run: sampling": certifying("sampling.yaml", *FRESH, "--plan.sampling", "sampling.yaml"),
    "run: names": certifying("names.yaml", *FRESH, "--data.names_tree", "names.yaml"),
    "run: classes of shards": certifying("numbers.txt", *SHARDS),
    "attack: configuration": certifying("attack.yaml", *ATTACK),
    "attack: checkpoint": certifying("bad.ckpt", *ATTACK, "--checkpoint", "bad.ckpt"),
    "recertify: configuration": certifying("run.yaml", *RECERTIFY),
    "validate: configuration": training_of("train.yaml", *VALIDATE),
    "fit: trainer": training("trainer.yaml", "--trainer", "trainer.yaml"),
    "check: first": helping("bad.yaml", "tree", "check", "bad.yaml", "kinds.yaml"),
    "diff: first": helping("bad.yaml", "tree", "diff", "bad.yaml", "kinds.yaml"),
    "check: classes": helping("bad.txt", "tree", "check", "kinds.yaml", "--leaves", "bad.txt"),
    "check: class folders": helping("bad", "tree", "check", "kinds.yaml", "--leaves", "bad"),
    "build: WordNet": helping("wordnet/index.noun", *BUILD, "--wordnet", "wordnet"),
}
