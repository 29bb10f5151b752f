"""Settings that training modules share, as values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from hrvlm.objectives.noise_terms import Consistency, MaximizedRadius, NoiseTerms
from hrvlm.training.averaging import check_decay
from hrvlm.training.pictured_changes import PicturedChanges

NoiseMode = Literal["fixed", "uniform"]
MOST_COPIES = 64  # each costs a pass of every picture
LARGEST_SIGMA = 2.0  # of noise on pixels in [0, 1], as in certification: more leaves nothing of them

# Former names of the optimiser's settings, which stood beside the others.
FORMER_OPTIMIZER = {name: f"optimizer.{name}" for name in ("learning_rate", "weight_decay", "warmup_steps")}
# And those of what is trained and how its tower is computed.
FORMER_FINE_TUNING = FORMER_OPTIMIZER | {
    "train_image_tower": "trained.image_tower",
    "train_text_projection": "trained.text_projection",
    **{name: f"trained.{name}" for name in ("freeze_batch_norm", "average_decay")},
    **{name: f"tower.{name}" for name in ("compile_backend", "checkpoint_activations")},
}


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
class WeightPerturbation:
    """How far weights are moved before each step of training, which costs one more forward and backward pass.

    Source: Wu et al., NeurIPS 2020 (arXiv 2004.05884), see `hrvlm.training.weight_perturbation`.

    Attributes:
        gamma: Length >= 0 of the move of a layer's weights, as a share of their norm.
        start_epoch: First epoch, from 0, in which weights are moved.

    Raises:
        ValueError: If a number is out of range.
    """

    gamma: float = 0.005
    start_epoch: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma < 1.0:
            raise ValueError(f"expected gamma in [0, 1) of the weight perturbation, got {self.gamma}: 0.005 is usual")
        if self.start_epoch < 0:
            raise ValueError(f"expected start_epoch >= 0 of the weight perturbation, got {self.start_epoch}")


@dataclass(frozen=True, kw_only=True)
class PathAlignment(PicturedChanges):
    """Pulls pictures of semantic changes to where certificates expect them, see `hrvlm.training.path_alignment`.

    Attributes:
        weight: Of the term, >= 0, beside the objective's loss.
        share: Share in (0, 1] of a batch of which a picture of some change is shown as well.

    Raises:
        ValueError: If a number is out of range, or changes have no pictures.
    """

    weight: float = 1.0
    share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"expected weight >= 0 and finite of the path alignment, got {self.weight}")
        if not 0 < self.share <= 1:
            raise ValueError(
                f"expected share in (0, 1] of the path alignment, got {self.share}: leave the alignment out for none"
            )
        if shown := [change.name for change in self.changes() if change.shown]:
            raise ValueError(
                f"expected changes whose end words name in the path alignment, got {shown[0]!r} with pictures or "
                "appearances of its target: leave these out, and name a sequence"
            )


@dataclass(frozen=True, kw_only=True)
class TrainedParts:
    """Which parts of a model are trained, and what is done with their weights besides.

    Attributes:
        image_tower: Whether the image tower is trained; else its batch norms are frozen as well.
        text_projection: Whether the text projection is trained where the objective reaches it.
        freeze_batch_norm: Keeps batch-norm statistics as they are; perturbed batches would spoil them. Off, they adapt
            to what the tower is shown, steps of the perturbation included, as may be wanted under noise.
        average_decay: Decay of an exponential moving average of the weights, such as 0.999, which is then what is
            validated, certified, exported and stored as the checkpoint's model; null for none.
        weight_perturbation: Takes each step of training at weights that were moved to raise its loss; null for none.
        alignment: Pulls pictures of semantic changes to where certificates expect them; null for none.

    Raises:
        ValueError: If the decay is not in (0, 1).
    """

    image_tower: bool = True
    text_projection: bool = True
    freeze_batch_norm: bool = True
    average_decay: float | None = None
    weight_perturbation: WeightPerturbation | None = None
    alignment: PathAlignment | None = None

    def __post_init__(self) -> None:
        if self.average_decay is not None:
            check_decay(self.average_decay)


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
    """Gaussian noise on the pictures of a batch (Cohen et al., ICML 2019, arXiv 1902.02918).

    Attributes:
        sigma: Standard deviation > 0 of the noise in pixel units of [0, 1], before any resizing; at most 2.
        mode: "fixed": every picture's noise has that deviation; "uniform": one drawn evenly from [0, sigma] for each
            picture, so that a model serves several.
        share: Share in [0, 1] of the pictures that get noise; the others are shown without.
        copies: Noises m >= 1 of each picture in a step. Objectives that smooth (`Objective.smooths`) seek their
            perturbation through all of them and average probabilities; the loss of others is the mean over them.
        consistency: Weights of consistency regularisation over the copies, of which there are two or more then; null
            for none.
        radius: Weights of MACER's term on the certified radius, best with several copies; null for none.

    Raises:
        ValueError: If a number is out of range or the mode unknown.
    """

    sigma: float = 0.25
    mode: NoiseMode = "fixed"
    share: float = 1.0
    copies: int = 1
    consistency: Consistency | None = None
    radius: MaximizedRadius | None = None

    @property
    def terms(self) -> NoiseTerms:
        """What is added to the objective's loss."""
        return NoiseTerms(consistency=self.consistency, radius=self.radius)

    def check_plain(self, name: str, why: str) -> None:
        """Refuses what only objectives on classes make use of.

        Args:
            name: Of the argument.
            why: End of "terms on classes, which …".

        Raises:
            ValueError: If there are several copies or terms.
        """
        if self.copies > 1 or self.terms != NoiseTerms():
            raise ValueError(
                f"expected {name} of one copy and without terms on classes, which {why}, got copies {self.copies}, "
                f"consistency {self.consistency}, radius {self.radius}: leave them out"
            )

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma <= LARGEST_SIGMA:
            hint = f": write {self.sigma:g}/255" if LARGEST_SIGMA < self.sigma <= 255 else ""
            raise ValueError(
                f"expected sigma of the noise in (0, {LARGEST_SIGMA:g}], for pixels in [0, 1], got {self.sigma}{hint}"
            )
        if self.mode not in get_args(NoiseMode):
            raise ValueError(
                f"expected mode of the noise as one of {', '.join(get_args(NoiseMode))}, got {self.mode!r}"
            )
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"expected share of the noise in [0, 1], got {self.share}: 1 gives it to every picture")
        least = 1 if self.consistency is None else 2
        if not least <= self.copies <= MOST_COPIES:
            why = ": consistency compares copies of a picture" if least == 2 and self.copies == 1 else ""
            raise ValueError(f"expected copies of the noise from {least} to {MOST_COPIES}, got {self.copies}{why}")
