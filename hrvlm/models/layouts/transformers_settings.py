"""An open_clip description as settings of transformers' CLIP and SigLIP models, where these have such a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import open_clip

from hrvlm.models.layouts.transformers_config import ACTIVATIONS
from hrvlm.models.timm_siglip import shape_of_trunk
from hrvlm.models.vision_language import VisionLanguageModel

IMAGE_KEYS = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio", "act_kwargs", "norm_kwargs"}
TEXT_KEYS = {
    "context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "act_kwargs", "norm_kwargs", "pool_type",
    "eos_id", "hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode", "hf_model_pretrained",
}  # fmt: skip
SIGLIP_TEXT_KEYS = TEXT_KEYS | {"no_causal_mask", "proj_bias"}
SIGLIP_IMAGE = {"timm_pool": "map", "timm_proj": "none"}


def settings_of(model: VisionLanguageModel) -> dict[str, Any]:
    """The config.json of the model's likeness in transformers.

    Args:
        model: An open_clip model with a vision transformer.

    Returns:
        Settings of a `CLIPModel` or `SiglipModel`.

    Raises:
        ValueError: If transformers' models lack something that this one has.
    """
    is_siglip = bool(model.config["model_cfg"]["vision_cfg"].get("timm_model_name"))
    lacking = _lacking(model, is_siglip)
    if lacking:
        raise ValueError(
            f"expected a model that transformers has (a CLIP or SigLIP with a vision transformer), got {model.name} "
            f"with {lacking}, which its models lack; export it --to open_clip"
        )
    return _siglip(model) if is_siglip else _clip(model)


def _lacking(model: VisionLanguageModel, is_siglip: bool) -> str:
    """What a model has and transformers' models have not; "" if nothing."""
    model_cfg = model.config["model_cfg"]
    vision, text = _said(model_cfg["vision_cfg"]), _said(model_cfg["text_cfg"])
    if is_siglip:
        named = str(vision.get("timm_model_name"))
        if "_siglip_" not in named or any(vision.get(key) != value for key, value in SIGLIP_IMAGE.items()):
            return f"the image tower {named}"
        if (text.get("pool_type"), text.get("no_causal_mask"), text.get("proj_bias")) != ("last", True, True):
            return "another text tower than SigLIP's"
        if getattr(model.clip, "logit_bias", None) is None:
            return "no logit_bias"
    elif type(model.clip) is not open_clip.CLIP:
        return f"the form {type(model.clip).__name__}"
    elif not isinstance(model_cfg["vision_cfg"].get("layers", 12), int):
        return "a residual image tower"
    image_keys = IMAGE_KEYS | ({"timm_model_name", *SIGLIP_IMAGE} if is_siglip else set())
    unknown = sorted((vision.keys() - image_keys) | (text.keys() - (SIGLIP_TEXT_KEYS if is_siglip else TEXT_KEYS)))
    sides = model.image_size
    return ", ".join(unknown) or ("" if sides[0] == sides[1] else f"pictures of {sides[0]} x {sides[1]}")


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for those that say no."""
    return {key: value for key, value in settings.items() if value not in (None, False)}


def _clip(model: VisionLanguageModel) -> dict[str, Any]:
    model_cfg = model.config["model_cfg"]
    visual, quick = model.clip.visual, bool(model_cfg.get("quick_gelu"))
    first = visual.transformer.resblocks[0]
    vision = _tower(
        visual.conv1.weight.shape[0],
        len(visual.transformer.resblocks),
        first.attn.num_heads,
        first.mlp.c_fc.out_features,
    )
    vision |= {"model_type": "clip_vision_model", "image_size": model.image_size[0]}
    vision |= {"patch_size": visual.conv1.weight.shape[2], "hidden_act": _activation(model_cfg["vision_cfg"], quick)}
    vision |= {"layer_norm_eps": first.ln_1.eps, "projection_dim": model.embed_dim, "num_channels": 3}
    text = _text(model.clip, model.clip.positional_embedding.shape[0], _activation(model_cfg["text_cfg"], quick))
    end = model_cfg["text_cfg"].get("eos_id", 2) if model_cfg["text_cfg"].get("pool_type") == "eos" else None
    end = text["vocab_size"] - 1 if end is None else end
    text |= {"model_type": "clip_text_model", "projection_dim": model.embed_dim, "eos_token_id": end}
    text |= {"bos_token_id": max(0, end - 1), "pad_token_id": end}
    scale = float(model.clip.logit_scale.detach())
    return {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": model.embed_dim, "dtype": "float32",
        "logit_scale_init_value": scale, "text_config": text, "vision_config": vision,
    }  # fmt: skip


def _siglip(model: VisionLanguageModel) -> dict[str, Any]:
    model_cfg, trunk = model.config["model_cfg"], model.clip.visual.trunk
    vision = _tower(*shape_of_trunk(model_cfg["vision_cfg"]["timm_model_name"]))
    vision |= {"model_type": "siglip_vision_model", "image_size": model.image_size[0], "num_channels": 3}
    vision |= {"patch_size": trunk.patch_embed.patch_size[0], "layer_norm_eps": trunk.norm.eps}
    act = trunk.blocks[0].mlp.act
    approximated = type(act).__name__ == "GELUTanh" or getattr(act, "approximate", "none") == "tanh"
    vision["hidden_act"] = "gelu_pytorch_tanh" if approximated else "gelu"
    text = _text(
        model.clip.text, model.clip.text.positional_embedding.shape[0], _activation(model_cfg["text_cfg"], False)
    )
    text |= {"model_type": "siglip_text_model", "projection_size": model.embed_dim}
    return {
        "architectures": ["SiglipModel"], "model_type": "siglip", "dtype": "float32", "text_config": text,
        "vision_config": vision,
    }  # fmt: skip


def _tower(width: int, layers: int, heads: int, hidden: int) -> dict[str, Any]:
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return shape | {"intermediate_size": hidden}


def _text(tower: Any, length: int, activation: str) -> dict[str, Any]:
    first = tower.transformer.resblocks[0]
    vocab, width = tower.token_embedding.weight.shape
    shape = _tower(width, len(tower.transformer.resblocks), first.attn.num_heads, first.mlp.c_fc.out_features)
    said = {"vocab_size": vocab, "max_position_embeddings": length, "hidden_act": activation}
    return shape | said | {"layer_norm_eps": first.ln_1.eps}


def _activation(tower: Mapping[str, Any], quick: bool) -> str:
    if quick:
        return "quick_gelu"
    approximation = (tower.get("act_kwargs") or {}).get("approximate", "none")
    return next(name for name in ("gelu", "gelu_pytorch_tanh") if ACTIVATIONS[name] == approximation)


def image_settings(model: VisionLanguageModel, is_siglip: bool) -> dict[str, Any]:
    """The preprocessor_config.json of a model: how transformers makes its input of a picture."""
    side = model.image_size[0]
    square = {"height": side, "width": side}
    is_cut = not is_siglip and model.config["preprocess_cfg"].get("resize_mode", "shortest") == "shortest"
    kind = "Siglip" if is_siglip else "CLIP"
    found = {
        "image_processor_type": f"{kind}ImageProcessor", "processor_class": f"{kind}Processor", "do_convert_rgb": True,
        "do_resize": True, "size": {"shortest_edge": side} if is_cut else square, "do_rescale": True,
        "resample": 2 if model.interpolation == "bilinear" else 3, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": list(model.config["preprocess_cfg"]["mean"]),
        "image_std": list(model.config["preprocess_cfg"]["std"]), "do_center_crop": is_cut,
    }  # fmt: skip
    return found | ({"crop_size": square} if is_cut else {})
