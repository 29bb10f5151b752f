"""Makes models: the packaged one, an exported folder, an open_clip name with its tag, or a new one from a config."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import nn

from hrvlm.models.vision_language import VisionLanguageModel

PACKAGED = {"emoji": Path(__file__).parent / "emoji"}
CONFIG_FILE = "open_clip_config.json"


def load_clip(name: str) -> VisionLanguageModel:
    """Loads an image-text model with its weights.

    Args:
        name: "emoji" (the packaged model), a folder with an `open_clip_config.json`, or an open_clip name with its
            pretrained tag such as "ViT-B-32/openai" (weights are downloaded); the tag "none" leaves it untrained.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: If the name is none of these, or the weights do not fit.
    """
    folder = PACKAGED.get(name, Path(name))
    if folder.is_dir():
        return _load_folder(folder, name)
    architecture, _, tag = name.rpartition("/")
    if architecture.replace("/", "-") not in open_clip.list_models():
        raise ValueError(
            f'expected model as one of {sorted(PACKAGED)}, an exported folder, or "architecture/tag" of open_clip '
            f'(for example "ViT-B-32/openai"), got {name!r}'
        )
    return _wrap(*_create(architecture, None if tag == "none" else tag), name=name)


def new_clip(config: str | Path) -> VisionLanguageModel:
    """An untrained model from a JSON file in open_clip's own form ({"model_cfg": …, "preprocess_cfg": …}).

    Raises:
        ValueError: If the file is missing, is no JSON, or describes no model.
    """
    described = read_config(Path(config))
    model_cfg = dict(described["model_cfg"])
    custom = model_cfg.pop("custom_text", False)
    try:
        clip = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**model_cfg)
    except TypeError as error:
        raise ValueError(f"expected model_cfg in {config} to describe an open_clip model: {error}") from error
    preprocess = merge_preprocess_dict(PreprocessCfg(), described.get("preprocess_cfg", {}))
    open_clip.model.set_model_preprocess_cfg(clip, preprocess | {"size": clip.visual.image_size})
    text_cfg = model_cfg["text_cfg"]
    tokenizer = open_clip.SimpleTokenizer(context_length=text_cfg.get("context_length", 77))
    return _wrap(clip, tokenizer, name=Path(config).stem)


def read_config(path: Path) -> dict[str, Any]:
    """An open_clip model description.

    Raises:
        ValueError: If the file is missing, is no JSON or lacks "model_cfg".
    """
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"expected a readable JSON model description at {path}: {error}") from error
    if "model_cfg" not in described:
        raise ValueError(f'expected the key "model_cfg" in {path}, got {sorted(described)}')
    return described


def _load_folder(folder: Path, name: str) -> VisionLanguageModel:
    read_config(folder / CONFIG_FILE)
    if not list(folder.glob("*.safetensors")):
        raise ValueError(f"expected a .safetensors file beside {folder / CONFIG_FILE}, found none")
    return _wrap(*_create(f"local-dir:{folder}", None), name=name)


def _create(architecture: str, tag: str | None) -> tuple[nn.Module, Any]:
    with _quiet_logging():
        try:
            clip = open_clip.create_model(architecture, pretrained=tag, weights_only=True, require_pretrained=tag is not None)
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(f"could not load the model {architecture!r} with weights {tag!r}: {error}") from error
        return clip, open_clip.get_tokenizer(architecture)


def _wrap(clip: nn.Module, tokenizer: Any, *, name: str) -> VisionLanguageModel:
    preprocess = clip.visual.preprocess_cfg
    return VisionLanguageModel(clip, tokenizer, name=name, mean=preprocess["mean"], std=preprocess["std"]).eval()


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """open_clip reports each step on the root logger."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def has_finite_weights(model: nn.Module) -> bool:
    """Whether every parameter is a number; a broken checkpoint must not be certified."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
