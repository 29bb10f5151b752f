"""Builds models from open_clip's own description of them: {"model_cfg": …, "preprocess_cfg": …}."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import _build_vision_tower, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from hrvlm import shipped
from hrvlm.models.companions import TOKENIZER_FILE, local_text_tower, stored_tokenizer, tokenizer_from_files
from hrvlm.models.descriptions import BoundError, check_parameters, checked_description, noted_noise, offline
from hrvlm.models.finite import check_finite
from hrvlm.models.timm_siglip import state_activation
from hrvlm.models.vision_language import ImageSide, VisionLanguageModel
from hrvlm.trees.bounded_text import load_json, read_text

CONFIG_FILE = "open_clip_config.json"


def read_config(path: str | Path) -> dict[str, Any]:
    """An open_clip model description.

    Raises:
        ValueError: If the file is missing, is no JSON or lacks "model_cfg".
    """
    try:
        config: dict[str, Any] = load_json(read_text(shipped.find(path)))
    except (OSError, ValueError) as error:  # also what is no JSON and no text
        raise ValueError(f"expected a readable JSON model description at {path}: {error}") from error
    if not isinstance(config, dict) or "model_cfg" not in config:
        raise ValueError(f'expected the key "model_cfg" in {path}; write open_clip\'s own form of a model config')
    return config


def from_config(
    config: dict[str, Any], *, name: str, num_bytes: int | None = None, files: Mapping[str, str] | None = None
) -> VisionLanguageModel:
    """An untrained model from its description; nothing is fetched, and no program of a tokenizer's own is run.

    Args:
        config: As in an `open_clip_config.json`.
        name: What to call the model in records.
        num_bytes: Of its weights, if they are known; no larger model is built.
        files: Of a Hugging Face tokenizer and text tower, as texts by name, see `companions`; looked for on this
            machine if there are none.

    Raises:
        ValueError: If the description does not fit open_clip's classes, exceeds a bound, or names a tokenizer or a text
            tower of Hugging Face that is not on this machine.
    """
    try:
        config = checked_description(config, num_bytes=num_bytes)
    except ValueError as error:
        raise ValueError(f"expected model_cfg of {name!r} to describe an open_clip model: {error}") from error
    try:
        model_cfg = copy.deepcopy(config["model_cfg"])
        text_cfg, vision_cfg = model_cfg["text_cfg"], model_cfg["vision_cfg"]
        kind = _kind(model_cfg)
        # Weights come from a file of ours; open_clip would else fetch some for a tower.
        vision_cfg["timm_model_pretrained"] = text_cfg["hf_model_pretrained"] = False
        with offline(text_cfg), local_text_tower(model_cfg, files or {}) as described:
            if num_bytes is not None and text_cfg.get("hf_model_name"):  # a tower that the description does not size
                check_parameters(_size(kind, described), num_bytes)
            clip: Any = _initialised(kind(**described))
            state_activation(clip, model_cfg)
            tokenizer = _tokenizer(text_cfg, files or {})
        preprocess = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
    except (TypeError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"expected model_cfg of {name!r} to describe an open_clip model: {problem}") from error
    except BoundError as error:
        raise ValueError(f"expected model_cfg of {name!r} to describe an open_clip model: {error}") from error
    except (OSError, ImportError, ValueError) as error:  # of libraries of Hugging Face, if they were asked
        raise _not_at_hand(error, text_cfg, name) from error
    set_model_preprocess_cfg(clip, preprocess | {"size": clip.visual.image_size})
    return wrap(clip, tokenizer, name=name, model_cfg=config["model_cfg"], **noted_noise(config))


def _size(kind: type[Any], described: dict[str, Any]) -> int:
    """Parameters of a model, which is built without memory for them."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return sum(parameter.numel() for parameter in kind(**copy.deepcopy(described)).parameters())


def image_model(config: dict[str, Any], *, name: str) -> VisionLanguageModel:
    """An untrained model's image side alone, from its description; it needs no tokenizer and has no texts.

    Raises:
        ValueError: If the description does not fit open_clip's classes, or exceeds a bound.
    """
    config = checked_description(config)
    model_cfg = config["model_cfg"]
    try:
        tower = _build_vision_tower(model_cfg["embed_dim"], model_cfg["vision_cfg"], model_cfg.get("quick_gelu", False))
        preprocess = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
    except (TypeError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"expected model_cfg of {name!r} to describe an open_clip model: {problem}") from error
    clip = ImageSide(tower)
    state_activation(clip, model_cfg)
    set_model_preprocess_cfg(clip, preprocess | {"size": tower.image_size})
    return wrap(clip, _no_texts, name=name, model_cfg=model_cfg)


def _no_texts(texts: list[str]) -> Any:
    raise ValueError(f"expected no texts for the image side of a model alone, got {len(texts)}")


def _not_at_hand(error: Exception, text_cfg: dict[str, Any], name: str) -> ValueError:
    """What a description needs from Hugging Face and this machine lacks."""
    wanted = [repr(text_cfg[key]) for key in ("hf_tokenizer_name", "hf_model_name") if text_cfg.get(key)]
    problem = " ".join(str(error).split())[:200]
    if not wanted:
        return ValueError(f"expected model_cfg of {name!r} to describe an open_clip model: {problem}")
    if "trust_remote_code" in str(error):  # the library's own message goes on to tell how to run it
        return ValueError(f"expected {' and '.join(wanted)}, which {name!r} needs, without a program of its own")
    return ValueError(
        f"expected {' and '.join(wanted)} of Hugging Face on this machine, which {name!r} needs, since nothing is "
        f"fetched here: {problem}; fetch it yourself with `hf download NAME`"
    )


def from_open_clip(architecture: str, tag: str | None) -> VisionLanguageModel:
    """A model of open_clip's own list.

    Args:
        architecture: For example "ViT-B-32".
        tag: Pretrained weights, for example "openai" (downloaded by open_clip); None leaves the model untrained.

    Raises:
        ValueError: For an unknown architecture or tag, if the weights cannot be loaded, or if the model could not be
            built again from what a checkpoint would say of it.
    """
    if architecture not in open_clip.list_models():
        example = '"ViT-B-32" (see open_clip.list_models())'
        raise ValueError(f"expected an open_clip architecture such as {example}, got {architecture!r}")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag is not None and tag not in tags:
        raise ValueError(f"expected a pretrained tag of {architecture} ({', '.join(tags)}), got {tag!r}")
    name = architecture if tag is None else f"{architecture}/{tag}"
    model_cfg = described_model(architecture, tag)
    quick_gelu = model_cfg.get("quick_gelu", False)
    with quiet_logging():
        try:
            clip = open_clip.create_model(
                architecture, pretrained=tag, require_pretrained=tag is not None, force_quick_gelu=quick_gelu
            )
            tokenizer = stored_tokenizer(open_clip.get_tokenizer(architecture), model_cfg["text_cfg"])
        except (RuntimeError, OSError, TypeError, ImportError) as error:
            raise ValueError(f"could not load {name}: {error}; weights need a network or a filled cache") from error
    if tag is not None:  # untrained ones hold what they like until they are trained
        check_finite(clip.state_dict(), name)
    model = wrap(_initialised(clip) if tag is None else clip, tokenizer, name=name, model_cfg=model_cfg)
    check_rebuilding(model)
    return model


def check_rebuilding(model: VisionLanguageModel) -> None:
    """Makes sure, before anything is trained, that a checkpoint or export of the model can be loaded.

    The model is built again from its description and files, without memory for its weights.

    Raises:
        ValueError: If it cannot be, or comes out as another.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            twin = from_config(model.config, name=model.name, files=model.files)
    except ValueError as error:
        raise ValueError(f"expected a model that checkpoints could bring back, got {model.name}: {error}") from error
    shapes, others = ({key: value.shape for key, value in m.state_dict().items()} for m in (model, twin))
    if shapes != others:
        key = next(iter(sorted({key for key, _ in shapes.items() ^ others.items()})))
        raise ValueError(
            f"expected a model that checkpoints could bring back, {model.name} has another {key} than it says"
        )


def _initialised(clip: Any) -> Any:
    """Open_clip leaves one matrix of CoCa as the memory was, which may hold anything."""
    if isinstance(clip, open_clip.CoCa):
        projection = clip.text_decoder.text_projection
        torch.nn.init.normal_(projection, std=projection.shape[0] ** -0.5)
    return clip


def described_model(architecture: str, tag: str | None) -> dict[str, Any]:
    """The "model_cfg" of an open_clip model, with the activation that its weights were trained with.

    The architecture's own file may say otherwise: "ViT-B-32" says GELU, its tag "openai" was trained with QuickGELU.
    """
    model_cfg: dict[str, Any] = open_clip.get_model_config(architecture)
    trained = {} if tag is None else open_clip.get_pretrained_cfg(architecture, tag)
    return model_cfg | {"quick_gelu": True} if trained.get("quick_gelu") else model_cfg


def wrap(clip: Any, tokenizer: Any, *, name: str, model_cfg: dict[str, Any], **noted: Any) -> VisionLanguageModel:
    """Puts the pixel interface around an open_clip model in evaluation mode; `noted` is more of its description."""
    settings = clip.visual.preprocess_cfg.items()
    preprocess = {key: list(value) if isinstance(value, tuple) else value for key, value in settings}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess, **noted}
    return VisionLanguageModel(clip, tokenizer, name=name, config=config).eval()


def _kind(model_cfg: dict[str, Any]) -> type[Any]:
    """The class that open_clip takes for a description; its word about that is no setting of the class."""
    custom = model_cfg.pop("custom_text", False) or "hf_model_name" in model_cfg["text_cfg"]
    if not custom:
        return open_clip.CLIP
    return open_clip.CoCa if "multimodal_cfg" in model_cfg else open_clip.CustomTextCLIP


def _tokenizer(text_cfg: dict[str, Any], files: Mapping[str, str]) -> Any:
    context_length = text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    kwargs = text_cfg.get("tokenizer_kwargs", {})
    if text_cfg.get("hf_tokenizer_name") and TOKENIZER_FILE in files:
        return tokenizer_from_files(files, text_cfg)
    if text_cfg.get("hf_tokenizer_name"):
        kwargs = kwargs | {"tokenizer_mode": text_cfg.get("tokenizer_mode")}
        found = open_clip.tokenizer.HFTokenizer(
            text_cfg["hf_tokenizer_name"], context_length=context_length, trust_remote_code=False, **kwargs
        )
        return stored_tokenizer(found, text_cfg)
    return open_clip.SimpleTokenizer(context_length=context_length, **kwargs) if kwargs else _byte_pairs(context_length)


def _byte_pairs(context_length: int) -> Any:
    """open_clip's own tokenizer, with the tables of one that open_clip makes when it is imported: they take long."""
    shared = copy.copy(getattr(open_clip.tokenizer, "_tokenizer", None) or open_clip.SimpleTokenizer())
    shared.context_length = context_length
    return shared


@contextmanager
def quiet_logging() -> Iterator[None]:
    """open_clip reports each step on the root logger; this keeps it to itself."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
