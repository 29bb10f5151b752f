"""Which commands there are, by name; the module of each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A command of the table.

    Attributes:
        module: Module of `hrvlm.cli.commands` that offers it as `COMMAND`.
        text: What it does, in a sentence for --help.
        group: Under which heading it is listed.
        example: Words after its name, of a command line that does something.
        model: Whether it needs a model, and so the libraries of models, which take seconds to import.
    """

    module: str
    text: str
    group: str = ""
    example: str = ""
    model: bool = False


MEASURE, ROWS, CALIBRATE, BEGIN, PROGRAMS = (
    "measure and certify", "look at results", "calibrate and label", "begin and finish", "programs",
)  # fmt: skip
"""Groups of commands in help."""

CERTIFY: Mapping[str, Entry] = {
    "run": Entry(
        "run",
        "Certifies a model; run again, it goes on where it stopped.",
        MEASURE,
        "--checkpoint emoji --config certify/emoji --output runs/certified",
        model=True,
    ),
    "attack": Entry(
        "attack",
        "Attacks every level of a model; run again, it goes on where it stopped.",
        MEASURE,
        "--checkpoint emoji --config certify/attack_emoji --output runs/attacked",
        model=True,
    ),
    "zero-shot": Entry(
        "zero_shot",
        "Accuracy on any pictures and classes, clean and attacked; goes on where it stopped.",
        MEASURE,
        "--checkpoint emoji --data emoji:unseen_classes --attacks clean pgd20 --eps 1/255 --output runs/zero_shot",
        model=True,
    ),
    "targeted-attack": Entry(
        "targeted_attack",
        "Attacks a model that answers in words, so that it gives a forbidden answer.",
        MEASURE,
        "--checkpoint emoji-captioner --config certify/targeted_attack_emoji --output runs/targeted",
        model=True,
    ),
    "answers": Entry(
        "answers",
        "Draws answers of noisy copies, to be labelled.",
        CALIBRATE,
        "--checkpoint emoji-captioner --config certify/oracle_action --output labels.jsonl",
        model=True,
    ),
    "audit": Entry(
        "audit",
        "Certifies images by labels of their own answers, without the model.",
        CALIBRATE,
        "runs/commands --config certify/oracle_action --labels labels.jsonl --output runs/audited",
    ),
    "verify": Entry(
        "verify", "Derives every certificate anew from its row, without the model.", ROWS, "runs/certified --expect 96"
    ),
    "report": Entry(
        "report",
        "Writes report.html from rows alone; with pictures if the data set is at hand.",
        ROWS,
        "runs/certified",
    ),
    "compare": Entry(
        "compare",
        "Puts models side by side, with intervals of their differences, from rows alone.",
        ROWS,
        "runs/certified runs/certified_tecoa --output runs/compared",
    ),
    "export": Entry(
        "export_rows",
        "Writes rows in the forms that other tools read, into the same folder.",
        ROWS,
        "runs/certified --to tsv",
    ),
    "explore": Entry(
        "explore",
        "Shows what certificates and attacks say of one picture, on a page of this machine.",
        ROWS,
        "--checkpoint emoji",
        model=True,
    ),
    "plan": Entry(
        "plan",
        "How many noise samples for which loss of mean radius or certified accuracy.",
        MEASURE,
        "--sigma 0.25 --loss 0.1",
    ),
    "calibrate": Entry(
        "calibrate",
        "Calibrates semantic certificates on pictures of the changes, so that these seldom differ.",
        CALIBRATE,
        "--checkpoint emoji --config certify/calibrate_emoji --output calibration.json",
        model=True,
    ),
    "check-calibration": Entry(
        "check_calibration",
        "Measures on other images how often calibrated claims fail.",
        CALIBRATE,
        "--checkpoint emoji --config other_pictures.yaml --calibration calibration.json --output checked.json",
        model=True,
    ),
    "recertify": Entry(
        "recertify",
        "Certifies new prompts, trees, planes or levels from a cache of features.",
        MEASURE,
        "--features runs/features --checkpoint emoji --config certify/emoji --output runs/again",
        model=True,
    ),
}
"""Commands of `certify.py`, in the order of --help."""

_OWN: Mapping[str, Entry] = {
    "init": Entry("init", "look at your pictures and write a configuration that runs", BEGIN, "--data photos"),
    "tree": Entry("tree", "build, import, check, show and compare class trees", BEGIN, "show emoji_unicode --depth 2"),
    "export": Entry(
        "export_model",
        "write a checkpoint as a folder that open_clip loads",
        BEGIN,
        "--checkpoint emoji --output runs/exported",
        model=True,
    ),
}
HRVLM: Mapping[str, Entry] = {**_OWN, **{name: entry for name, entry in CERTIFY.items() if name not in (*_OWN, "run")}}
"""Commands of `hrvlm` besides its programs: its own, and those of certify.py, whose `export` is `certify export`."""

RENAMED: Mapping[str, str] = {"push": "targeted-attack", "rescore": "recertify"}
"""Commands of `certify.py` by the names that they had."""
