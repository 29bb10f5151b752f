"""A file of weights beside a stated architecture: a whole model, or an image tower whose text tower is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import open_clip
from open_clip.model import convert_to_custom_text_state_dict

from hrvlm.models.building import described_model, from_config, from_open_clip
from hrvlm.models.checkpoint import Checkpoint
from hrvlm.models.layouts.dictionaries import Weights, read_dictionary
from hrvlm.models.layouts.fitting import load_fitting
from hrvlm.models.layouts.traits import activation_of, agreed_preprocessing, check_activation, overridden, say_traits
from hrvlm.models.layouts.transformers_keys import is_of_transformers, to_open_clip
from hrvlm.models.layouts.weight_files import read_weights
from hrvlm.models.vision_language import VisionLanguageModel

Loader = Callable[[str], VisionLanguageModel]


def load_beside(checkpoint: Checkpoint, by_name: Loader) -> VisionLanguageModel:
    """A model of a stated architecture with the weights of a file.

    Args:
        checkpoint: Architecture and weights. An architecture without a tag is untrained before; anything else that has
            a name, such as "ViT-B-32/openai" or a folder, brings the text tower where the file has none.
        by_name: Loads what has a name.

    Raises:
        ValueError: If the file is unreadable, its weights are not those of the architecture, it lacks a text tower that
            the architecture's name does not bring, or activation or preprocessing are not settled.
    """
    architecture, file = str(checkpoint.architecture), Path(str(checkpoint.weights))
    content = read_weights(str(checkpoint.weights))
    untrained = architecture in open_clip.list_models()
    base = _untrained(architecture, checkpoint) if untrained else by_name(architecture)
    weights = read_dictionary(content, set(base.clip.visual.state_dict()), file)
    if is_of_transformers(weights.state):
        weights = to_open_clip(weights, base.config)
    _check_traits(base, weights, checkpoint, file)
    if weights.is_tower:
        _load_tower(base, weights, architecture, untrained, file)
    else:
        state = weights.state
        if hasattr(base.clip, "text"):
            state = convert_to_custom_text_state_dict(state)
        load_fitting(base.clip, state, where=file, what=architecture)
    base.name = str(checkpoint)
    model = overridden(base, checkpoint)
    say_traits(model, weights.what + (f", text tower of {architecture}" if weights.is_tower else ""))
    return model.eval()


def _untrained(architecture: str, checkpoint: Checkpoint) -> VisionLanguageModel:
    """An architecture of open_clip's list, with the preprocessing that its published weights agree on."""
    model_cfg = described_model(architecture, None)
    named = bool(model_cfg["text_cfg"].get("hf_tokenizer_name") or model_cfg["text_cfg"].get("hf_model_name"))
    files = from_open_clip(architecture, None).files if named else {}  # a tokenizer that open_clip may fetch by name
    preprocess = {} if checkpoint.preprocessing is not None else agreed_preprocessing(architecture)
    return from_config({"model_cfg": model_cfg, "preprocess_cfg": preprocess}, name=architecture, files=files)


def _check_traits(base: VisionLanguageModel, weights: Weights, checkpoint: Checkpoint, file: Path) -> None:
    chosen, found = checkpoint.activation, weights.activation
    check_activation(activation_of(base.config), found, chosen, f"the weights in {file} ({weights.what})")
    known = weights.architecture if weights.architecture in open_clip.list_models() else None
    if known is not None and checkpoint.activation is None:
        trained = activation_of({"model_cfg": described_model(known, None)})
        check_activation(activation_of(base.config), trained, None, f"the weights in {file}, of a run with {known},")


def _load_tower(base: VisionLanguageModel, weights: Weights, architecture: str, untrained: bool, file: Path) -> None:
    if untrained:
        raise ValueError(
            f"expected an architecture that brings a text tower, such as {architecture}/openai, for {file}, which has "
            f"the image tower alone; got {architecture} without a tag"
        )
    load_fitting(base.clip.visual, weights.state, where=file, what=f"the image tower of {architecture}")
