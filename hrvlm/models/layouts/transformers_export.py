"""Writes models as folders that transformers loads: both towers, or the image tower alone as others build on it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from hrvlm.models.building import CONFIG_FILE as OPEN_CLIP_CONFIG
from hrvlm.models.companions import SAMPLES, SETTINGS_FILE, TOKENIZER_FILE, write_files
from hrvlm.models.descriptions import noted_noise
from hrvlm.models.layouts.transformers_folder import CONFIG_FILE, IMAGES_FILE, load_transformers_folder
from hrvlm.models.layouts.transformers_keys import (
    Entry,
    clip_entries,
    clip_tower_entries,
    siglip_entries,
    siglip_tower_entries,
)
from hrvlm.models.layouts.transformers_settings import image_settings, settings_of
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.whole_files import check_place, whole_folder

WEIGHTS_FILE = "model.safetensors"
_SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}  # as transformers calls them
_PROJECTION = "visual_projection.weight"  # no part of the towers that others build on


def export_transformers(model: VisionLanguageModel, folder: str | Path, *, half: bool = False) -> Path:
    """Writes a `CLIPModel` or `SiglipModel` folder with tokenizer and preprocessing.

    Args:
        model: What to write; it is left as it is. Its own scale goes along, no head trained beside it.
        folder: Made if missing.
        half: Stores matrices and convolutions in 16 bits.

    Returns:
        The folder.

    Raises:
        ValueError: If transformers has no such model, or the folder holds an export for open_clip.
    """
    settings = settings_of(model) | noted_noise(model.config)
    entries = clip_entries if settings["model_type"] == "clip" else siglip_entries
    layers = [settings[name]["num_hidden_layers"] for name in ("text_config", "vision_config")]
    files = _tokenizer_files(model)
    with _new_files(model, folder) as written:
        _write(model, written, settings, entries(*layers), half)
        write_files(files, written)
        again = load_transformers_folder(written)
        _check_same(model, again, 1e-2 if half else 1e-3)
    return Path(folder)


def export_tower(model: VisionLanguageModel, folder: str | Path, *, half: bool = False) -> Path:
    """Writes the image tower alone: a `CLIPVisionModel` or `SiglipVisionModel` folder with preprocessing.

    Models that see through CLIP, such as LLaVA, take it in the place of their own tower; they use its last layers, not
    the projection into the space that it shares with texts, which is left out.

    Args:
        model: What to write; it is left as it is.
        folder: Made if missing.
        half: Stores matrices and convolutions in 16 bits.

    Returns:
        The folder.

    Raises:
        ValueError: See `export_transformers`.
    """
    settings = settings_of(model)
    kind, vision = settings["model_type"], settings["vision_config"]
    tower = (clip_tower_entries if kind == "clip" else siglip_tower_entries)(vision["num_hidden_layers"])
    vision |= {"architectures": [f"{'CLIP' if kind == 'clip' else 'Siglip'}VisionModel"], "dtype": "float32"}
    with _new_files(model, folder) as written:
        _write(model, written, vision, [entry for entry in tower if entry.theirs != (_PROJECTION,)], half)
    return Path(folder)


def _new_files(model: VisionLanguageModel, folder: str | Path) -> Any:
    """Where files go until all of them are there."""
    if (Path(folder) / OPEN_CLIP_CONFIG).is_file():
        raise ValueError(
            f"expected a folder of its own for an export to transformers, got {folder} with one to open_clip"
        )
    check_place(folder, sum(value.nbytes for value in model.clip.state_dict().values()))
    return whole_folder(folder, stale=(WEIGHTS_FILE, TOKENIZER_FILE, SETTINGS_FILE))


def _write(
    model: VisionLanguageModel, folder: Path, settings: dict[str, Any], entries: list[Entry], half: bool
) -> None:
    """Settings, preprocessing and weights."""
    is_siglip = str(settings["model_type"]).startswith("siglip")
    for name, content in ((CONFIG_FILE, settings), (IMAGES_FILE, image_settings(model, is_siglip))):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    ours = model.clip.state_dict()
    state: dict[str, Tensor] = {}
    for entry in entries:
        state |= {name: _stored(value, half) for name, value in entry.to_theirs(ours).items()}
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.dim() > 1 else value


def _tokenizer_files(model: VisionLanguageModel) -> dict[str, str]:
    """The tokenizer's files; those of open_clip's own are made by transformers."""
    files = {name: text for name, text in model.files.items() if name in (TOKENIZER_FILE, SETTINGS_FILE)}
    if files:
        return files
    if find_spec("transformers") is None:
        raise ValueError(
            "expected the package transformers for the tokenizer's files, found none; "
            'run `pip install "hrvlm[generative]"`'
        )
    return _own_tokenizer_files(model.tokenizer, int(model.tokenize(["a"]).shape[1]))


def _own_tokenizer_files(tokenizer: Any, length: int) -> dict[str, str]:
    from transformers import CLIPTokenizer

    if type(tokenizer) is not open_clip.SimpleTokenizer:
        raise ValueError(f"expected open_clip's own tokenizer, got {type(tokenizer).__name__}")
    vocab = {_SPECIAL.get(word, word): number for word, number in tokenizer.encoder.items()}
    theirs = CLIPTokenizer(vocab=vocab, merges=list(tokenizer.bpe_ranks), model_max_length=length)
    for text in SAMPLES:
        ours = [int(token) for token in tokenizer([text])[0]]
        found = theirs(text, truncation=True, max_length=length).input_ids
        if ours[: len(found)] != found:
            raise ValueError(f"expected transformers to read {text[:40]!r} as open_clip does, got other tokens")
    with TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in (TOKENIZER_FILE, SETTINGS_FILE)}


@torch.no_grad()
def _check_same(model: VisionLanguageModel, again: VisionLanguageModel, tolerance: float) -> None:
    """Makes sure that what was written gives the same features when it is read.

    Raises:
        ValueError: If it does not.
    """
    images = torch.rand(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    texts = list(SAMPLES[:2])
    device = model.mean.device
    pairs = (
        (model.image_features(images.to(device)).cpu(), again.image_features(images)),
        (model.text_features(texts).cpu(), again.text_features(texts)),
    )
    furthest = max(float((ours - theirs).norm(dim=-1).max()) for ours, theirs in pairs)
    if not furthest <= tolerance:
        raise ValueError(
            f"expected an export that gives the features of {model.name} within {tolerance}, got a difference of "
            f"{furthest:.3g}"
        )
