"""Folders that transformers' `save_pretrained` wrote: CLIP and SigLIP models with their tokenizer and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrvlm.models.building import from_config
from hrvlm.models.checkpoint import Preprocessing
from hrvlm.models.companions import SETTINGS_FILE, TOKENIZER_FILE, read_files
from hrvlm.models.descriptions import noted_noise
from hrvlm.models.layouts.fitting import load_fitting
from hrvlm.models.layouts.traits import STATISTICS
from hrvlm.models.layouts.transformers_config import DEFAULTS, description, towers_of
from hrvlm.models.layouts.transformers_keys import clip_entries, renamed, siglip_entries
from hrvlm.models.layouts.weight_files import read_folder_weights, weights_size
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.trees.bounded_text import load_json, read_text

CONFIG_FILE, IMAGES_FILE, PROCESSOR_FILE = "config.json", "preprocessor_config.json", "processor_config.json"
_MEANS = {2: "bilinear", 3: "bicubic"}


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder holds a model's config.json as transformers writes it."""
    return (folder / CONFIG_FILE).is_file()


def load_transformers_folder(folder: Path, preprocessing: Preprocessing | None = None) -> VisionLanguageModel:
    """A `CLIPModel` or `SiglipModel` with the tokenizer and preprocessing of its folder, as an open_clip model.

    Args:
        folder: With config.json, weights, tokenizer.json, tokenizer_config.json and preprocessor_config.json.
        preprocessing: What the user states in the place of the folder's; needed if it says none.

    Raises:
        ValueError: If a file is missing or unreadable, or the model is of another kind.
    """
    config = _json(folder / CONFIG_FILE)
    if config.get("model_type") not in DEFAULTS:
        raise ValueError(
            f"expected a model of transformers with both towers ({', '.join(DEFAULTS)}) in {folder}, got "
            f"{str(config.get('model_type'))[:80]!r}"
        )
    files = _tokenizer_files(folder)
    settings = load_json(files[SETTINGS_FILE])
    try:
        text, vision = towers_of(config)
        model_cfg = description(config, settings if isinstance(settings, dict) else {}, folder.name)
        preprocess, noise = _preprocessing(folder, vision["image_size"], preprocessing), noted_noise(config)
    except ValueError as error:
        raise ValueError(f"expected a model that open_clip has in {folder}: {error}") from error
    described = {"model_cfg": model_cfg, "preprocess_cfg": preprocess, **noise}
    state = read_folder_weights(folder)
    model = from_config(described, name=folder.name, num_bytes=weights_size(folder), files=files)
    entries = clip_entries if config["model_type"] == "clip" else siglip_entries
    found = renamed(state, entries(text["num_hidden_layers"], vision["num_hidden_layers"]), folder)
    load_fitting(model.clip, found, where=folder, what="its config.json")
    return model.eval()


def _tokenizer_files(folder: Path) -> dict[str, str]:
    files = read_files(folder)
    lacking = [name for name in (TOKENIZER_FILE, SETTINGS_FILE) if name not in files]
    if lacking:
        raise ValueError(
            f"expected the tokenizer of the model in {folder}, found no {' and no '.join(lacking)}; write it with "
            "AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER) of transformers"
        )
    return files


def _preprocessing(folder: Path, image_size: int, stated: Preprocessing | None) -> dict[str, Any]:
    """open_clip's "preprocess_cfg"."""
    settings = _image_settings(folder)
    if settings is None:
        if stated is None:
            raise ValueError(
                f"no {IMAGES_FILE} says its preprocessing; state --preprocessing, {' or '.join(STATISTICS)}"
            )
        mean, std = STATISTICS[stated]
        return {"mean": list(mean), "std": list(std)}
    side = _side(settings)
    if side is not None and side != image_size and stated is None:
        raise ValueError(
            f"{IMAGES_FILE} makes pictures of {side} pixels and {CONFIG_FILE} a model of {image_size}; mend "
            "the folder, or state --preprocessing to take the model's own size"
        )
    if abs(float(settings.get("rescale_factor", 1 / 255)) - 1 / 255) > 1e-6:
        raise ValueError(f"{IMAGES_FILE} scales pixels by {settings['rescale_factor']}, not by 1/255")
    plain = {"mean": list(STATISTICS["none"][0]), "std": list(STATISTICS["none"][1])}
    named = {"mean": settings.get("image_mean"), "std": settings.get("image_std")}
    found = named if settings.get("do_normalize", True) else plain
    if any(not isinstance(value, list) or len(value) != 3 for value in found.values()):
        raise ValueError(f"expected three numbers as image_mean and image_std in {IMAGES_FILE}")
    mode = "shortest" if settings.get("do_center_crop") else "squash"
    return found | {"interpolation": _MEANS.get(settings.get("resample", 3), "bicubic"), "resize_mode": mode}


def _image_settings(folder: Path) -> dict[str, Any] | None:
    """What is done to pictures, from the file that says it; newer versions put it among a processor's settings."""
    if (folder / IMAGES_FILE).is_file():
        return _json(folder / IMAGES_FILE)
    if (folder / PROCESSOR_FILE).is_file():
        found = _json(folder / PROCESSOR_FILE).get("image_processor")
        return found if isinstance(found, dict) else None
    return None


def _side(settings: Mapping[str, Any]) -> int | None:
    """Side of the pictures that a model gets; None where nothing is said."""
    size = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    if isinstance(size, Mapping):
        found = size.get("height") or size.get("shortest_edge")
        return None if found is None else int(found)
    return size if isinstance(size, int) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = load_json(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected readable JSON at {path}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object at {path}, got {type(found).__name__}")
    return found
