"""Files that a model needs beside its description: a Hugging Face tokenizer's, and such a text tower's settings.

open_clip fetches them from a hub by name. Here they are kept as texts with the model, in checkpoints and exports, so
that whatever was trained can be loaded where nothing can be fetched.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip.hf_configs import arch_dict
from open_clip.tokenizer import get_clean_fn
from torch import Tensor

from hrvlm.models.descriptions import check_numbers
from hrvlm.trees.bounded_text import load_json

TOKENIZER_FILE, SETTINGS_FILE = "tokenizer.json", "tokenizer_config.json"
TOWER_FILE = "text_tower/config.json"
FILES = (TOKENIZER_FILE, SETTINGS_FILE, TOWER_FILE)
MAX_BYTES = 256 * 2**20  # of a file: vocabularies of a million words take some tens of MiB
SAMPLES = ("a picture of a fox", "A photo of 3 red Apples, on white!", "", "kjærlighet 犬 🦊", "word " * 200)
_SPECIAL = ("pad_token", "bos_token", "eos_token", "cls_token", "sep_token")
_SIDES = ("padding_side", "truncation_side")


class StoredTokenizer:
    """A Hugging Face tokenizer from its files alone, as open_clip's `HFTokenizer` uses it.

    Attributes:
        files: Its files by name.
        context_length: Tokens of a text.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        *,
        context_length: int,
        clean: str = "whitespace",
        strip_sep_token: bool = False,
        tokenizer_mode: str | None = None,
        language: str | None = None,
    ) -> None:
        """Reads the files; nothing is fetched and no program of theirs is run.

        Args:
            files: `tokenizer.json` of the package tokenizers, and `tokenizer_config.json`.
            context_length: Texts are cut or padded to so many tokens.
            clean: How open_clip cleans texts before.
            strip_sep_token: Whether separators become zeros.
            tokenizer_mode: "clips" puts the class token last.
            language: Not used; the files are those of the language.

        Raises:
            ValueError: If the package tokenizers is missing, or the files are damaged or lack a special token.
        """
        del language
        self.files = {name: files[name] for name in (TOKENIZER_FILE, SETTINGS_FILE)}
        self.context_length, self.clips = context_length, tokenizer_mode == "clips"
        self._clean = get_clean_fn(clean)
        self._model = _backend(files[TOKENIZER_FILE])
        settings = load_json(files[SETTINGS_FILE])
        if not isinstance(settings, dict):
            raise ValueError(f"expected a JSON object in {SETTINGS_FILE}, got {type(settings).__name__}")
        self._ids = {name: self._id(settings, name) for name in _SPECIAL}
        needed = ["pad_token", *(["bos_token", "eos_token", "cls_token"] if self.clips else [])]
        self._separator = self._ids["sep_token"] if strip_sep_token else None
        lacking = [name for name in [*needed, *(["sep_token"] if strip_sep_token else [])] if self._ids[name] is None]
        if lacking:
            raise ValueError(f"expected a tokenizer with {', '.join(lacking)} in {SETTINGS_FILE}, got none")
        self._padding, self._cutting = (settings.get(side, "right") for side in _SIDES)

    def _id(self, settings: Mapping[str, Any], name: str) -> int | None:
        token = settings.get(name)
        found = token.get("content") if isinstance(token, dict) else token
        number = None if found is None else self._model.token_to_id(str(found))
        return None if number is None else int(number)

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Token ids (K, context length), its own or a given one."""
        length = context_length or self.context_length
        self._fit(length)
        cleaned = [self._clean(text) for text in ([texts] if isinstance(texts, str) else texts)]
        encoded = self._model.encode_batch(cleaned, add_special_tokens=not self.clips)
        rows = [self._with_class_token(found.ids, length) if self.clips else found.ids for found in encoded]
        ids = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), length)
        return ids if self._separator is None else ids.masked_fill(ids == self._separator, 0)

    def _fit(self, length: int) -> None:
        """Lets texts be cut and padded to a length."""
        if self.clips:
            self._model.no_truncation()
            self._model.no_padding()
            return
        self._model.enable_truncation(max_length=length, direction=self._cutting)
        self._model.enable_padding(length=length, direction=self._padding, pad_id=self._ids["pad_token"])

    def _with_class_token(self, ids: list[int], length: int) -> list[int]:
        start, end, pad, last = (self._ids[name] for name in ("bos_token", "eos_token", "pad_token", "cls_token"))
        known = [start, *ids[: length - 3], end]
        return [*known, *[pad] * (length - 1 - len(known)), last]  # type: ignore[list-item]


def _backend(text: str) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(
            "expected the package tokenizers for a Hugging Face tokenizer, found none; "
            'run `pip install "hrvlm[generative]"`'
        ) from error
    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the package raises Exception itself
        raise ValueError(f"expected a readable {TOKENIZER_FILE}: {' '.join(str(error).split())[:200]}") from error


def stored_tokenizer(tokenizer: Any, text_cfg: Mapping[str, Any]) -> Any:
    """The tokenizer in a form that can be kept with checkpoints: a Hugging Face one from its files, others as they are.

    Args:
        tokenizer: What open_clip gives for the model.
        text_cfg: Of the model's description.

    Raises:
        ValueError: If it is not known how to keep it.
    """
    if isinstance(tokenizer, open_clip.SimpleTokenizer | StoredTokenizer):
        return tokenizer
    backend = getattr(getattr(tokenizer, "tokenizer", None), "backend_tokenizer", None)
    if not isinstance(tokenizer, open_clip.tokenizer.HFTokenizer) or backend is None:
        kind = type(getattr(tokenizer, "tokenizer", tokenizer)).__name__
        raise ValueError(
            f"expected open_clip's own tokenizer or one of the package tokenizers, got {kind}, which could not be kept "
            "with checkpoints and exports"
        )
    backend = copy.deepcopy(backend)
    backend.no_truncation()
    backend.no_padding()
    files = {TOKENIZER_FILE: backend.to_str(), SETTINGS_FILE: _settings(tokenizer.tokenizer)}
    found = tokenizer_from_files(files, text_cfg)
    if not torch.equal(found(SAMPLES), tokenizer(list(SAMPLES))):
        raise ValueError(f"expected {type(tokenizer.tokenizer).__name__} to give the same tokens from its files alone")
    return found


def _settings(tokenizer: Any) -> str:
    """The tokenizer's own settings file, with everything that matters said, and without leave to run programs."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        settings = json.loads((Path(folder) / SETTINGS_FILE).read_text(encoding="utf-8"))
    for name in ("auto_map", "name_or_path"):  # programs, and a place on this machine
        settings.pop(name, None)
    said = {name: getattr(tokenizer, name, None) for name in (*_SPECIAL, *_SIDES)}
    settings |= {name: str(value) for name, value in said.items() if value is not None}
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def tokenizer_from_files(files: Mapping[str, str], text_cfg: Mapping[str, Any]) -> StoredTokenizer:
    """The tokenizer of a model's description from its files.

    Raises:
        ValueError: If the files are damaged, or settings of the description are unknown.
    """
    length = text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    settings = {key: value for key, value in text_cfg.get("tokenizer_kwargs", {}).items() if key != "trust_remote_code"}
    mode = text_cfg.get("tokenizer_mode")
    try:
        return StoredTokenizer(files, context_length=length, tokenizer_mode=mode, **settings)
    except TypeError as error:
        raise ValueError(f"expected tokenizer_kwargs of clean, strip_sep_token and language: {error}") from error


def companion_files(clip: Any, tokenizer: Any) -> dict[str, str]:
    """Files of a model, by name; none where its description says it all."""
    files = dict(getattr(tokenizer, "files", {}))
    config: Any = getattr(getattr(clip, "text", None), "config", None)
    if hasattr(config, "to_json_string"):
        settings = json.loads(config.to_json_string(use_diff=False))
        for name in ("auto_map", "_name_or_path"):  # programs, and a place on this machine
            settings.pop(name, None)
        files[TOWER_FILE] = json.dumps(settings, indent=2) + "\n"
    return files


def read_files(folder: str | Path) -> dict[str, str]:
    """The companion files that lie in a model's folder.

    Raises:
        ValueError: If one is too large or no text.
    """
    found = {}
    for name in FILES:
        path = Path(folder) / name
        if not path.is_file():
            continue
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"expected a file of at most {MAX_BYTES // 2**20} MiB, {path} is larger")
        try:
            found[name] = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ValueError(f"expected a readable {path}: {error}") from error
    return found


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Writes companion files into a model's folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def local_text_tower(model_cfg: dict[str, Any], files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A description whose Hugging Face text tower is found in the files, where they hold it.

    Raises:
        ValueError: If its settings are of no kind that open_clip knows, or exceed a bound.
    """
    text_cfg = model_cfg["text_cfg"]
    if not text_cfg.get("hf_model_name") or TOWER_FILE not in files:
        yield model_cfg
        return
    settings = load_json(files[TOWER_FILE])
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if kind not in arch_dict:
        raise ValueError(f"expected model_type of {', '.join(arch_dict)} in {TOWER_FILE}, got {kind!r}")
    settings.pop("auto_map", None)
    check_numbers(settings, TOWER_FILE)
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        yield model_cfg | {"text_cfg": text_cfg | {"hf_model_name": folder}}
