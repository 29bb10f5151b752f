"""Writes and reads model folders that plain open_clip loads as `local-dir:FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hrvlm.models.building import CONFIG_FILE, from_config, read_config
from hrvlm.models.vision_language import VisionLanguageModel

WEIGHTS_FILE = "open_clip_model.safetensors"
PROBE_FILE = "probe.safetensors"
PROBE_TEXTS = ("a picture of a fox", "a picture of a red apple", "a picture of a boat")
PROBE_TOLERANCE = 1e-3


def export_model(model: VisionLanguageModel, folder: str | Path, *, half: bool = False) -> Path:
    """Writes a model folder: config with preprocessing, weights, and the scores of a probe batch.

    Args:
        model: What to write; rounded in place of the original if `half`, so that the probe holds for the file.
        folder: Made if missing.
        half: Stores matrices and convolutions in 16 bits.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: _stored(value, half) for key, value in model.clip.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    stored = load_folder(folder, check=False)
    images = torch.rand(4, 3, *stored.image_size, generator=torch.Generator().manual_seed(0))
    # The sub-folder keeps the probe out of open_clip's search for weights.
    (folder / "probe").mkdir(exist_ok=True)
    save_file({"images": images, "scores": _probe_scores(stored, images)}, folder / "probe" / PROBE_FILE)
    return folder


def load_folder(folder: str | Path, *, check: bool = True) -> VisionLanguageModel:
    """Loads a model folder and compares the scores of its probe batch.

    Args:
        folder: Holds `open_clip_config.json` and safetensors.
        check: Whether to compare with the stored scores, where there are any.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: If files are missing or unreadable, do not fit each other, or the scores differ.
    """
    folder = Path(folder)
    model = from_config(read_config(folder / CONFIG_FILE), name=folder.name)
    candidates = [folder / WEIGHTS_FILE, *sorted(folder.glob("*.safetensors"))]
    weights = next((path for path in candidates if path.is_file()), None)
    if weights is None:
        raise ValueError(f"expected a .safetensors file in {folder}, found none")
    try:
        model.clip.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"expected {weights} to hold the weights that its config describes: {_first_line(error)}") from error
    probe = folder / "probe" / PROBE_FILE
    if check and probe.is_file():
        _check_probe(model, probe)
    return model.eval()


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() and value.dim() > 1 else value


@torch.no_grad()
def _probe_scores(model: VisionLanguageModel, images: Tensor) -> Tensor:
    return model.image_features(images) @ model.text_features(PROBE_TEXTS).T


def _check_probe(model: VisionLanguageModel, path: Path) -> None:
    probe = load_file(path)
    difference = (_probe_scores(model, probe["images"]) - probe["scores"]).abs().max().item()
    if not difference <= PROBE_TOLERANCE:
        raise ValueError(
            f"expected the model at {path.parents[1]} to reproduce its probe scores within {PROBE_TOLERANCE}, they differ by "
            f"{difference:.3g}; activation, preprocessing or weights are not those it was exported with"
        )


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
