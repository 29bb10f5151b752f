"""Settings of transformers' CLIP and SigLIP models as an open_clip description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hrvlm.models.timm_siglip import named_trunk

# What transformers takes for settings that a config.json leaves out.
CLIP_TEXT = {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}  # fmt: skip
CLIP_VISION = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_channels": 3, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
SIGLIP_TEXT = {
    "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6, "projection_size": None,
}  # fmt: skip
SIGLIP_VISION = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_channels": 3, "image_size": 224, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
CLIP_PROJECTION = 512
DEFAULTS = {"clip": (CLIP_TEXT, CLIP_VISION), "siglip": (SIGLIP_TEXT, SIGLIP_VISION)}
ACTIVATIONS = {"quick_gelu": None, "gelu": "none", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}
_USUAL_EPS = {"clip": 1e-5, "siglip": 1e-6}


def towers_of(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the text and the image tower, with those that a config.json leaves out.

    Raises:
        ValueError: If it is no CLIP or SigLIP model of the kind that open_clip has, or a number is none.
    """
    kind = config.get("model_type")
    if kind not in DEFAULTS:
        raise ValueError(f"expected model_type of {' or '.join(DEFAULTS)}, got {str(kind)[:80]!r}")
    towers = []
    for name, defaults in zip(("text_config", "vision_config"), DEFAULTS[kind], strict=True):
        given = config.get(name) or {}
        if not isinstance(given, Mapping):
            raise ValueError(f"expected {name} as a mapping, got {type(given).__name__}")
        towers.append(defaults | {key: given[key] for key in defaults if given.get(key) is not None})
    for tower, defaults in zip(towers, DEFAULTS[kind], strict=True):
        wrong = [key for key, value in defaults.items() if isinstance(value, int) and not _counts(tower[key])]
        if wrong or tower["hidden_act"] not in ACTIVATIONS:
            what = f"numbers as {', '.join(wrong)}" if wrong else f"hidden_act of {', '.join(ACTIVATIONS)}"
            raise ValueError(f"expected {what}, got {[tower[key] for key in wrong or ['hidden_act']]}")
    return towers[0], towers[1]


def description(config: Mapping[str, Any], tokenizer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The "model_cfg" of open_clip for a `CLIPModel` or `SiglipModel`.

    Args:
        config: Its config.json.
        tokenizer: Its tokenizer_config.json.
        name: What the tokenizer is called; its files stand beside the description.

    Raises:
        ValueError: If open_clip has no such model.
    """
    text, vision = towers_of(config)
    described = _clip(config, text, vision) if config["model_type"] == "clip" else _siglip(text, vision)
    clean = {"clean": "canonicalize"} if str(tokenizer.get("tokenizer_class")).startswith("Siglip") else {}
    described["text_cfg"] |= {"hf_tokenizer_name": re.sub(r"[^\w.-]", "_", name).lstrip(".") or "tokenizer"}
    described["text_cfg"] |= {"tokenizer_kwargs": clean} if clean else {}
    return described


def _clip(config: Mapping[str, Any], text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    acts = {text["hidden_act"], vision["hidden_act"]}
    if len(acts) > 1 and "quick_gelu" in acts:
        raise ValueError(f"expected one activation in both towers, as open_clip's models have it, got {sorted(acts)}")
    # Old files name a wrong end of texts, and transformers takes the highest token for it, as open_clip does.
    end = int(text["eos_token_id"])
    pool = {} if end in (2, text["vocab_size"] - 1) else {"pool_type": "eos", "eos_id": end}
    image = {"image_size": vision["image_size"], "patch_size": vision["patch_size"]}
    image |= {"width": vision["hidden_size"], "layers": vision["num_hidden_layers"]}
    image |= {"head_width": vision["hidden_size"] // vision["num_attention_heads"]}
    quick = {"quick_gelu": True} if "quick_gelu" in acts else {}
    embed_dim = config.get("projection_dim") or CLIP_PROJECTION
    image |= _common(vision, _USUAL_EPS["clip"])
    words = _words(text) | pool | _common(text, _USUAL_EPS["clip"])
    return {"embed_dim": embed_dim, **quick, "vision_cfg": image, "text_cfg": words}


def _siglip(text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    if text["hidden_act"] == "quick_gelu" or vision["hidden_act"] == "quick_gelu":
        raise ValueError("expected the activation of a SigLIP model to be a GELU, got quick_gelu")
    words = _words(text) | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    words |= _common(text, 1e-5) | {"act_kwargs": {"approximate": ACTIVATIONS[text["hidden_act"]]}}
    image = {"image_size": vision["image_size"], "timm_model_name": named_trunk(vision), "timm_pool": "map"}
    image |= {"timm_proj": "none", "act_kwargs": {"approximate": ACTIVATIONS[vision["hidden_act"]]}}
    if vision["layer_norm_eps"] != _USUAL_EPS["siglip"]:
        raise ValueError(f"expected layer_norm_eps 1e-6 of a SigLIP image tower, got {vision['layer_norm_eps']}")
    embed_dim = text["projection_size"] or text["hidden_size"]
    return {"embed_dim": embed_dim, "init_logit_bias": -10, "custom_text": True, "vision_cfg": image, "text_cfg": words}


def _words(text: dict[str, Any]) -> dict[str, Any]:
    """Shape of a text tower."""
    shape = {"width": text["hidden_size"], "heads": text["num_attention_heads"], "layers": text["num_hidden_layers"]}
    return {"context_length": text["max_position_embeddings"], "vocab_size": text["vocab_size"], **shape}


def _common(tower: dict[str, Any], usual_eps: float) -> dict[str, Any]:
    """Width of the hidden layers, and what differs from open_clip's usual."""
    width, hidden = tower["hidden_size"], tower["intermediate_size"]
    ratio = hidden / width
    # open_clip rounds the product down.
    found: dict[str, Any] = {"mlp_ratio": ratio if int(width * ratio) == hidden else (hidden + 0.5) / width}
    if ACTIVATIONS[tower["hidden_act"]] == "tanh":
        found["act_kwargs"] = {"approximate": "tanh"}
    return found | ({"norm_kwargs": {"eps": tower["layer_norm_eps"]}} if tower["layer_norm_eps"] != usual_eps else {})


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**7
