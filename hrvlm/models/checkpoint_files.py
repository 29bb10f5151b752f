"""Opening of checkpoints that may come from anybody: local files of tensors and plain values, nothing else.

A pickle can run code. PyTorch's restricted reader builds tensors and plain values alone; it is the only one used here,
on the only form that PyTorch has written since 2020, and never on what a network gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch

from hrvlm.trees.bounded_text import is_address

_ZIP = b"PK\x03\x04"


def check_checkpoint(path: str | Path) -> Path:
    """The path of a checkpoint that may be opened.

    Raises:
        ValueError: If it is an address (such as http://… or s3://…), no file, or not in PyTorch's zip form.
    """
    if is_address(path):
        raise ValueError(f"expected a checkpoint on this machine, got the address {path}; copy it here first")
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"expected a readable checkpoint at {path}, got a folder, as of several processes' shares")
    if not file.is_file():
        raise ValueError(f"expected a checkpoint at {path}, found no such file")
    _check_form(file)
    return file


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> Any:
    """What a checkpoint holds.

    Raises:
        ValueError: If it cannot be opened (see `check_checkpoint`), is damaged, or holds more than tensors and plain
            values.
    """
    file = check_checkpoint(path)
    try:
        return torch.load(file.absolute(), map_location=map_location, weights_only=True)
    except Exception as error:  # torch.load raises many kinds for damaged files; all mean the same to the user
        problem = " ".join(str(error).split())
        if "weights_only" in problem:  # PyTorch's own message goes on to tell how to load unsafely
            problem = "it holds more than tensors and plain values, or is no checkpoint"
        raise ValueError(f"expected a readable checkpoint at {path}: {problem[:200]}") from error


def _check_form(file: Path) -> None:
    """Refuses pickles without a zip around them, TorchScript programs, and compressed parts that could be endless."""
    try:
        with file.open("rb") as stream:
            if stream.read(len(_ZIP)) != _ZIP:
                raise BadZipFile("it is not in PyTorch's zip form")
        with ZipFile(file) as parts:
            infos = parts.infolist()
    except (BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ValueError(f"expected a whole checkpoint at {file}, got a damaged or another file: {error}") from error
    if any(info.filename.endswith("/constants.pkl") for info in infos):
        raise ValueError(f"expected a checkpoint of tensors at {file}, got a TorchScript program")
    if any(info.compress_type != ZIP_STORED for info in infos):
        raise ValueError(f"expected a whole checkpoint at {file}, got a compressed archive, which PyTorch never writes")
