"""What joint certificates are asked for, and of what: classifiers over embeddings, semantic changes, images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.joint.claim import needed_count
from hrvlm.certificates.kinds.joint.grid import ExtentGrid, Move
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.plan import SmoothingPlan


@dataclass(frozen=True, kw_only=True)
class JointQuestions:
    """What joint certificates are asked for; radii and extents are fixed in advance, before any noise is drawn.

    Attributes:
        radii: L2 radii, in pixel units, at which the extent is wanted.
        extents: Extents, in radians or shares of the way, at which the radius is wanted.
        move: "turn": from source to target by an angle, 0 to pi; "target": from the copy's own angle to the target's.
        steps: Steps of the range of extents that copies are counted on; at most 2^20.
        plain_cosine: Whether plain cosines are certified too where the head is hyperbolic; they share alpha.
    """

    radii: list[float] = field(default_factory=lambda: [0.05])
    extents: list[float] = field(default_factory=list)
    move: Move = "turn"
    steps: int = 256
    plain_cosine: bool = False

    def __post_init__(self) -> None:
        grid = self.grid
        for extent in self.extents:
            grid.step_above(extent)
        if any(not 0 <= radius < float("inf") for radius in self.radii):
            raise ValueError(f"expected radii >= 0 and finite, got {self.radii}: give them in pixel units of [0, 1]")
        if len(set(self.radii)) != len(self.radii) or len(set(self.extents)) != len(self.extents):
            raise ValueError(f"expected different radii and extents, got {self.radii} and {self.extents}")
        if not self.radii and not self.extents:
            raise ValueError("expected at least one radius or extent of joint certificates, got none")

    @property
    def grid(self) -> ExtentGrid:
        """Where extents are counted."""
        return ExtentGrid(self.move, self.steps)

    def num_statements(self, families: int) -> int:
        """Statements of an image that share alpha."""
        return families * (len(self.radii) + len(self.extents))

    def check(self, plan: SmoothingPlan, families: int) -> None:
        """Raise ValueError if n is too small to certify a radius at this alpha, however sure the classifier."""
        share = plan.alpha_share(self.num_statements(families))
        for radius in [*self.radii, *([0.0] if self.extents else [])]:
            if needed_count(plan.n, share, radius, plan.sigma, threshold=plan.tau) > plan.n:
                raise ValueError(
                    f"expected an n that can certify the radius {radius:g} jointly at alpha={plan.alpha:g} shared by "
                    f"{self.num_statements(families)} statements, got n={plan.n}: raise n or sigma, or ask for less"
                )


@dataclass(frozen=True)
class JointOptions:
    """What joint certificates are asked for, and of which changes.

    Attributes:
        attributes: semantic changes.
        questions: radii and extents.
    """

    attributes: Sequence[Attribute]
    questions: JointQuestions


@dataclass(frozen=True, eq=False)
class Family:
    """One classifier over embeddings: a level of a tree under one kind of scorer.

    Attributes:
        scorer_kind: "cosine" or "poincare".
        tree: name of the class tree.
        level: 0 for the leaves.
        level_name: name of the level.
        num_classes: number of classes.
        lift: features `(B, D)` to points `(B, D)`.
        scorer: points `(B, D)` to the scorer of exactly these points.
    """

    scorer_kind: str
    tree: str
    level: int
    level_name: str
    num_classes: int
    lift: Callable[[Tensor], Tensor]
    scorer: Callable[[Tensor], AffineScorer]

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies it among the families of a run."""
        return (self.scorer_kind, self.tree, self.level)


@dataclass(frozen=True, eq=False)
class PromptPair:
    """A semantic change of one image.

    Attributes:
        attribute: its name.
        prompts: source and target prompt.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
    """

    attribute: str
    prompts: tuple[str, str]
    source: Tensor
    target: Tensor


@dataclass(frozen=True, eq=False)
class JointSample(Sample):
    """An image with its semantic changes; `labels` are true labels by `Family.key`."""

    changes: tuple[PromptPair, ...] = ()
