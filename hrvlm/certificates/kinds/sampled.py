"""Fields that the records of counted noisy copies share."""

from __future__ import annotations

from dataclasses import dataclass

from hrvlm.certificates.statistics.claim import SEPARATE


@dataclass(frozen=True, kw_only=True)
class SampledFields:
    """What every record of counted noisy copies says of how they were drawn.

    Attributes:
        sigma: standard deviation of the noise, in pixel units.
        noise_space: where the noise is added, in words.
        alpha: error probability for all statements of the image together.
        alpha_share: the part of alpha spent on this statement.
        num_statements: number of statements of the image that share alpha.
        n0: number of selection samples.
        n: number of estimation samples.
        seed: seed of the noise.
        float_mode: arithmetic of the noise; float32 is not sound against floating-point rounding.
        split: how the class was chosen.
        threshold: probability that the class keeps within the radius; 1/2 makes it the majority.
        precision: arithmetic of the forward pass, part of the base classifier.
        label_functions: label functions (sets of prompts, trees, levels) on the same noise that share alpha.
        functions_chosen: "before" any result on the same noise was seen, or "after"; alpha does not cover the latter.
    """

    sigma: float
    noise_space: str
    alpha: float
    alpha_share: float
    num_statements: int
    n0: int
    n: int
    seed: int
    float_mode: str = "float32"
    split: str = SEPARATE
    threshold: float = 0.5
    precision: str = "float32"
    label_functions: int = 1
    functions_chosen: str = "before"


@dataclass(frozen=True, kw_only=True)
class ClassifiedFields(SampledFields):
    """The same, where a classifier labels the copies.

    Attributes:
        votes: samples of the deployed vote that the threshold stands for, or None.
        vote_error: error probability of one such vote, or None.
        invalid: estimation samples without a valid label (no finite scores); they count for no class.
        invalid_selection: selection samples without a valid label.
        noise_shared: whether models of other epochs of one training run meet the same noise: alpha covers each of them,
            not the choice of an epoch by such rows.
    """

    votes: int | None = None
    vote_error: float | None = None
    invalid: int = 0
    invalid_selection: int = 0
    noise_shared: bool = False
