"""Tiny open_clip models of every kind, with weights large enough for each part to show in the features."""

from __future__ import annotations

import copy
from typing import Any

import torch

from hrvlm.models import VisionLanguageModel
from hrvlm.models.building import from_config

RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
VIT = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
PREPROCESS = {"mean": [0.3, 0.5, 0.6], "std": [0.2, 0.25, 0.4], "interpolation": "bicubic", "resize_mode": "squash"}
MODEL_CONFIGS: dict[str, dict[str, Any]] = {
    "resnet": {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": TEXT},
    "vit": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "custom": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT | {"proj_bias": True}, "custom_text": True},
}


def tiny_config(kind: str = "resnet", **preprocess: Any) -> dict[str, Any]:
    """A description that may be changed."""
    return copy.deepcopy({"model_cfg": MODEL_CONFIGS[kind], "preprocess_cfg": PREPROCESS | preprocess})


def tiny_model(kind: str = "resnet", seed: int = 0, **preprocess: Any) -> VisionLanguageModel:
    """A model of its own: tests may change it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = from_config(tiny_config(kind, **preprocess), name=f"tiny-{kind}")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def pictures(count: int = 3, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Random images (count, 3, size, size)."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
