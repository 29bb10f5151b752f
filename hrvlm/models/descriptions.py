"""Descriptions of models that may come from anybody: bounded, and without what would be fetched from a network or run.

The description decides what is built before its weights are looked at, so a line of it could ask for any amount of
memory, for a tokenizer with a program of its own, or for another model from a hub.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

MAX_PARAMETERS = 20 * 10**9
LIMITS = {
    "layers": 512, "width": 32_768, "embed_dim": 32_768, "heads": 1024, "head_width": 4096, "mlp_ratio": 64,
    "image_size": 8192, "patch_size": 8192, "context_length": 8192, "vocab_size": 4_000_000,
    "attn_pooler_queries": 8192, "attn_pooler_heads": 1024,
    # of Hugging Face's text towers
    "num_hidden_layers": 512, "num_layers": 512, "num_decoder_layers": 512, "encoder_layers": 512,
    "decoder_layers": 512, "hidden_size": 32_768, "d_model": 32_768, "max_position_embeddings": 1_000_000,
}  # fmt: skip
NOISE_KEY, MAX_SIGMA = "training_noise", 2  # in pixel units of [0, 1]
MAX_NUMBER = 10**7  # of every other setting
TOKENIZER_SETTINGS = ("clean", "strip_sep_token", "language")
_HUB_NAME = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)?")


class BoundError(ValueError):
    """A number of a description is beyond what any model has, or its model larger than its weights."""


def checked_description(config: Any, *, num_bytes: int | None = None) -> dict[str, Any]:
    """A copy of a description from which a model may be built.

    Args:
        config: As in an `open_clip_config.json`.
        num_bytes: Of the weights, where they are known: a model with more parameters than bytes is not theirs.

    Returns:
        The description without weights that open_clip would fetch and without leave to run a tokenizer's own program.

    Raises:
        ValueError: If it is no mapping of mappings, exceeds a bound, or names something that is no model of a library.
    """
    checked = copy.deepcopy(config)
    model_cfg = _mapping(_mapping(checked, "a model description").get("model_cfg"), "model_cfg")
    text_cfg, vision_cfg = (_mapping(model_cfg.get(name), name) for name in ("text_cfg", "vision_cfg"))
    check_numbers(model_cfg, "model_cfg")
    _check_size(model_cfg, num_bytes)
    for key in ("hf_tokenizer_name", "hf_model_name", "timm_model_name"):
        name = (vision_cfg if key.startswith("timm") else text_cfg).get(key)
        if name and not _HUB_NAME.fullmatch(str(name)):
            raise ValueError(f"expected the name of a model as {key}, got {str(name)[:80]!r}")
    text_cfg["tokenizer_kwargs"] = _tokenizer_settings(text_cfg)
    if not text_cfg["tokenizer_kwargs"]:
        del text_cfg["tokenizer_kwargs"]
    for settings, key in ((vision_cfg, "timm_model_pretrained"), (text_cfg, "hf_model_pretrained")):
        if key in settings:
            settings[key] = False
    return dict(checked)


def check_numbers(value: Any, key: str) -> None:
    """Refuses numbers beyond what any model has, wherever they stand; a limit holds for lists under its key too.

    Raises:
        BoundError: Naming the setting.
    """
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_numbers(part, str(name))
    elif isinstance(value, list | tuple):
        if len(value) > LIMITS["layers"]:
            raise BoundError(f"expected at most {LIMITS['layers']} entries as {key}, got {len(value)}")
        for part in value:
            check_numbers(part, key)
    elif isinstance(value, int | float):
        limit = LIMITS.get(key, MAX_NUMBER)
        if not -MAX_NUMBER <= value <= limit:
            raise BoundError(f"expected {key} of at most {limit}, got {value}")


def noted_noise(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a description says of the Gaussian noise that its weights were trained under, as a part of a description.

    Args:
        config: As in an `open_clip_config.json`; "training_noise" is this project's addition, which open_clip ignores.

    Returns:
        {"training_noise": {"sigma": …, "mode": "fixed" or "uniform", "share": …}}, empty where nothing is said.

    Raises:
        ValueError: If it says what no training does.
    """
    if NOISE_KEY not in config:
        return {}
    noise = _mapping(config[NOISE_KEY], NOISE_KEY)
    known = set(noise) == {"sigma", "mode", "share"} and noise["mode"] in ("fixed", "uniform")
    if not known or not 0 < _number(noise["sigma"]) <= MAX_SIGMA or not 0 <= _number(noise["share"]) <= 1:
        raise ValueError(f"expected {NOISE_KEY} with sigma in (0, {MAX_SIGMA}], mode and share, got {str(noise)[:120]}")
    return {NOISE_KEY: dict(noise)}


def told_noise(config: Mapping[str, Any]) -> str | None:
    """The same in words; None where nothing is said."""
    noise = config.get(NOISE_KEY)
    if noise is None:
        return None
    strength = f"sigma {noise['sigma']:g}" if noise["mode"] == "fixed" else f"sigma up to {noise['sigma']:g}"
    some = "" if noise["share"] == 1 else f", on {100 * noise['share']:g} % of the pictures"
    return f"Gaussian noise of {strength}{some}"


@contextmanager
def offline(text_cfg: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Lets the libraries of Hugging Face find what lies on this machine only, at once, and ask nobody to run code.

    Args:
        text_cfg: Description of a text side: if it names nothing of transformers, this is not imported.
    """
    changed: list[tuple[str, str, Any]] = [("huggingface_hub.constants", "HF_HUB_OFFLINE", True)]
    asked = text_cfg is None or any(text_cfg.get(key) for key in ("hf_model_name", "hf_tokenizer_name"))
    if asked and find_spec("transformers") is not None:
        changed.append(("transformers.dynamic_module_utils", "TIME_OUT_REMOTE_CODE", 0))  # of the question, in seconds
    found = [(import_module(module), name, value) for module, name, value in changed]
    before = [getattr(module, name) for module, name, _ in found]
    for module, name, value in found:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(found, before, strict=True):
            setattr(module, name, value)


def check_parameters(needed: int, num_bytes: int) -> None:
    """Refuses a model with more parameters than its weights have bytes.

    Raises:
        BoundError: If it has.
    """
    if needed > num_bytes:
        raise BoundError(
            f"expected model_cfg of the model whose {num_bytes} bytes of weights are given, got one of {needed} "
            "parameters or more"
        )


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected {what} as a mapping, got {type(value).__name__}")
    return value


def _tokenizer_settings(text_cfg: Mapping[str, Any]) -> dict[str, Any]:
    given = _mapping(text_cfg.get("tokenizer_kwargs") or {}, "tokenizer_kwargs")
    kept = {key: value for key, value in given.items() if key != "trust_remote_code"}
    unknown = sorted(set(kept) - set(TOKENIZER_SETTINGS))
    if unknown:
        raise ValueError(f"expected tokenizer_kwargs of {', '.join(TOKENIZER_SETTINGS)}, got {', '.join(unknown)[:80]}")
    return kept


def _check_size(model_cfg: Mapping[str, Any], num_bytes: int | None) -> None:
    needed = _parameters(model_cfg)
    if needed > MAX_PARAMETERS:
        raise ValueError(f"expected model_cfg of at most {MAX_PARAMETERS:.0e} parameters, got {needed:.1e} or more")
    if num_bytes is not None:
        check_parameters(needed, num_bytes)


def _parameters(model_cfg: Mapping[str, Any]) -> int:
    """Fewest parameters that the towers have by their own numbers; those of other libraries' models are not counted."""
    towers = [model_cfg[name] for name in ("vision_cfg", "text_cfg", "multimodal_cfg") if model_cfg.get(name)]
    named = ("timm_model_name", "hf_model_name")
    return sum(_tower_parameters(tower) for tower in towers if not any(tower.get(name) for name in named))


def _tower_parameters(tower: Mapping[str, Any]) -> int:
    layers, width = tower.get("layers", 0), int(_number(tower.get("width")))
    if isinstance(layers, list):  # bottlenecks: nine planes by planes, four more to the output, one from before
        return sum(int(_number(count)) * 14 * (width * 2**stage) ** 2 for stage, count in enumerate(layers[:8]))
    blocks = int(_number(layers) * (4 + 2 * _number(tower.get("mlp_ratio", 4))) * width**2)
    size, patch = tower.get("image_size", 0), int(_number(tower.get("patch_size"))) or 1
    sides = [int(_number(side)) // patch for side in (size if isinstance(size, list) else [size, size])]
    area = sides[0] * sides[-1] if sides and "patch_size" in tower else 0
    return blocks + width * (area + int(_number(tower.get("vocab_size")) + _number(tower.get("context_length"))))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
