"""Reading of files of weights, whoever wrote them: safetensors, PyTorch's zip form, TorchScript's tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hrvlm.models.checkpoint_files import read_checkpoint
from hrvlm.models.layouts.jit_archive import is_jit_archive, read_jit_archive
from hrvlm.trees.bounded_text import is_address, load_json, read_text

FOLDER_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def read_weights(path: str | Path) -> dict[str, Any]:
    """What a file of weights holds: tensors by name, or dictionaries and plain values beside them.

    Args:
        path: A file of safetensors, of PyTorch's zip form, or a TorchScript program such as OpenAI's.

    Raises:
        ValueError: If it is an address, missing, damaged, or holds more than tensors and plain values.
    """
    if is_address(path):
        raise ValueError(f"expected a file of weights on this machine, got the address {path}; copy it here first")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"expected a file of weights at {path}, found no such file")
    if file.suffix == ".safetensors":
        return dict(_safetensors(file))
    content: Any = read_jit_archive(file) if is_jit_archive(file) else read_checkpoint(file)
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a dictionary of weights in {path}, got {type(content).__name__}")
    return dict(content)


def read_folder_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder that transformers wrote: one file, or several with an index.

    Raises:
        ValueError: If there are none, or they cannot be read.
    """
    found = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if found is None:
        raise ValueError(f"expected weights in {folder}, as {', '.join(FOLDER_FILES)}, found none of these")
    if found.suffix != ".json":
        return read_weights(found)
    state: dict[str, Tensor] = {}
    for name in _shards(found):
        state |= _safetensors(folder / name)
    return state


def weights_size(folder: Path) -> int:
    """Bytes of the files of weights in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))


def _shards(index: Path) -> list[str]:
    """Names of the files of an index; they lie beside it."""
    try:
        names = sorted(set(load_json(read_text(index))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"expected the names of files as weight_map in {index}: {error}") from error
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ValueError(f"expected names of files beside it in {index}, got paths")
    return names


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ValueError(f"expected readable safetensors at {path}: {problem}") from error
