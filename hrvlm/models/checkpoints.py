"""What a checkpoint says about itself, and loading of every kind of checkpoint.

A training checkpoint carries under the key "hrvlm" a description made of primitives (architecture, head, classes), so
that it loads with `weights_only=True`, without the code or the configuration of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from hrvlm.models._cosine_head import MAX_LOGIT_SCALE
from hrvlm.models._head import Head
from hrvlm.models.building import CONFIG_FILE, from_config, from_open_clip
from hrvlm.models.checkpoint import UNTRAINED, Activation, Checkpoint, Preprocessing, as_checkpoint
from hrvlm.models.checkpoint_files import read_checkpoint
from hrvlm.models.denoisers import Denoised
from hrvlm.models.denoisers.files import read_denoiser
from hrvlm.models.export import load_folder, load_head
from hrvlm.models.finite import check_finite
from hrvlm.models.head_files import described_head, rebuild_head
from hrvlm.models.heads import CosineHead
from hrvlm.models.layouts.beside_architecture import load_beside
from hrvlm.models.layouts.hub import SCHEME, load_from_hub
from hrvlm.models.layouts.traits import overridden, say_noise, say_traits
from hrvlm.models.layouts.transformers_folder import is_transformers_folder, load_transformers_folder
from hrvlm.models.vision_language import VisionLanguageModel

PACKAGED = {"emoji": Path(__file__).parent / "emoji"}
LOCAL = "local-dir:"
FORMAT = 1
DESCRIPTION = "hrvlm"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with its head.

    Attributes:
        model: In evaluation mode.
        head: Trained with the model (a checkpoint, or a folder exported from one), or a cosine head with the model's
            own logit_scale.
        classes: Class ids it was fine-tuned on; None where unknown.
    """

    model: VisionLanguageModel
    head: Head
    classes: tuple[str, ...] | None

    @property
    def has_trained_head(self) -> bool:
        """Whether the head is more than the model's own scale of cosines."""
        return self.classes is not None or not isinstance(self.head, CosineHead)


def describe(model: VisionLanguageModel, head: Head, classes: list[str]) -> dict[str, Any]:
    """The description that a training checkpoint carries; primitives only."""
    files = {"files": model.files} if model.files else {}
    described = {"format": FORMAT, "name": model.name, "config": model.config, **described_head(head)}
    return {**described, "classes": classes, **files}


def load(checkpoint: str | Path | Checkpoint) -> LoadedModel:
    """Loads a model with its head.

    Args:
        checkpoint: A training checkpoint (.ckpt); an exported folder, or another of open_clip's form (with or without
            "local-dir:" before); a folder of a CLIP or SigLIP model of transformers; "emoji" (the packaged model); an
            open_clip name with its pretrained tag such as "ViT-B-32/openai" (the tag "none" leaves it untrained);
            "hf-hub:NAME"; or a `Checkpoint` with the file of weights for an architecture, or with a denoiser.

    Returns:
        Model and head, in evaluation mode.

    Raises:
        ValueError: If nothing of the kind is there, or its parts do not fit each other.
    """
    given = as_checkpoint(checkpoint)
    loaded = _load_alone(given)
    if given.denoiser is None:
        return loaded
    denoiser, settings = read_denoiser(given.denoiser, given.denoiser_sigma)
    return LoadedModel(Denoised(denoiser, loaded.model, settings=settings).eval(), loaded.head, loaded.classes)


def _load_alone(given: Checkpoint) -> LoadedModel:
    """The model without its denoiser."""
    if given.name is None:
        model = load_beside(given, _by_name)
        return LoadedModel(model, cosine_head(model), None)
    loaded = _load_named(given.name, given)
    if not given.is_overridden:
        return loaded
    model = overridden(loaded.model, given)
    say_traits(model, "with activation and preprocessing as stated")
    return LoadedModel(model, loaded.head, loaded.classes)


def _load_named(name: str, given: Checkpoint) -> LoadedModel:
    path = Path(name)
    if path.suffix == ".ckpt":
        loaded = _load_checkpoint(path)
        say_noise(loaded.model)
        return loaded
    model = _by_name(name, given)
    if not given.is_overridden:
        _said(model, name)
    say_noise(model)
    folder = PACKAGED.get(name, Path(name.removeprefix(LOCAL)))
    trained = load_head(folder, model) if (folder / CONFIG_FILE).is_file() else None
    return LoadedModel(model, *trained) if trained is not None else LoadedModel(model, cosine_head(model), None)


def _by_name(name: str, given: Checkpoint | None = None) -> VisionLanguageModel:
    """A model that needs nothing but its name; the checkpoint tells what is stated besides."""
    architecture, _, tag = name.rpartition("/")
    folder = PACKAGED.get(name, Path(name.removeprefix(LOCAL)))
    if name.startswith(SCHEME):
        return load_from_hub(name)
    if _is_of_transformers(folder):
        return load_transformers_folder(folder, None if given is None else given.preprocessing)
    if folder.is_dir():
        return load_folder(folder)
    if architecture in open_clip.list_models():
        return _untrained(architecture) if tag == UNTRAINED else from_open_clip(architecture, tag)
    raise _unknown(name)


def _untrained(architecture: str) -> VisionLanguageModel:
    """A model of random weights, the same ones whenever it is loaded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return from_open_clip(architecture, None)


def base_model(model: str, pretrained: str | None) -> VisionLanguageModel:
    """A model to start from.

    Args:
        model: An open_clip architecture, or what `load` takes by its name besides .ckpt files and tags.
        pretrained: Weights of an open_clip architecture as a tag, or of any model as a file; None leaves an
            architecture untrained. A tag is not used for the others.

    Raises:
        ValueError: If nothing of the kind is there.
    """
    if pretrained is not None and Path(pretrained).is_file():
        return load_beside(Checkpoint(architecture=model, weights=pretrained), _by_name)
    if model in open_clip.list_models() and not Path(model).is_dir():
        return from_open_clip(model, pretrained)
    if model.rpartition("/")[0] in open_clip.list_models() and not Path(model).is_dir():
        raise _unknown(model)
    return _said(_by_name(model), model)


def _said(model: VisionLanguageModel, name: str) -> VisionLanguageModel:
    """Says what a model is that others wrote, or nobody; others of open_clip's list and our own need no word."""
    architecture, _, tag = name.rpartition("/")
    if name.startswith(SCHEME):
        say_traits(model, "of the hub")
    elif _is_of_transformers(Path(name.removeprefix(LOCAL))):
        say_traits(model, "a model of transformers")
    elif tag == UNTRAINED and architecture in open_clip.list_models():
        say_traits(model, "untrained, with random weights: what it answers means nothing")
    return model


def _is_of_transformers(folder: Path) -> bool:
    return folder.is_dir() and is_transformers_folder(folder) and not (folder / CONFIG_FILE).is_file()


def _unknown(name: str) -> ValueError:
    return ValueError(
        f"expected model as one of {sorted(PACKAGED)}, a .ckpt file, a folder of open_clip's or transformers' form, "
        'hf-hub:NAME, or an open_clip architecture with its tag such as "ViT-B-32/openai", or one beside its weights, '
        f"got {name!r}, which is none of these and no existing folder"
    )


def load_model(
    name: str | Path | Checkpoint | None = None,
    *,
    architecture: str | None = None,
    weights: str | Path | None = None,
    activation: Activation | None = None,
    preprocessing: Preprocessing | None = None,
) -> VisionLanguageModel:
    """Loads a model without its head.

    Args:
        name: What `load` takes by its name, or a whole `Checkpoint`.
        architecture: See `Checkpoint`; for weights without a name, as the rest.
        weights: See `Checkpoint`.
        activation: See `Checkpoint`.
        preprocessing: See `Checkpoint`.

    Raises:
        ValueError: If nothing of the kind is there, or its parts do not fit each other.
    """
    if isinstance(name, Checkpoint):
        return load(name).model
    named, file = (None if part is None else str(part) for part in (name, weights))
    beside = Checkpoint(
        name=named, architecture=architecture, weights=file, activation=activation, preprocessing=preprocessing
    )
    return load(beside).model


def cosine_head(model: VisionLanguageModel) -> CosineHead:
    """The head of plain CLIP, with the model's own logit_scale.

    A `logit_bias`, as SigLIP's models have it, is common to all classes: it moves no label and no margin, and is left
    out. CLIP holds its scale at 100; the sigmoid loss that has the bias does not.
    """
    scale, has_bias = float(model.logit_scale.detach()), getattr(model.clip, "logit_bias", None) is not None
    head = CosineHead(max_logit_scale=max(scale, MAX_LOGIT_SCALE)) if has_bias else CosineHead()
    head.initialise(None, [], logit_scale=scale)
    return head.eval()


def _load_checkpoint(path: Path) -> LoadedModel:
    checkpoint = read_checkpoint(path)
    described = checkpoint.get(DESCRIPTION) if isinstance(checkpoint, dict) else None
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ValueError(f"expected a checkpoint of hrvlm's fine-tuning (format {FORMAT}) at {path}, got another kind")
    try:
        return _from_description(described, checkpoint["state_dict"])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected {path} to fit its own description of model and head: {problem}") from error


def _from_description(described: dict[str, Any], state: dict[str, Tensor]) -> LoadedModel:
    num_bytes = sum(part.numel() * part.element_size() for part in state.values() if isinstance(part, Tensor))
    files = described.get("files", {})
    model = from_config(described["config"], name=described["name"], num_bytes=num_bytes, files=files)
    head, weights = _part(state, "objective.head."), _part(state, "model.")
    check_finite({f"objective.head.{name}": value for name, value in head.items()} | weights, "model and head")
    model.load_state_dict(weights)
    return LoadedModel(model.eval(), rebuild_head(described, head), tuple(described["classes"]))


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
