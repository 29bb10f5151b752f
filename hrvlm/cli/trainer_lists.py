"""Lists of a trainer's configuration, whose items are classes: which are lost, and where loggers write."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any


def classes_of(items: Any) -> list[str]:
    """Names of the classes of a list of callbacks or loggers, without their modules."""
    paths = [item.get("class_path", "") for item in items] if isinstance(items, list) else []
    return [str(path).rpartition(".")[2] for path in paths]


def lost_of(before: Any, after: Any) -> list[str]:
    """Classes of which a list has fewer items than the one before it: their names, and how many of several are lost.

    Args:
        before: Callbacks or loggers.
        after: What replaces them.
    """
    had, kept = Counter(classes_of(before)), Counter(classes_of(after))
    fewer = {name: had[name] - kept[name] for name in had if had[name] > kept[name]}
    return [name if had[name] == 1 else f"{lost} of {had[name]} {name}" for name, lost in fewer.items()]


def move_loggers(trainer: Any, root_of_files: str | None) -> None:
    """Lets loggers follow a `default_root_dir` that was given on the command line.

    What they would write below the folder that the configurations name goes to the same place below the given one.

    Args:
        trainer: Settings of the trainer, changed in place.
        root_of_files: The folder that configurations name; None if they name none.
    """
    given = trainer.get("default_root_dir")
    if root_of_files is None or given is None or Path(given) == Path(root_of_files):
        return
    loggers = trainer.get("logger")
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        arguments: Any = logger.get("init_args") if hasattr(logger, "get") else None
        folder = None if arguments is None else arguments.get("save_dir")
        if folder is None:
            continue
        place = Path(folder) / str(arguments.get("name") or "")
        if place.is_relative_to(root_of_files):
            below = place.relative_to(root_of_files).as_posix()
            arguments["save_dir"], arguments["name"] = str(given), "" if below == "." else below
