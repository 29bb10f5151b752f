"""OpenAI's own archives, which are TorchScript programs: their tensors alone, without loading the program.

`torch.jit.load` compiles what stands in such a file and may run parts of it. The tensors lie in the file as in any
other of PyTorch's, under the names of the modules that hold them, so they are read by an unpickler that makes tensors,
numbers, lists and empty objects, and nothing else.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor

DATA_FILE, PROGRAM_FILE = "data.pkl", "constants.pkl"
_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
MAX_PICKLE = 64 * 2**20  # bytes of names and shapes; a model's take some hundred KiB
MAX_DEPTH = 50


def is_jit_archive(path: str | Path) -> bool:
    """Whether a file is a TorchScript program."""
    try:
        with ZipFile(path) as parts:
            return any(name.endswith(f"/{PROGRAM_FILE}") for name in parts.namelist())
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_jit_archive(path: str | Path) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript program, by name.

    Args:
        path: Such as OpenAI's `ViT-B-32.pt`.

    Returns:
        Tensors as in the program's `state_dict()`, and tensors that its modules hold besides.

    Raises:
        ValueError: If it is damaged, compressed, or holds more than modules, tensors and plain values.
    """
    try:
        with ZipFile(path) as parts:
            return _tensors(_Reader.of(parts).load(), "", 0)
    except Exception as error:  # what a damaged file gives may be anything; all mean the same to the user
        problem = " ".join(str(error).split())[:200]
        raise ValueError(f"expected a readable archive of weights at {path}: {problem}") from error


class _Module:
    """Stands for any object of the program: it has attributes and does nothing."""

    def __setstate__(self, state: Any) -> None:
        self.held: dict[str, Any] = dict(state) if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    """An unpickler that finds nothing by name but what tensors are made of."""

    @classmethod
    def of(cls, parts: ZipFile) -> _Reader:
        """The reader of an archive's objects."""
        data = next(info for info in parts.infolist() if info.filename.endswith(f"/{DATA_FILE}"))
        if data.file_size > MAX_PICKLE:
            raise ValueError(f"its names take {data.file_size} bytes")
        reader = cls(BytesIO(_stored(parts, data.filename)))
        reader.parts, reader.folder = parts, data.filename.removesuffix(DATA_FILE)
        return reader

    parts: ZipFile
    folder: str

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; programs and everything else are refused."""
        if module.split(".")[0] == "__torch__":
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return _untagged
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise ValueError(f"it names {module}.{name}, which is no part of a tensor")

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage, (n,)."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError(f"it holds {kind!r}, which is no storage")
        data = bytearray(_stored(self.parts, f"{self.folder}data/{key}"))
        numbers = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        if len(numbers) < int(count):
            raise ValueError(f"it holds {len(numbers)} numbers where {count} are said")
        return numbers


def _stored(parts: ZipFile, name: str) -> bytes:
    """A part as it lies in the file: tensors are never compressed, which could make them endless."""
    if parts.getinfo(name).compress_type != ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return parts.read(name)


def _rebuilt(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor over a storage; PyTorch refuses what reaches beyond it."""
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _untagged(value: Any, _: Any) -> Any:
    """A list or dictionary without the type that the program gave it."""
    return value


def _tensors(module: Any, prefix: str, depth: int) -> dict[str, Tensor]:
    """The tensors of an object and of those that it holds."""
    if not isinstance(module, _Module) or depth > MAX_DEPTH:
        raise ValueError("its outermost object is no module")
    found: dict[str, Tensor] = {}
    for name, value in getattr(module, "held", {}).items():
        if isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, _Module):
            found |= _tensors(value, f"{prefix}{name}.", depth + 1)
    return found
