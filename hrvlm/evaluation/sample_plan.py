"""How many noise samples for which loss of mean radius or certified accuracy: by a law, or by the rows of a pilot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hrvlm.certificates.noise.sigma import check_sigma
from hrvlm.certificates.planning.laws import BetaLaw, ProbabilityLaw, UniformLaw
from hrvlm.certificates.planning.sample_size import Question, check_samples
from hrvlm.certificates.statistics.radii import operational_threshold

RADII = (0.0, 0.1, 0.2, 0.3)
"""At which certified accuracy is forecast where nobody asks for others and all can be reached."""


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What is planned.

    Attributes:
        sigma: Standard deviation of the noise, in pixel units.
        alpha: Error probability per image.
        statements: Levels of an image that share alpha.
        loss: Share of the mean radius that may be lost; with `radius`, of the images certified there.
        radius: L2 radius at which certified accuracy counts; null to plan for the mean radius.
        radii: L2 radii at which certified accuracy is forecast; null takes 0, 0.1, 0.2 and 0.3, or round ones if
            the answer cannot reach these.
        low: Without beta or pilot: class probabilities are uniform between this and 1.
        beta: Two parameters of a Beta law of the class probability.
        pilot: certificates.jsonl of a small run; its counts are the law, and are not used in any certificate.
        tree: Tree of the pilot's rows, or oracle of the answers; the first one if null.
        level: Level of the pilot's rows.
        samples: Numbers of samples that are forecast beside the answer.
        reference: Samples that the loss is measured against.
        threshold: Probability that the class must keep.
        votes: Samples of a deployed vote, which then sets the threshold.
        vote_error: Error probability of one deployed answer.
        json: Whether to print JSON instead of a table.
    """

    sigma: float = 0.25
    alpha: float = 0.001
    statements: int = 1
    loss: float = 0.1
    radius: float | None = None
    radii: list[float] | None = None
    low: float = 0.5
    beta: list[float] | None = None
    pilot: str | None = None
    tree: str | None = None
    level: int = 0
    samples: list[int] = field(default_factory=lambda: [100, 1000, 10_000])
    reference: int = 100_000
    threshold: float = 0.5
    votes: int | None = None
    vote_error: float = 0.05
    json: bool = False

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if self.beta is not None and len(self.beta) != 2:
            raise ValueError(f"expected two parameters in beta, got {self.beta}")
        if self.beta is not None and self.pilot is not None:
            raise ValueError("expected beta or pilot, got both")
        if self.statements < 1:
            raise ValueError(f"expected statements >= 1, got {self.statements}")
        if not self.samples or not min(self.radii or [], default=0.0) >= 0:
            raise ValueError(f"expected at least one of samples and radii >= 0, got {self.samples} and {self.radii}")
        for n in (*self.samples, self.reference):
            check_samples(n)
        if self.votes is not None and self.threshold != 0.5:
            raise ValueError("expected threshold or votes, got both: votes set the threshold")


def question_of(settings: PlanSettings) -> Question:
    """What is planned: the law of class probabilities, and what is asked of each certificate.

    Raises:
        ValueError: If the pilot's file holds no row to plan by.
    """
    return Question(
        law=_law(settings),
        alpha=settings.alpha / settings.statements,
        sigma=settings.sigma,
        threshold=_threshold(settings),
    )


def _threshold(settings: PlanSettings) -> float:
    if settings.votes is None:
        return settings.threshold
    return operational_threshold(settings.votes, settings.vote_error)


def _law(settings: PlanSettings) -> ProbabilityLaw:
    if settings.pilot is not None:
        from hrvlm.evaluation.pilot import law_of_pilot  # rows, which other laws need not wait for

        return law_of_pilot(Path(settings.pilot), settings.tree, settings.level)
    return UniformLaw(settings.low) if settings.beta is None else BetaLaw(*settings.beta)
