"""Writes and reads model folders that plain open_clip loads as `local-dir:FOLDER`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hrvlm.models._modes import evaluating
from hrvlm.models.building import CONFIG_FILE, from_config, read_config
from hrvlm.models.vision_language import VisionLanguageModel

WEIGHTS_FILE = "open_clip_model.safetensors"
PROBE_FILE = "probe/probe.safetensors"  # a sub-folder keeps it out of open_clip's search for weights
PROBE_TEXTS = ("a picture of a fox", "a picture of a red apple", "a picture of a boat")
PROBE_TOLERANCE = 1e-3
ROUNDED_TOLERANCE = 1e-2  # weights in 16 bits, or an accelerator's convolutions


def export_model(model: VisionLanguageModel, folder: str | Path, *, half: bool = False) -> Path:
    """Writes a model folder: config with preprocessing, weights, and the features of a probe batch.

    Args:
        model: What to write; it is left as it is.
        folder: Made if missing.
        half: Stores matrices and convolutions in 16 bits.

    Returns:
        The folder.

    Raises:
        ValueError: If the written folder does not give the model's features, so that its config does not describe it.
    """
    folder = Path(folder)
    with TemporaryDirectory() as written:
        _write(model, Path(written), half)
        # What was there is replaced only now that the new files are known to be good.
        for name in (WEIGHTS_FILE, CONFIG_FILE, PROBE_FILE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(written, name), folder / name)
    return folder


def _write(model: VisionLanguageModel, folder: Path, half: bool) -> None:
    state = {key: _stored(value, half) for key, value in model.clip.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    stored = load_folder(folder)
    images = torch.rand(4, 3, *stored.image_size, generator=torch.Generator().manual_seed(0))
    # The probe holds for the file, whose weights may be rounded; the model itself must agree with it.
    probe = _probe(stored, images)
    exact = not half and model.mean.device.type == "cpu"
    _compare(_probe(model, images), probe, PROBE_TOLERANCE if exact else ROUNDED_TOLERANCE, "the model when exported")
    (folder / PROBE_FILE).parent.mkdir()
    save_file(probe, folder / PROBE_FILE)


def load_folder(folder: str | Path, *, check: bool = True) -> VisionLanguageModel:
    """Loads a model folder and compares the features of its probe batch.

    Args:
        folder: Holds `open_clip_config.json` and safetensors.
        check: Whether to compare with the stored features, where there are any.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: If files are missing or unreadable, do not fit each other, or the features differ.
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
        problem = _one_line(error)
        raise ValueError(f"expected {weights} to hold the weights that its config describes: {problem}") from error
    probe = folder / PROBE_FILE
    if check and probe.is_file():
        _check_probe(model, probe)
    return model.eval()


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() and value.dim() > 1 else value


@torch.no_grad()
def _probe(model: VisionLanguageModel, images: Tensor) -> dict[str, Tensor]:
    """The probe images with the model's features of them and of the probe texts, on the CPU."""
    device = model.mean.device
    with evaluating(model):
        image_features = model.image_features(images.to(device)).float().cpu()
        text_features = model.text_features(PROBE_TEXTS).float().cpu()
    scale = model.logit_scale.float().cpu().reshape(1)
    return {"images": images, "image_features": image_features, "text_features": text_features, "logit_scale": scale}


def _check_probe(model: VisionLanguageModel, path: Path) -> None:
    try:
        probe = load_file(path)
        found = _probe(model, probe["images"])
        probe = {name: probe[name] for name in found}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"expected a readable probe batch at {path}: {_one_line(error)}; export the model anew"
        ) from error
    _compare(found, probe, PROBE_TOLERANCE, f"the model at {path.parents[1]}")


def _compare(found: dict[str, Tensor], probe: dict[str, Tensor], tolerance: float, what: str) -> None:
    """Compares features of unit norm by their distance, the scale by its logarithm."""
    for name in ("image_features", "text_features", "logit_scale"):
        ours, stored = (part[name].log() if name == "logit_scale" else part[name] for part in (found, probe))
        difference = (ours - stored).norm(dim=-1).max().item() if ours.shape == stored.shape else float("inf")
        if not difference <= tolerance:
            raise ValueError(
                f"expected {what} to reproduce the {name} of its probe batch within {tolerance}, they differ by "
                f"{difference:.3g}; activation, preprocessing or weights are not those it was exported with"
            )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
