"""Image towers of SigLIP are timm's; which one a shape is, and their activation, which timm leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

_KINDS = ("GELU", "GELUTanh")


def named_trunk(vision: Mapping[str, Any]) -> str:
    """The model of timm that has the shape of a SigLIP image tower.

    Args:
        vision: Settings as transformers calls them.

    Raises:
        ValueError: If timm has none.
    """
    size, patch = vision["image_size"], vision["patch_size"]
    candidates = timm.list_models(f"vit_*_patch{patch}_siglip_{size}")
    shape = (
        vision["hidden_size"],
        vision["num_hidden_layers"],
        vision["num_attention_heads"],
        vision["intermediate_size"],
    )
    found = next((name for name in candidates if shape_of_trunk(name) == shape), None)
    if found is None:
        known = ", ".join(candidates) or "none"
        raise ValueError(
            f"expected a SigLIP image tower of a shape that timm has for patches of {patch} and pictures of {size} "
            f"({known}), got width, layers, heads and hidden width {shape}"
        )
    return found


@lru_cache(maxsize=64)
def shape_of_trunk(name: str) -> tuple[int, int, int, int]:
    """Width, layers, heads and hidden width of a vision transformer of timm, built without memory for its weights."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        trunk: Any = timm.create_model(name, pretrained=False, num_classes=0)
    block = trunk.blocks[0]
    numbers = (trunk.embed_dim, len(trunk.blocks), block.attn.num_heads, block.mlp.fc1.out_features)
    width, layers, heads, hidden = (int(number) for number in numbers)
    return width, layers, heads, hidden


def state_activation(clip: Any, model_cfg: Mapping[str, Any]) -> None:
    """Gives a timm image tower the GELU that its description states.

    open_clip has no setting for it and passes `act_kwargs` of such towers over; transformers' SigLIP models approximate
    the GELU by a hyperbolic tangent where some of timm's do not.
    """
    vision_cfg = model_cfg["vision_cfg"]
    if not vision_cfg.get("timm_model_name") or not vision_cfg.get("act_kwargs"):
        return
    for owner in list(clip.visual.modules()):
        for name, part in owner.named_children():
            if type(part).__name__ in _KINDS:
                setattr(owner, name, nn.GELU(**vision_cfg["act_kwargs"]))
