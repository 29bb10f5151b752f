"""Writes and reads model folders that plain open_clip loads as `local-dir:FOLDER`.

Beside open_clip's own config and weights a folder holds a probe batch (images, tokens, and the logits that the model
gives them), the trained head if there is one, and a model card to complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hrvlm.models import head_files
from hrvlm.models._head import Head
from hrvlm.models._modes import evaluating
from hrvlm.models.building import CONFIG_FILE, from_config, read_config
from hrvlm.models.companions import FILES, read_files, write_files
from hrvlm.models.descriptions import told_noise
from hrvlm.models.finite import check_finite, check_probe
from hrvlm.models.model_card import CARD_FILE, NEW_CARD_FILE, model_card
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.whole_files import check_place, whole_folder

WEIGHTS_FILE = "open_clip_model.safetensors"
PROBE_FILE = "probe/probe.safetensors"  # a sub-folder keeps it out of open_clip's search for weights
TEXTS_FILE = "probe/texts.json"
PROBE_TEXTS = ("a picture of a fox", "a picture of a red apple", "a picture of a boat")
COMPARED = ("image_features", "text_features", "logit_scale")
PROBE_TOLERANCE = 1e-3
ROUNDED_TOLERANCE = 1e-2  # weights in 16 bits, or an accelerator's convolutions


def export_model(
    model: VisionLanguageModel,
    folder: str | Path,
    *,
    half: bool = False,
    head: Head | None = None,
    classes: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a model folder: config with preprocessing, weights, a probe batch with its logits, head and model card.

    Args:
        model: What to write; it is left as it is.
        folder: Made if missing. A card that it holds is kept: if it says something else, the new one lies beside it.
        half: Stores matrices and convolutions in 16 bits; the head stays whole.
        head: The head trained with the model; None for plain CLIP, whose scale is among the weights.
        classes: Class ids that the head was trained on.
        settings: The run's configuration (`config.yaml` as written by training), for the card.

    Returns:
        The folder.

    Raises:
        ValueError: If the written folder does not give the model's features, so that its config does not describe it.
    """
    folder = Path(folder)
    check_place(folder, sum(value.nbytes for value in model.clip.state_dict().values()) // (2 if half else 1))
    with whole_folder(folder, stale=(*head_files.FILES, *FILES)) as written:
        stored, probe = _write(model, written, half)
        if head is not None:
            head_files.write_head(written, head, classes, stored, probe)
        noise = told_noise(model.config)
        card = model_card(model.name, head=head, classes=classes, settings=settings, half=half, noise=noise)
        old = folder / CARD_FILE  # somebody may have filled it in
        kept = old.is_file() and old.read_bytes() != card.encode()
        (written / (NEW_CARD_FILE if kept else CARD_FILE)).write_text(card, encoding="utf-8")
    return folder


def _write(model: VisionLanguageModel, folder: Path, half: bool) -> tuple[VisionLanguageModel, dict[str, Tensor]]:
    state = {key: _stored(value, half) for key, value in model.clip.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    write_files(model.files, folder)
    stored = load_folder(folder)
    # Eight bits a channel, so that the images can also be shown to open_clip's own transform.
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, *stored.image_size), generator=generator) / 255.0
    # The probe holds for the file, whose weights may be rounded; the model itself must agree with it.
    probe = _probe(stored, images)
    exact = not half and model.mean.device.type == "cpu"
    _compare(_probe(model, images), probe, PROBE_TOLERANCE if exact else ROUNDED_TOLERANCE, "the model when exported")
    (folder / PROBE_FILE).parent.mkdir()
    save_file(probe, folder / PROBE_FILE)
    (folder / TEXTS_FILE).write_text(json.dumps(PROBE_TEXTS, indent=2) + "\n", encoding="utf-8")
    return stored, probe


def load_folder(folder: str | Path, *, check: bool = True) -> VisionLanguageModel:
    """Loads a model folder and compares the features of its probe batch.

    Args:
        folder: Holds `open_clip_config.json` and safetensors.
        check: Whether to compare with the stored features, where there are any.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: If files are missing or unreadable, do not fit each other, weights are not finite, or the features
            differ.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG_FILE)
    candidates = [folder / WEIGHTS_FILE, *sorted(folder.glob("*.safetensors"))]
    weights = next((path for path in candidates if path.is_file()), None)
    if weights is None:
        raise ValueError(f"expected a .safetensors file in {folder}, found none")
    try:
        state = load_file(weights)  # before anything is built to hold it: what is no such file is told as such
        check_finite(state, weights)
        model = from_config(config, name=folder.name, num_bytes=weights.stat().st_size, files=read_files(folder))
        model.clip.load_state_dict(state)
    except (RuntimeError, SafetensorError) as error:
        problem = _one_line(error)
        raise ValueError(f"expected {weights} to hold the weights that its config describes: {problem}") from error
    probe = folder / PROBE_FILE
    if check and probe.is_file():
        _check_probe(model, probe)
    return model.eval()


def load_head(folder: str | Path, model: VisionLanguageModel) -> tuple[Head, tuple[str, ...] | None] | None:
    """The head beside a model with the classes it was trained on; None where there is none.

    Raises:
        ValueError: If its files are unreadable or do not belong to the model.
    """
    folder = Path(folder)
    if not (folder / head_files.FOLDER).is_dir() or not any((folder / head_files.FOLDER).iterdir()):
        return None
    probe = _read_probe(folder / PROBE_FILE, ("images", "tokens"))
    check_probe(probe, folder / PROBE_FILE, model.image_size)
    return head_files.read_head(folder, model, probe)


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
    scale, bias = model.logit_scale.float().cpu().reshape(1), getattr(model.clip, "logit_bias", None)
    biases = {} if bias is None else {"logit_bias": bias.detach().float().cpu().reshape(1)}
    return {
        **biases,
        "images": images,
        "tokens": model.tokenize(PROBE_TEXTS).cpu().contiguous(),
        "image_features": image_features,
        "text_features": text_features,
        "logit_scale": scale,
        "logits": scale * image_features @ text_features.T + biases.get("logit_bias", 0.0),
    }


def _check_probe(model: VisionLanguageModel, path: Path) -> None:
    stored = _read_probe(path, ("images", *COMPARED))
    check_probe(stored, path, model.image_size)
    try:
        found = _probe(model, stored["images"])
    except ValueError as error:
        raise ValueError(f"expected a probe batch for this model at {path}: {_one_line(error)}") from error
    _compare(found, stored, PROBE_TOLERANCE, f"the model at {path.parents[1]}")


def _read_probe(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    try:
        stored = load_file(path)
        return {name: stored[name] for name in (*names, *({"logit_bias"} & stored.keys()))}
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(
            f"expected a readable probe batch at {path}: {_one_line(error)}; export the model anew"
        ) from error


def _compare(found: dict[str, Tensor], probe: dict[str, Tensor], tolerance: float, what: str) -> None:
    """Compares features of unit norm by their distance, the scale by its logarithm."""
    for name in (*COMPARED, *({"logit_bias"} & found.keys() & probe.keys())):
        ours, stored = (part[name].log() if name == "logit_scale" else part[name] for part in (found, probe))
        difference = (ours - stored).norm(dim=-1).max().item() if ours.shape == stored.shape else float("inf")
        if not difference <= tolerance:
            raise ValueError(
                f"expected {what} to reproduce the {name} of its probe batch within {tolerance}, they differ by "
                f"{difference:.3g}; activation, preprocessing or weights are not those it was exported with"
            )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
