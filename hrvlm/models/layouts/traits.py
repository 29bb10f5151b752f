"""What a file of weights seldom says: activation and preprocessing. They are settled in one place, and said aloud."""

from __future__ import annotations

import copy
import logging
from typing import Any

import open_clip
from open_clip.constants import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INCEPTION_MEAN,
    INCEPTION_STD,
    OPENAI_DATASET_MEAN,
    OPENAI_DATASET_STD,
)

from hrvlm.models.building import from_config
from hrvlm.models.checkpoint import Activation, Checkpoint, Preprocessing
from hrvlm.models.descriptions import told_noise
from hrvlm.models.vision_language import VisionLanguageModel

_log = logging.getLogger("hrvlm.models")
STATISTICS: dict[Preprocessing, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "openai": (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "inception": (INCEPTION_MEAN, INCEPTION_STD),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_TANH = {"approximate": "tanh"}


def activation_of(config: dict[str, Any]) -> Activation:
    """The activation that a description states."""
    model_cfg = config["model_cfg"]
    if model_cfg.get("quick_gelu"):
        return "quick_gelu"
    return "gelu_tanh" if (model_cfg["vision_cfg"].get("act_kwargs") or {}) == _TANH else "gelu"


def with_activation(config: dict[str, Any], activation: Activation) -> dict[str, Any]:
    """A description with another activation in both towers.

    Raises:
        ValueError: If it is one that the image tower cannot have.
    """
    changed = copy.deepcopy(config)
    model_cfg = changed["model_cfg"]
    timm_tower = model_cfg["vision_cfg"].get("timm_model_name")
    if activation == "quick_gelu" and timm_tower:  # open_clip would pass it over
        raise ValueError(
            f"expected the activation gelu or gelu_tanh of the image tower {timm_tower}, which is timm's, got "
            f"{activation}, which it cannot have"
        )
    model_cfg.pop("quick_gelu", None)
    for tower in (model_cfg["vision_cfg"], model_cfg["text_cfg"]):
        tower.pop("act_kwargs", None)
        if activation == "gelu_tanh":
            tower["act_kwargs"] = dict(_TANH)
        elif tower.get("timm_model_name"):
            tower["act_kwargs"] = {"approximate": "none"}
    return changed if activation != "quick_gelu" else changed | {"model_cfg": model_cfg | {"quick_gelu": True}}


def with_preprocessing(config: dict[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """A description with another mean and standard deviation."""
    mean, std = STATISTICS[preprocessing]
    return config | {"preprocess_cfg": config["preprocess_cfg"] | {"mean": list(mean), "std": list(std)}}


def overridden(model: VisionLanguageModel, checkpoint: Checkpoint) -> VisionLanguageModel:
    """The model with the activation and preprocessing that a checkpoint states in the place of its own."""
    config = model.config
    if checkpoint.activation is not None:
        config = with_activation(config, checkpoint.activation)
    if checkpoint.preprocessing is not None:
        config = with_preprocessing(config, checkpoint.preprocessing)
    if config == model.config:
        return model
    changed = from_config(config, name=model.name, files=model.files)
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def check_activation(stated: Activation, found: Activation | None, chosen: Activation | None, what: str) -> None:
    """Refuses an architecture whose activation is not the one that the weights were trained with.

    Args:
        stated: By the architecture.
        found: By the weights; None if they do not say.
        chosen: By the user; None if nothing.
        what: The weights, for the message.

    Raises:
        ValueError: If the first two differ and nothing is chosen.
    """
    if chosen is None and found is not None and found != stated:
        raise ValueError(
            f"expected the activation {found}, which {what} were trained with, got an architecture that states "
            f"{stated}; state --activation {found}, or an architecture that has it (a tag such as ViT-B-32/openai "
            "settles it)"
        )


def agreed_preprocessing(architecture: str) -> dict[str, Any]:
    """Mean and deviation that all published weights of an open_clip architecture have; CLIP's own if there are none.

    Raises:
        ValueError: If published weights differ in them.
    """
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    stated = [open_clip.get_pretrained_cfg(architecture, tag) for tag in tags]
    kinds = {
        (tuple(cfg.get("mean") or OPENAI_DATASET_MEAN), tuple(cfg.get("std") or OPENAI_DATASET_STD)) for cfg in stated
    }
    if len(kinds) > 1:
        raise ValueError(
            f"expected --preprocessing for {architecture}, whose published weights differ in it; state one of "
            f"{', '.join(STATISTICS)}, or a tag of the architecture"
        )
    mean, std = kinds.pop() if kinds else (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    return {"mean": list(mean), "std": list(std)}


def say_traits(model: VisionLanguageModel, what: str) -> None:
    """Says in a line what a model was made of, and the activation and preprocessing that it is used with."""
    mean, std = (tuple(round(float(value), 3) for value in part.flatten()) for part in (model.mean, model.std))
    named = next((name for name, values in STATISTICS.items() if _close(values, (mean, std))), "its own")
    size = "x".join(str(side) for side in model.image_size)
    _log.warning(
        "%s",
        f"{model.name}: {what}; activation {activation_of(model.config)}, preprocessing {named} (mean {mean}, "
        f"deviation {std}, {size} {model.interpolation})",
    )


def say_noise(model: VisionLanguageModel) -> None:
    """Says in a line which noise a model was trained under, if it says so itself."""
    told = told_noise(model.config)
    if told is not None:
        _log.warning("%s", f"{model.name}: trained under {told}")


def _close(values: Any, rounded: Any) -> bool:
    return all(
        abs(a - b) < 2e-3
        for ours, theirs in zip(values, rounded, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
