"""A captioner as a folder: its description, weights, a probe batch with its log-probabilities, and a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hrvlm.generative.captioner import Captioner, Vocabulary
from hrvlm.generative.captions import PROMPTS
from hrvlm.generative.decoding import Decoding
from hrvlm.models import check_finite, inferring
from hrvlm.models.building import image_model
from hrvlm.models.descriptions import check_numbers
from hrvlm.models.finite import check_probe
from hrvlm.trees.bounded_text import load_json, read_text
from hrvlm.whole_files import check_place, whole_folder

DESCRIPTION_FILE, WEIGHTS_FILE, PROBE_FILE = "captioner.json", "captioner.safetensors", "probe.safetensors"
FORMAT = 1
PROBE_TOLERANCE = 2e-3  # of log-probabilities, in nats
ROUNDED_TOLERANCE = 0.1  # weights in 16 bits, over a whole answer


def export_captioner(captioner: Captioner, folder: str | Path, *, half: bool = False) -> Path:
    """Writes a captioner.

    Args:
        captioner: What to write; it is left as it is.
        folder: Made if missing; other files in it, such as a model card, are kept.
        half: Stores matrices and convolutions in 16 bits.

    Returns:
        The folder.

    Raises:
        ValueError: If what was written does not give the captioner's log-probabilities.
    """
    folder = Path(folder)
    check_place(folder)
    with whole_folder(folder) as written:
        save_file({key: _stored(value, half) for key, value in captioner.state_dict().items()}, written / WEIGHTS_FILE)
        text = json.dumps(_description(captioner), indent=2, ensure_ascii=False)
        (written / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")
        stored = load_captioner(written)
        images = torch.rand(4, 3, *stored.image_tokens.tower.image_size, generator=torch.Generator().manual_seed(0))
        probe = {"images": images, "log_probabilities": _probe(stored, images)}
        tolerance = ROUNDED_TOLERANCE if half else PROBE_TOLERANCE
        _compare(_probe(captioner, images), probe["log_probabilities"], tolerance, "the captioner when exported")
        save_file(probe, written / PROBE_FILE)
    return folder


def load_captioner(folder: str | Path, *, prompt: str | None = None, decoding: Decoding | None = None) -> Captioner:
    """Loads a captioner in evaluation mode and compares the log-probabilities of its probe batch.

    Args:
        folder: As `export_captioner` wrote it.
        prompt: "describe" (if None) or "act".
        decoding: Greedy if None.

    Raises:
        ValueError: If files are missing or unreadable, do not fit each other, or the log-probabilities differ.
    """
    folder = Path(folder)
    described = _read_description(folder / DESCRIPTION_FILE)
    try:
        check_numbers(described["decoder"], "decoder")
        model = image_model(described["image_model"], name=described["name"])
        settings = {"name": described["name"], "decoding": decoding, **described["decoder"]}
        captioner = Captioner(model, Vocabulary(described["words"]), prompt=prompt or PROMPTS[0], **settings)
        state = load_file(folder / WEIGHTS_FILE)
        check_finite(state, folder / WEIGHTS_FILE)
        captioner.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected a whole captioner at {folder}: {problem}; export it anew") from error
    captioner.requires_grad_(False).eval()
    if (folder / PROBE_FILE).is_file():
        _check_probe(captioner, folder)
    return captioner


def _description(captioner: Captioner) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": captioner.name,
        "image_model": captioner.image_tokens.tower.config,
        "decoder": captioner.settings,
        "prompts": list(PROMPTS),
        "words": list(captioner.vocabulary.words),
    }


def _read_description(path: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = load_json(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a readable description of a captioner at {path}: {error}") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ValueError(f"expected a captioner of format {FORMAT} at {path}, got another kind")
    if described.get("prompts") != list(PROMPTS):
        raise ValueError(f"expected prompts {', '.join(PROMPTS)} at {path}, got {described.get('prompts')}")
    return described


def _stored(value: Tensor, half: bool) -> Tensor:
    rounded = half and value.is_floating_point() and value.dim() > 1
    return value.detach().cpu().to(torch.float16 if rounded else value.dtype).contiguous()


def _probe(captioner: Captioner, images: Tensor) -> Tensor:
    """Log-probabilities of a first and a last word for some images and each prompt (prompts, 4), on the CPU."""
    words = captioner.vocabulary.words
    answers = [words[0], words[-1], f"{words[0]} {words[-1]}", ""]
    found, chosen = [], captioner.prompt
    try:
        with inferring(captioner):
            for captioner.prompt in PROMPTS:
                found.append(captioner.log_probability(images.to(captioner.decoder.places.device), answers))
    finally:
        captioner.prompt = chosen
    return torch.stack(found).float().cpu()


def _check_probe(captioner: Captioner, folder: Path) -> None:
    try:
        found = load_file(folder / PROBE_FILE)
        stored = {name: found[name] for name in ("images", "log_probabilities")}
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"expected a readable probe batch in {folder}: {error}; export the captioner anew") from error
    check_probe(stored, folder / PROBE_FILE, captioner.image_tokens.tower.image_size)
    _compare(
        _probe(captioner, stored["images"]), stored["log_probabilities"], PROBE_TOLERANCE, f"the captioner at {folder}"
    )


def _compare(found: Tensor, stored: Tensor, tolerance: float, what: str) -> None:
    difference = (found - stored).abs().max().item() if found.shape == stored.shape else float("inf")
    if not difference <= tolerance:
        raise ValueError(
            f"expected {what} to reproduce the log-probabilities of its probe batch within {tolerance}, they differ by "
            f"{difference:.3g}; the weights are not those it was exported with"
        )
