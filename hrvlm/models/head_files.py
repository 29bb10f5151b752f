"""A trained classifier head as files beside an exported model, where plain open_clip does not look.

`head/head.json` says which head it is and which classes it was trained on, `head/head.safetensors` holds its numbers,
and `head/probe.safetensors` its logits on the model's probe batch, so that a head beside another model is noticed.
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

from hrvlm.models._cosine_head import MAX_LOGIT_SCALE
from hrvlm.models._head import Head
from hrvlm.models._modes import evaluating
from hrvlm.models.finite import check_finite, check_probe
from hrvlm.models.heads import CosineHead, PoincareHead
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.trees.bounded_text import load_json, read_text

FOLDER = "head"  # a sub-folder keeps the weights out of open_clip's search
DESCRIPTION_FILE, WEIGHTS_FILE, PROBE_FILE = (
    f"{FOLDER}/{name}" for name in ("head.json", "head.safetensors", "probe.safetensors")
)
FILES = (DESCRIPTION_FILE, WEIGHTS_FILE, PROBE_FILE)
FORMAT = 1
HEADS = {"cosine": CosineHead, "poincare": PoincareHead}
TOLERANCE = 1e-3  # of the largest logit


def kind_of(head: Head) -> str:
    """The name by which descriptions call a head."""
    return next(name for name, head_class in HEADS.items() if isinstance(head, head_class))


def described_head(head: Head) -> dict[str, Any]:
    """What descriptions say of a head besides its numbers: "head", and "max_logit_scale" where it is not CLIP's."""
    limit = head.max_logit_scale if isinstance(head, CosineHead) else MAX_LOGIT_SCALE
    return {"head": kind_of(head)} | ({} if limit == MAX_LOGIT_SCALE else {"max_logit_scale": limit})


def rebuild_head(described: Mapping[str, Any], state: dict[str, Tensor]) -> Head:
    """A head in evaluation mode from its description, see `described_head`, and its state.

    Raises:
        KeyError: If the kind is unknown, or the state lacks what tells the number of levels.
        RuntimeError: If the state is that of another head.
        ValueError: If the largest scale is none.
    """
    kind = described["head"]
    if kind == "poincare":
        head: Head = PoincareHead(text_scales=len(state["log_text_scales"]))
    elif kind == "cosine":
        head = CosineHead(max_logit_scale=float(described.get("max_logit_scale", MAX_LOGIT_SCALE)))
    else:
        raise KeyError(kind)
    head.load_state_dict(state)
    return head.eval()


def write_head(
    folder: Path, head: Head, classes: Sequence[str] | None, model: VisionLanguageModel, probe: dict[str, Tensor]
) -> None:
    """Writes a head.

    Args:
        folder: The exported model's folder.
        head: What to write.
        classes: Class ids that it was trained on.
        model: The exported model as loaded from the folder.
        probe: The model's probe batch, with "images" and "tokens".
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    described: dict[str, Any] = {
        "format": FORMAT,
        **described_head(head),
        "classes": None if classes is None else list(classes),
    }
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    logits = head_logits(model, rebuild_head(described, state), probe)
    save_file({"logits": logits}, folder / PROBE_FILE)


def read_head(
    folder: Path, model: VisionLanguageModel, probe: dict[str, Tensor]
) -> tuple[Head, tuple[str, ...] | None]:
    """Reads the head of an exported model and compares its logits on the probe batch.

    Args:
        folder: The exported model's folder, with a head.
        model: The model loaded from it.
        probe: The model's probe batch.

    Returns:
        The head in evaluation mode, and the class ids that it was trained on, if they are known.

    Raises:
        ValueError: If files are missing or unreadable, numbers are not finite, or head and model are not one.
    """
    try:
        described: dict[str, Any] = load_json(read_text(folder / DESCRIPTION_FILE))
        if described["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT} of a head, got {described['format']}")
        state = load_file(folder / WEIGHTS_FILE)
        check_finite(state, folder / WEIGHTS_FILE)
        head = rebuild_head(described, state)
        stored = load_file(folder / PROBE_FILE)["logits"]
        check_probe({"logits": stored}, folder / PROBE_FILE)
        classes = None if described["classes"] is None else tuple(described["classes"])
        found = head_logits(model, head, probe)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected the head of a model in {folder / FOLDER}: {problem}; export it anew") from error
    difference = (found - stored).abs().max().item() if found.shape == stored.shape else float("inf")
    if not difference <= TOLERANCE * stored.abs().max().item():
        raise ValueError(
            f"expected the head in {folder / FOLDER} to reproduce its logits of the probe batch, they differ by "
            f"{difference:.3g}; head and model are not of one export"
        )
    return head, classes


@torch.no_grad()
def head_logits(model: VisionLanguageModel, head: Head, probe: dict[str, Tensor]) -> Tensor:
    """Scores `(levels, N, K)` of the probe images against the probe texts, the texts lifted as nodes of each level."""
    levels = len(head.text_scales) if isinstance(head, PoincareHead) else 1
    with evaluating(model):
        points = head.lift_image(model.encode_image(probe["images"]).float())
        texts = model.clip.encode_text(probe["tokens"]).float()
    return torch.stack([head.logits(points, head.lift_text(texts, level)) for level in range(levels)])
