"""Tiny models as others write them: files in every layout, and what the libraries that wrote them give for pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from tiny_families import TOKENIZERS, hub
from tiny_models import TEXT, tiny_model
from torch import Tensor

from hrvlm.models import Checkpoint, VisionLanguageModel, export_model

TEXTS = ["a picture of a fox", "red apple on a boat", "a small dark cat"]
ARCHITECTURE = "tiny_vit"  # of `tiny_families.hub`, which states QuickGELU
TRUNK = "vit_tiny_patch8_siglip_32"
PREPROCESS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
HUB_NAME, REVISION = "tiny/clip-of-the-hub", "0" * 40


@dataclass(frozen=True)
class Written:
    """A model as written, and its library's own features.

    Attributes:
        checkpoint: How it is named here.
        image_features: Un-normalised features (N, D) of normalised pictures (N, 3, 32, 32).
        text_features: Un-normalised features (K, D) of texts.
        logit_scale: Inverse temperature.
    """

    checkpoint: Checkpoint
    image_features: Callable[[Tensor], Tensor]
    text_features: Callable[[list[str]], Tensor]
    logit_scale: float


def source() -> VisionLanguageModel:
    """The open_clip model whose weights most files hold."""
    return tiny_model("vit", seed=3, **PREPROCESS)


def tower_base() -> VisionLanguageModel:
    """Another model of the architecture, which brings a text tower."""
    return tiny_model("vit", seed=4, **PREPROCESS)


def of_open_clip(
    model: VisionLanguageModel, checkpoint: Checkpoint, text: VisionLanguageModel | None = None
) -> Written:
    """Features by open_clip's modules."""
    words = model if text is None else text
    tokenize = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])
    return Written(
        checkpoint,
        lambda pictures: model.clip.visual(pictures),
        lambda texts: words.clip.encode_text(tokenize(texts)),
        float(words.clip.logit_scale.detach().exp()),
    )


def _dictionary(content: Callable[[dict[str, Tensor]], Any], name: str = "weights.pt") -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        model = source()
        torch.save(content(model.clip.state_dict()), folder / name)
        return of_open_clip(model, Checkpoint(architecture=ARCHITECTURE, weights=str(folder / name)))

    return write


def _tower(content: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        model, base = source(), tower_base()
        torch.save(content(model.clip.visual.state_dict()), folder / "tower.pth.tar")
        base_folder = str(export_model(base, folder / "base"))
        return of_open_clip(model, Checkpoint(architecture=base_folder, weights=str(folder / "tower.pth.tar")), base)

    return write


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def tecoa(tower: dict[str, Tensor]) -> dict[str, Any]:
    """As their repositories write it, without prompts learned."""
    prompts = {"prompt": torch.empty(1, 0, 32)}
    optimizer = {"state": {}, "param_groups": [{"lr": 1e-5, "params": [0]}]}
    return {
        "epoch": 10, "state_dict": {}, "add_prompter": prompts, "vision_encoder_state_dict": tower, "best_acc1": 41.5,
        "optimizer": optimizer,
    }  # fmt: skip


def open_clip_training(state: dict[str, Tensor]) -> dict[str, Any]:
    return {"epoch": 3, "name": "run", "state_dict": prefixed(state, "module."), "optimizer": {"state": {}}}


def _safetensors(folder: Path) -> Written:
    model = source()
    save_file(
        {name: value.contiguous() for name, value in model.clip.state_dict().items()}, folder / "weights.safetensors"
    )
    return of_open_clip(model, Checkpoint(architecture=ARCHITECTURE, weights=str(folder / "weights.safetensors")))


def openai_archive(folder: Path) -> Written:
    """A TorchScript program in 16 bits with the numbers that OpenAI's have beside their weights."""
    model = source()
    clip: Any = model.clip.half().float()
    for name, value in (("input_resolution", 32), ("context_length", 16), ("vocab_size", 49408)):
        clip.__dict__.pop(name, None)
        clip.register_buffer(name, torch.tensor(value))
    clip.half()
    images, tokens = torch.zeros(1, 3, 32, 32).half(), torch.zeros(1, 16, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the form is old, and so are the functions that write it
        traced = torch.jit.trace_module(clip, {"encode_image": images, "encode_text": tokens}, check_trace=False)
        torch.jit.save(traced, folder / "ViT-tiny.pt")
    clip.float()
    return of_open_clip(model, Checkpoint(architecture=ARCHITECTURE, weights=str(folder / "ViT-tiny.pt")))


def _exported(prefix: str) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        model = source()
        export_model(model, folder / "model")
        return of_open_clip(model, Checkpoint(name=f"{prefix}{folder / 'model'}"))

    return write


def _from_hub(folder: Path) -> Written:
    """The local cache of the hub's client, filled by hand; the fixture `cache` points the client to it."""
    model = source()
    repository = folder / "cache" / f"models--{HUB_NAME.replace('/', '--')}"
    export_model(model, repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    return of_open_clip(model, Checkpoint(name=f"hf-hub:{HUB_NAME}"))


def clip_tokenizer() -> Any:
    """A byte-pair vocabulary of letters and one word."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "fo", "fox</w>", "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    merges: Any = [("f", "o"), ("fo", "x</w>")]
    return transformers.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)


def tower_settings(**more: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 2} | more


def clip_of_transformers(seed: int = 5) -> Any:
    """A random `CLIPModel`."""
    vocab = len(clip_tokenizer())
    end = {"eos_token_id": vocab - 1, "bos_token_id": vocab - 2, "pad_token_id": vocab - 1}
    text = tower_settings(vocab_size=vocab, max_position_embeddings=16, **end)
    vision = tower_settings(image_size=32, patch_size=8)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    return randomised(transformers.CLIPModel(config), seed)


def siglip_of_transformers() -> Any:
    """A random `SiglipModel` of the shape that the tiny trunk has."""
    text = tower_settings(vocab_size=64, max_position_embeddings=12, projection_size=32)
    config = transformers.SiglipConfig(text_config=text, vision_config=tower_settings(image_size=32, patch_size=8))
    return randomised(transformers.SiglipModel(config))


def randomised(model: Any, seed: int = 5) -> Any:
    """Weights large enough for each part to show in the features."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        model.logit_scale.fill_(4.0)
    return model.eval()


def of_transformers(model: Any, tokenizer: Any, checkpoint: Checkpoint, length: int) -> Written:
    """Features by transformers' modules."""

    def texts(words: list[str]) -> Tensor:
        given = tokenizer(words, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        found: Tensor = model.get_text_features(input_ids=given.input_ids).pooler_output
        return found

    return Written(
        checkpoint,
        lambda pictures: model.get_image_features(pixel_values=pictures).pooler_output,
        texts,
        float(model.logit_scale.detach().exp()),
    )


def transformers_clip(folder: Path) -> Written:
    model, tokenizer = clip_of_transformers(), clip_tokenizer()
    side = {"height": 32, "width": 32}
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side)
    for part in (model, tokenizer, images):
        part.save_pretrained(folder / "clip")
    return of_transformers(model, tokenizer, Checkpoint(name=str(folder / "clip")), 16)


def transformers_siglip(folder: Path) -> Written:
    model, tokenizer = siglip_of_transformers(), TOKENIZERS["tiny/t5"]()
    for part in (model, tokenizer, transformers.SiglipImageProcessor(size={"height": 32, "width": 32})):
        part.save_pretrained(folder / "siglip")
    return of_transformers(model, tokenizer, Checkpoint(name=str(folder / "siglip")), 12)


def transformers_dictionary(folder: Path) -> Written:
    """A whole state beside a folder of the same shape."""
    base, model = transformers_clip(folder), clip_of_transformers(seed=6)
    torch.save(model.state_dict(), folder / "state.pt")
    checkpoint = Checkpoint(architecture=base.checkpoint.name, weights=str(folder / "state.pt"))
    return of_transformers(model, clip_tokenizer(), checkpoint, 16)


def transformers_tower(folder: Path) -> Written:
    """A tower with its projection, as `CLIPVisionModelWithProjection` holds it."""
    base, model = transformers_clip(folder), clip_of_transformers(seed=7)
    state = {name: value for name, value in model.state_dict().items() if name.startswith(("vision_", "visual_"))}
    torch.save(state, folder / "tower.pt")
    checkpoint = Checkpoint(architecture=base.checkpoint.name, weights=str(folder / "tower.pt"))
    return replace(
        base, checkpoint=checkpoint, image_features=of_transformers(model, None, checkpoint, 16).image_features
    )


LAYOUTS: dict[str, Callable[[Path], Written]] = {
    "an exported folder": _exported(""),
    "local-dir": _exported("local-dir:"),
    "hf-hub": _from_hub,
    "open_clip's training": _dictionary(open_clip_training, "epoch_3.pt"),
    "a compiled module": _dictionary(lambda state: {"model": prefixed(state, "_orig_mod.")}),
    "a full dictionary": _dictionary(lambda state: state),
    "safetensors": _safetensors,
    "OpenAI's dictionary": _dictionary(lambda state: state | {"input_resolution": torch.tensor(32)}),
    "OpenAI's archive": openai_archive,
    "a tower with bare names (FARE)": _tower(lambda tower: tower),
    "a tower as visual.": _tower(lambda tower: prefixed(tower, "module.visual.")),
    "TeCoA, PMG-AFT": _tower(tecoa),
    "transformers' CLIP": transformers_clip,
    "transformers' SigLIP": transformers_siglip,
    "a dictionary of transformers": transformers_dictionary,
    "a tower of transformers": transformers_tower,
}


def _tiny_trunk(pretrained: bool = False, **given: Any) -> Any:
    """A vision transformer of timm as SigLIP's are, in the size of `siglip_of_transformers`."""
    shape: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 44 / 32,
    }
    chosen = {name: value for name, value in given.items() if name in ("num_classes", "global_pool")}
    return timm.models.VisionTransformer(**shape, class_token=False, **({"global_pool": "map"} | chosen))


@contextmanager
def foreign_world(folder: Path, names: Iterable[str] = LAYOUTS) -> Iterator[dict[str, Written]]:
    """Layouts, all or some, written below a folder; names and the hub's cache meanwhile stand for tiny models."""
    import huggingface_hub.constants
    from timm.models import _registry

    (folder / "hub").mkdir(parents=True)
    with hub(folder / "hub"), pytest.MonkeyPatch.context() as patch:
        patch.setitem(_registry._model_entrypoints, TRUNK, _tiny_trunk)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hf-hub" / "cache"))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        written = {}
        for name in names:
            place = folder / "".join(letter for letter in name if letter.isalnum() or letter == "-")
            place.mkdir()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                written[name] = LAYOUTS[name](place)
        yield written
