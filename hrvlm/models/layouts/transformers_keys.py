"""Names of weights in transformers' CLIP and SigLIP models beside those of open_clip's, both ways.

Written down from the shapes and places of both libraries' modules; checked against transformers' own forward pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hrvlm.models.layouts.dictionaries import Weights
from hrvlm.models.layouts.fitting import few, without_derived

_LAYER = "encoder.layers."
_THEIRS = re.compile(r"^(vision_model\.|text_model\.)|^(encoder\.layers\.|embeddings\.)")
_POSITIONS, _TOKENS = "embeddings.position_embedding.weight", "embeddings.token_embedding.weight"
_PATCHES = "embeddings.patch_embedding"


@dataclass(frozen=True)
class Entry:
    """Tensors of transformers and of open_clip that hold the same numbers, one after the other along the first axis.

    Attributes:
        theirs: Names in transformers.
        ours: Names in open_clip; of two the second is twice as long.
        is_transposed: Whether open_clip has rows where transformers has columns.
        has_batch: Whether open_clip has an axis of length 1 before.
        is_number: Whether transformers has an axis of length 1 around a number.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    is_transposed: bool = False
    has_batch: bool = False
    is_number: bool = False

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Under open_clip's names."""
        value = torch.cat([state[name] for name in self.theirs]) if len(self.theirs) > 1 else state[self.theirs[0]]
        value = value.T.contiguous() if self.is_transposed else value
        value = value.reshape(()) if self.is_number else value
        value = value[None] if self.has_batch else value
        parts = [value] if len(self.ours) == 1 else value.tensor_split([len(value) // 3])
        return dict(zip(self.ours, parts, strict=True))

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Under the names of transformers."""
        value = torch.cat([state[name] for name in self.ours]) if len(self.ours) > 1 else state[self.ours[0]]
        value = value[0] if self.has_batch else value
        value = value.reshape(1) if self.is_number else value
        value = value.T if self.is_transposed else value
        parts = [value] if len(self.theirs) == 1 else value.chunk(len(self.theirs))
        return {name: part.contiguous().clone() for name, part in zip(self.theirs, parts, strict=True)}


def is_of_transformers(state: Mapping[str, Any]) -> bool:
    """Whether weights have names of transformers."""
    return any(_THEIRS.match(name) for name in state)


def clip_entries(text_layers: int, image_layers: int) -> list[Entry]:
    """All weights of a `CLIPModel`, beside open_clip's `CLIP`."""
    text = [*_own("text_model.", "", text_layers), *clip_tower_entries(image_layers)]
    return [*text, Entry(("text_projection.weight",), ("text_projection",), True), *_same("logit_scale", "logit_scale")]


def clip_tower_entries(layers: int) -> Iterator[Entry]:
    """The image tower of a `CLIPModel`, with its projection."""
    theirs, ours = "vision_model.", "visual."
    yield from _same(f"{theirs}embeddings.class_embedding", f"{ours}class_embedding")
    yield from _same(f"{theirs}{_PATCHES}.weight", f"{ours}conv1.weight")
    yield from _same(f"{theirs}{_POSITIONS}", f"{ours}positional_embedding")
    yield from _pair(f"{theirs}pre_layrnorm", f"{ours}ln_pre")  # the library's own spelling
    yield from _pair(f"{theirs}post_layernorm", f"{ours}ln_post")
    yield from _blocks(theirs, f"{ours}transformer.resblocks.", layers)
    yield Entry(("visual_projection.weight",), (f"{ours}proj",), True)


def siglip_entries(text_layers: int, image_layers: int) -> list[Entry]:
    """All weights of a `SiglipModel`, beside open_clip's `CustomTextCLIP` with an image tower of timm."""
    text = [*_own("text_model.", "text.", text_layers), *_pair("text_model.head", "text.text_projection")]
    scale = [Entry((name,), (name,), is_number=True) for name in ("logit_scale", "logit_bias")]
    return [*text, *siglip_tower_entries(image_layers), *scale]


def siglip_tower_entries(layers: int) -> Iterator[Entry]:
    """The image tower of a `SiglipModel`."""
    theirs, ours = "vision_model.", "visual.trunk."
    yield from _pair(f"{theirs}{_PATCHES}", f"{ours}patch_embed.proj")
    yield Entry((f"{theirs}{_POSITIONS}",), (f"{ours}pos_embed",), has_batch=True)
    yield from _pair(f"{theirs}post_layernorm", f"{ours}norm")
    yield from _blocks(theirs, f"{ours}blocks.", layers, of_timm=True)
    head, pool = f"{theirs}head.", f"{ours}attn_pool."
    yield from _same(f"{head}probe", f"{pool}latent")
    for part in ("weight", "bias"):
        yield Entry((f"{head}attention.in_proj_{part}",), (f"{pool}q.{part}", f"{pool}kv.{part}"))
    for their, our in (
        ("attention.out_proj", "proj"),
        ("layernorm", "norm"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
    ):
        yield from _pair(f"{head}{their}", f"{pool}{our}")


def _own(theirs: str, ours: str, layers: int) -> Iterator[Entry]:
    """A text tower without its projection."""
    yield from _same(f"{theirs}{_TOKENS}", f"{ours}token_embedding.weight")
    yield from _same(f"{theirs}{_POSITIONS}", f"{ours}positional_embedding")
    yield from _pair(f"{theirs}final_layer_norm", f"{ours}ln_final")
    yield from _blocks(theirs, f"{ours}transformer.resblocks.", layers)


def _blocks(theirs: str, ours: str, layers: int, of_timm: bool = False) -> Iterator[Entry]:
    names = (
        ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")
        if of_timm
        else ("ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj")
    )
    joined = "attn.qkv." if of_timm else "attn.in_proj_"
    for layer in range(layers):
        their, our = f"{theirs}{_LAYER}{layer}.", f"{ours}{layer}."
        for a, b in zip(("layer_norm1", "layer_norm2", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"), names, strict=True):
            yield from _pair(f"{their}{a}", f"{our}{b}")
        for part in ("weight", "bias"):
            yield Entry(tuple(f"{their}self_attn.{k}_proj.{part}" for k in "qkv"), (f"{our}{joined}{part}",))


def _same(theirs: str, ours: str) -> Iterator[Entry]:
    yield Entry((theirs,), (ours,))


def _pair(theirs: str, ours: str) -> Iterator[Entry]:
    for part in ("weight", "bias"):
        yield from _same(f"{theirs}.{part}", f"{ours}.{part}")


def renamed(state: Mapping[str, Tensor], entries: list[Entry], where: object) -> dict[str, Tensor]:
    """Weights of transformers under open_clip's names.

    Raises:
        ValueError: Naming a few that are missing or unexpected, and how many more there are.
    """
    given = without_derived(state)
    wanted = [name for entry in entries for name in entry.theirs]
    missing, unexpected = [n for n in wanted if n not in given], sorted(given.keys() - set(wanted))
    if missing or unexpected:
        told = [
            f"{word} {few(names)}" for word, names in (("without", missing), ("with the unknown", unexpected)) if names
        ]
        raise ValueError(
            f"expected the weights of a CLIP or SigLIP model of transformers in {where}, found them {', '.join(told)}"
        )
    found: dict[str, Tensor] = {}
    for entry in entries:
        try:
            found |= entry.to_ours(given)
        except (RuntimeError, TypeError, IndexError) as error:
            shapes = ", ".join(f"{name} {tuple(given[name].shape)}" for name in entry.theirs)
            raise ValueError(f"expected weights of shapes that belong together in {where}, got {shapes}") from error
    return found


def to_open_clip(weights: Weights, config: dict[str, Any]) -> Weights:
    """Weights with names of transformers, of a whole model or of its image tower, under open_clip's names.

    Args:
        weights: As found in a file.
        config: Description of the architecture that they are for.

    Raises:
        ValueError: If names are missing or unexpected.
    """
    model_cfg = config["model_cfg"]
    is_siglip = "timm_model_name" in model_cfg["vision_cfg"]
    state = {
        n if n.startswith(("vision_", "visual_", "text_", "logit_")) else f"vision_model.{n}": v
        for n, v in weights.state.items()
    }
    is_tower = not any(name.startswith("text_model.") for name in state)
    image_layers, text_layers = (
        1
        + max((int(m[1]) for n in state if (m := re.match(rf"{tower}_model\.encoder\.layers\.(\d+)\.", n))), default=-1)
        for tower in ("vision", "text")
    )
    if is_tower:
        entries = list((siglip_tower_entries if is_siglip else clip_tower_entries)(image_layers))
        found = renamed(state, entries, weights.what)
        found = {name.removeprefix("visual."): value for name, value in found.items()}
    else:
        found = renamed(state, (siglip_entries if is_siglip else clip_entries)(text_layers, image_layers), weights.what)
    return replace(weights, state=found, is_tower=is_tower, what=f"weights of transformers, in {weights.what}")
