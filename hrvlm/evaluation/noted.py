"""Data and classes that a folder of results notes, found again without its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hrvlm.old_keys import nested, places_of
from hrvlm.trust import trusted_modules

if TYPE_CHECKING:  # what rows alone are told of does not wait for data
    from hrvlm.data.items import EvaluationData
    from hrvlm.trees import Forest

PLACES = ("given_data", "split", "given_trees", "given_num_levels")
MAX_IMAGE_SIZE = 4096  # of pictures in a report
DATA_MODULES = (
    "hrvlm.data.emoji_pack.datamodule.EmojiDataModule",
    "hrvlm.data.folder.FolderDataModule",
    "hrvlm.data.shards.ShardDataModule",
)


def noted_data(settings: Mapping[str, Any]) -> tuple[Any, Forest | None]:
    """The data set and the trees of a run; none of a run of answers, whose classes are its oracles'.

    Args:
        settings: Contents of its `settings.json`, which may be a stranger's.

    Raises:
        ValueError: If the data set is another one today. Whatever else is wrong with the settings raises, too.
    """
    if lacking := [name for name in PLACES if name not in settings]:
        raise ValueError(f"expected {', '.join(lacking)} in settings.json, which say where the pictures lie, got none")
    from hrvlm.data.manifest import Columns
    from hrvlm.evaluation.source_options import SourceOptions
    from hrvlm.evaluation.subject import Subject, answered_pictures, data_and_forest, data_identity

    noted, size = settings["given_data"], settings.get("image_size")
    options = {f.name: settings[name] for f in fields(SourceOptions) if (name := f"given_{f.name}") in settings}
    for given in (size, options.get("image_size")):
        _check_size(given or 0)
    if options.get("columns") is not None:
        options["columns"] = Columns(**options["columns"])
    subject = Subject(
        data=noted if isinstance(noted, str) else _data_module(noted),
        split=settings["split"],
        trees=settings["given_trees"],
        num_levels=settings["given_num_levels"],
        source=SourceOptions(**options),
    )
    if "generator" in settings:
        data, forest = answered_pictures(subject, keep_index=False), None
    else:
        data, forest = data_and_forest(subject, image_size=size, keep_index=False)
    if any(settings[name] != value for name, value in data_identity(data).items()):
        raise ChangedDataError("the data set has changed")
    return data, forest


class ChangedDataError(ValueError):
    """A data set that is another one than rows were made of."""


def _check_size(image_size: int) -> None:
    if image_size > MAX_IMAGE_SIZE:
        raise ValueError(f"expected image_size of at most {MAX_IMAGE_SIZE}, got {image_size}")


def _data_module(noted: Mapping[str, Any]) -> EvaluationData:
    """The data module that a run noted; of a stranger's folder, it is a known one, which writes nothing."""
    from hrvlm.data.items import EvaluationData
    from hrvlm.data.shards import ShardDataModule

    path = str(noted["class_path"])
    module, _, name = path.rpartition(".")
    if path not in DATA_MODULES and not any(f"{path}.".startswith(f"{each}.") for each in trusted_modules()):
        raise ValueError(f"expected one of {', '.join(DATA_MODULES)}, got {path[:80]}")
    settings = {name: value for name, value in (noted.get("init_args") or {}).items() if name != "index_folder"}
    _check_size(settings.get("image_size", 0))
    kind = getattr(import_module(module), name)
    if not issubclass(kind, EvaluationData):
        raise ValueError(f"expected a data module, got {path[:80]}")
    made: EvaluationData = kind(**nested(settings, places_of(kind))[0])
    if isinstance(made, ShardDataModule):
        made.keep_index = False  # it would lie beside shards that the folder names
    return made
