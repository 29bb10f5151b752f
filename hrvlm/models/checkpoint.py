"""What a model is loaded from, as a value: a name, or weights beside a stated architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
Preprocessing = Literal["openai", "imagenet", "inception", "none"]

UNTRAINED = "none"
"""The tag of weights that are drawn at random."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a model is loaded from; see `hrvlm.models.load`.

    Attributes:
        name: A path or a name, if it says all: a .ckpt of training, a folder, an open_clip name with its tag, …
        architecture: An open_clip architecture, alone ("ViT-B-32") or with the tag of the weights that a file leaves
            open ("ViT-B-32/openai").
        weights: A file of weights for the architecture.
        activation: Takes the place of the activation that architecture or checkpoint state; null for theirs.
        preprocessing: Takes the place of mean and standard deviation that architecture or checkpoint state: "openai"
            (CLIP's own), "imagenet", "inception" (0.5 each, as SigLIP's) or "none"; null for theirs.
        denoiser: Folder of a denoiser that images go through first; see `hrvlm.models.denoisers.load_denoiser`.
        denoiser_sigma: Noise in pixel units that a diffusion model as denoiser takes off; null for other denoisers.
    """

    name: str | None = None
    architecture: str | None = None
    weights: str | None = None
    activation: Activation | None = None
    preprocessing: Preprocessing | None = None
    denoiser: str | None = None
    denoiser_sigma: float | None = None

    def __post_init__(self) -> None:
        for name, choices in (("activation", get_args(Activation)), ("preprocessing", get_args(Preprocessing))):
            if getattr(self, name) not in (None, *choices):
                raise ValueError(f"expected {name} as one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.name is not None and (self.architecture is not None or self.weights is not None):
            raise ValueError(
                f"expected a checkpoint by its name alone or by architecture and weights, got {self.name!r} and both; "
                "leave one out"
            )
        if self.name is None and (self.architecture is None or self.weights is None):
            given = {"architecture": self.architecture, "weights": self.weights}
            said = " and ".join(f"{key} {value!r}" for key, value in given.items() if value is not None)
            raise ValueError(
                'expected a checkpoint by its name, or an architecture such as "ViT-B-32" and a file of weights, got '
                f"{said or 'neither'}"
            )
        if self.denoiser is None and self.denoiser_sigma is not None:
            raise ValueError(f"expected denoiser_sigma with a denoiser, got {self.denoiser_sigma} without one")

    def __str__(self) -> str:
        """As records and pages call it."""
        named = self.name if self.name is not None else f"{self.architecture} with {Path(str(self.weights)).name}"
        return named if self.denoiser is None else f"{named} behind the denoiser {Path(self.denoiser).name}"

    @property
    def path(self) -> Path:
        """The file or folder, if it is one; else the name as a path."""
        return Path(self.name if self.name is not None else str(self.weights))

    @property
    def is_overridden(self) -> bool:
        """Whether activation or preprocessing are stated."""
        return self.activation is not None or self.preprocessing is not None


def as_checkpoint(given: str | Path | Checkpoint) -> Checkpoint:
    """The value of a checkpoint that may be given by its name alone."""
    return given if isinstance(given, Checkpoint) else Checkpoint(name=str(given))


def name_alone(given: str | Path | Checkpoint, what: str) -> str:
    """The name of a checkpoint where nothing but a name is understood.

    Args:
        given: The checkpoint.
        what: What understands names alone, for the message.

    Raises:
        ValueError: If it is more than a name.
    """
    checkpoint = as_checkpoint(given)
    if checkpoint.name is None or checkpoint.is_overridden or checkpoint.denoiser is not None:
        raise ValueError(f"expected {what} by its name alone, got also architecture, weights, activation or such")
    return checkpoint.name


def stated(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint states besides its name, by name; nothing for what is known by its name alone."""
    names = ("architecture", "weights", "activation", "preprocessing", "denoiser", "denoiser_sigma")
    return {name: value for name in names if (value := getattr(checkpoint, name)) is not None}
