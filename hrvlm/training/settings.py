"""Settings that training modules share, as values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

# Former names of the optimiser's settings, which stood beside the others.
FORMER_OPTIMIZER = {name: f"optimizer.{name}" for name in ("learning_rate", "weight_decay", "warmup_steps")}


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW with a linear warm-up and a cosine to zero.

    Attributes:
        learning_rate: Peak >= 0 of the schedule.
        weight_decay: Decoupled weight decay >= 0.
        warmup_steps: Steps >= 0 until the peak.

    Raises:
        ValueError: If a number is negative or not finite.
    """

    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 20

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"expected {name} >= 0 and finite, got {value}")


@dataclass(frozen=True, kw_only=True)
class TrainedParts:
    """Which parts of a model are trained.

    Attributes:
        image_tower: Whether the image tower is trained; else its batch norms are frozen as well.
        text_projection: Whether the text projection is trained where the objective reaches it.
        freeze_batch_norm: Keeps batch-norm statistics as they are; perturbed batches would spoil them.
    """

    image_tower: bool = True
    text_projection: bool = True
    freeze_batch_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class TowerExecution:
    """How the image tower is computed in training.

    Attributes:
        compile_backend: Compiles it, usually with "inductor"; None leaves it as it is.
        checkpoint_activations: Saves memory by computing a vision transformer's activations twice.
    """

    compile_backend: str | None = None
    checkpoint_activations: bool = False


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """Size of a transformer decoder.

    Attributes:
        width: Features of a token, a multiple of `heads`.
        layers: Blocks.
        heads: Heads of attention in each block.
        dropout: Share of values in [0, 1) left out in training.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainingNoise:
    """Gaussian noise on the pictures of a batch.

    Attributes:
        share: Share in [0, 1] of the pictures that get noise.
        sigma: Largest standard deviation of that noise, drawn evenly from 0 on, in pixel units.
    """

    share: float = 0.5
    sigma: float = 0.25
