"""Small files that commands can use, by relative paths: configurations, labels, heads, shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

PARTS = ("adj", "adv", "noun", "verb")
CLASSES = ("ant", "bee", "cat", "dog", "elm", "fir", "gem", "hat")
PICTURES: dict[str, Any] = {"train_folder": "pictures", "evaluation_folders": {"validation": "pictures"}}
FOLDERS = "hrvlm.data.folder.FolderDataModule"
DATA: dict[str, Any] = {"class_path": FOLDERS, "init_args": PICTURES | {"image_size": 64}}
SHARDS: dict[str, Any] = {
    "train_shards": "shards/000000.tar", "evaluation_shards": {"validation": "shards/000000.tar"},
    "classes_file": "numbers.txt", "image_size": 32,
}  # fmt: skip
ORACLE: dict[str, Any] = {"class_path": "hrvlm.generative.oracles.CommandOracle"}
NOISE = {"sigma": 0.02, "n0": 2, "n": 20, "alpha": 0.05, "batch_size": 4}
PLAN = NOISE | {"num_images": 1, "semantic": False, "radii": [0.0]}


def write_more(folder: Path, settings: dict[str, Any]) -> None:
    """Adds to a folder with a model, pictures and a tree what the other commands need.

    Args:
        folder: Is the current one.
        settings: A configuration of `train.py` with other paths.
    """
    _write_inputs(folder)
    _write_wordnet(folder / "wordnet")
    _write_training(folder, settings)
    _write_answers(folder)


def dump(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _write_inputs(folder: Path) -> None:
    (folder / "names.yaml").write_bytes((folder / "kinds.yaml").read_bytes())
    dump(folder / "plan.yaml", PLAN)
    dump(folder / "sampling.yaml", {"procedure": "shared"})
    Image.new("RGB", (40, 40), (9, 9, 9)).save(folder / "dark.png")
    _write_shard(folder / "shards" / "000000.tar", (folder / "dark.png").read_bytes())
    (folder / "numbers.txt").write_text("\n".join(CLASSES))
    dump(folder / "shards.yaml", {"data": {"class_path": "hrvlm.data.shards.ShardDataModule", "init_args": SHARDS}})


def _write_wordnet(folder: Path) -> None:
    """A WordNet of five synsets, in its four parts of speech: two kinds of thing, and one below each."""
    folder.mkdir()
    start = "  1 WordNet 3.0 Copyright 2006 by Princeton University.\n"
    contents = {f"{kind}.{part}": start for kind in ("data", "index") for part in PARTS}
    contents |= dict.fromkeys(["cntlist.rev", "index.sense", *(f"{part}.exc" for part in PARTS)], "")
    places: dict[str, int] = {}
    for word, above in {"thing": "", "animal": "thing", "plant": "thing", "ant": "animal", "elm": "plant"}.items():
        places[word] = len(contents["data.noun"])
        pointer = f"001 @ {places[above]:08d} n 0000" if above else "000"
        contents["data.noun"] += f"{places[word]:08d} 03 n 01 {word} 0 {pointer} | what is\n"
        contents["index.noun"] += f"{word} n 1 {'1 @' if above else '0'} 1 0 {places[word]:08d}\n"
    for name, content in contents.items():
        (folder / name).write_text(content)
    chosen = ("ant", "elm")
    synsets = {name: f"n{places[chosen[number % 2]]:08d}" for number, name in enumerate(CLASSES)}
    dump(folder.parent / "synsets.yaml", synsets)


def _write_shard(path: Path, picture: bytes) -> None:
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for label in range(len(CLASSES)):
            for suffix, content in (("png", picture), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{label}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _write_training(folder: Path, chosen: dict[str, Any]) -> None:
    chosen["trainer"] |= {"fast_dev_run": True, "callbacks": [], "logger": False}
    chosen["model"]["init_args"] |= {"model": "model", "trees": ["kinds.yaml"]}
    chosen["data"]["init_args"] |= PICTURES
    dump(folder / "train.yaml", chosen)
    dump(folder / "trainer.yaml", {"max_epochs": 1})


def _write_answers(folder: Path) -> None:
    lines = [{"answer": "go to the volcano", "label": "go to", "index": 0}]
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dump(folder / "words.yaml", dict.fromkeys(CLASSES, "go to the volcano"))
    calibration = {"file": "labels.jsonl", "model": "conditional", "scope": "homogeneous"}
    asked = {"prompt": "act", "references": "words.yaml", "questions": [{"oracle": ORACLE}]}
    run = {"data": DATA, "answers": asked, "plan": PLAN}
    dump(folder / "audit.yaml", run | {"labels": "labels.jsonl"})
    estimated = asked | {"questions": [{"oracle": ORACLE, "calibration": calibration}]}
    dump(folder / "answers.yaml", run)
    dump(folder / "calibrated.yaml", run | {"answers": estimated})
    pushing = {"oracle": ORACLE, "forbidden": "go to", "wanted": ["go to the volcano"], "prompt": "act"}
    effort = {"num_images": 2, "eps": [0.1], "steps": 1, "samples": 1, "votes": 2}
    dump(folder / "push.yaml", {"data": DATA} | pushing | effort | NOISE)
