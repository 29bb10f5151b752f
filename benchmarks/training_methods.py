"""What benchmarks/training.py compares: methods, each with and without noise, ablations, and how much is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.attacks.names import AttackSettings
from hrvlm.objectives import (
    AGFTObjective,
    CleanObjective,
    Consistency,
    FAREObjective,
    GuidedHierarchicalObjective,
    HierarchicalObjective,
    ImageTextContrastiveObjective,
    Objective,
    PMGAFTObjective,
    SubspaceAlignmentObjective,
    TeCoAObjective,
)
from hrvlm.objectives.settings import HeadSettings, LossWeights, TextPerturbation
from hrvlm.training.settings import TrainedParts

EPOCHS, BATCH_SIZE = 5, 128
EPS, STEPS, STEP_SIZE = 4 / 255, 3, 2 / 255
SIGMA = 0.25  # of the noise of training, in pixel units
SEEDS = 5
ONE_TREE = ("trees/emoji_unicode.yaml",)
FOREST = (*ONE_TREE, "trees/emoji_wordnet.yaml")
START_RATES = (1e-3, 2e-3, 4e-3)  # the grid grows by a factor of 2 while a method's choice lies on its edge
LEAST_RATE, LARGEST_RATE = 1.5625e-5, 3.2e-2
ATTACK: dict[str, Any] = {
    "threat_model": ThreatModel(eps=EPS),
    "ascent": Ascent(steps=STEPS, step_size=STEP_SIZE),
}
NOISY = " + noise"
PRETRAINED = "pretrained"
SPLITS = ("unseen_artist", "unseen_classes")
CERTIFIED_LEVELS = ("leaf", "group")
REFERENCE, SMOOTHED, GAUSSIAN = "hierarchical_images", "hierarchical_smoothed", "gaussian"


@dataclass(frozen=True)
class Method:
    """How to make one row of the comparison.

    Attributes:
        objective: Makes a fresh objective.
        trees: Tree files of training; their upper levels are those of evaluation too.
        noise: Standard deviation of the noise of training, in pixel units; 0 for none.
        copies: Noises of each picture in a step.
        consistency: Term over these copies, if any.
        captioned: Whether pictures come with captions, of superclasses too, beside their labels.
        epochs: Of training.
        trained: What is trained, and what is done with weights besides.
        seeds: Number of runs.
        rate_of: Label of the method whose chosen learning rate is used; None chooses its own.
        scored: Scores of validation that count where it is chosen: those whose names hold this word.
    """

    objective: Callable[[], Objective]
    trees: tuple[str, ...] = ONE_TREE
    noise: float = 0.0
    copies: int = 1
    consistency: Consistency | None = None
    captioned: bool = False
    epochs: int = EPOCHS
    trained: TrainedParts = TrainedParts()
    seeds: int = SEEDS
    rate_of: str | None = None
    scored: str = ""


def _weights(**weights: Any) -> LossWeights:
    """Weights of the loss, with images themselves aligned above the leaves unless said otherwise."""
    return LossWeights(**{"image_share": 1.0, **weights})


def _hierarchical(weights: LossWeights = _weights(), **switches: Any) -> Callable[[], Objective]:  # frozen
    return lambda: HierarchicalObjective(weights=weights, **{**ATTACK, **switches})


def _noisy(name: str) -> Method:
    """The same under noise, at the rate that was chosen without."""
    return replace(ADVERSARIAL[name], noise=SIGMA, rate_of=name)


def _ablation(trees: tuple[str, ...] = FOREST, **switches: Any) -> Method:
    return Method(_hierarchical(**switches), trees, seeds=1, rate_of=REFERENCE)


ADVERSARIAL: dict[str, Method] = {
    REFERENCE: Method(_hierarchical(), FOREST),
    "hierarchical_averages": Method(_hierarchical(_weights(image_share=0.0)), FOREST),
    "hierarchical_guided": Method(lambda: GuidedHierarchicalObjective(weights=_weights(), **ATTACK), FOREST),
    "tecoa": Method(lambda: TeCoAObjective(**ATTACK)),
    "pmg_aft": Method(lambda: PMGAFTObjective(**ATTACK)),
    "fare": Method(lambda: FAREObjective(**ATTACK)),
    "agft": Method(lambda: AGFTObjective(**ATTACK)),
    "aos": Method(lambda: SubspaceAlignmentObjective(**ATTACK)),
}
HIERARCHICAL = tuple(name for name in ADVERSARIAL if name.startswith("hierarchical"))
CAPTIONED = Method(lambda: ImageTextContrastiveObjective(**ATTACK), captioned=True)
CLEAN = Method(CleanObjective)

# SmoothAdv's objective at every level of a tree: one l2 perturbation of each picture, sought through its noise. Norm,
# budget, start, trees, weights of levels and batch norms that adapt were tried on validation pictures, see
# docs/methods.md.
ADAPTED = TrainedParts(freeze_batch_norm=False)
THROUGH_NOISE: dict[str, Any] = {
    "threat_model": ThreatModel("l2", 4 * SIGMA),
    "ascent": Ascent(steps=1, step_size=4 * SIGMA, random_start=False),
}
SMOOTH = Method(
    _hierarchical(_weights(levels=(1.5, 0.667, 0.333)), **THROUGH_NOISE), noise=SIGMA, epochs=10, trained=ADAPTED
)
# Under noise the clean objective is Gaussian augmentation, and TeCoA's with the same perturbation is SmoothAdv on the
# leaves alone: the difference to that is what tree, ball and perturbed texts add together. Their epochs take about the
# processor time of 10 of the smoothed method; results have the seconds of every run.
METHODS: dict[str, Method] = {
    **ADVERSARIAL,
    "image_text_contrastive": CAPTIONED,
    "clean": replace(CLEAN, scored="clean"),
    GAUSSIAN: replace(CLEAN, noise=SIGMA, epochs=20),
    "gaussian_adapted": replace(CLEAN, noise=SIGMA, epochs=20, trained=ADAPTED),
    "tecoa_smoothed": replace(SMOOTH, objective=lambda: TeCoAObjective(**THROUGH_NOISE), epochs=11),
    SMOOTHED: SMOOTH,
    **{name + NOISY: _noisy(name) for name in ADVERSARIAL},
}

ADAPTING = {
    f"{name}_adapted": name
    for name in ("hierarchical_guided", "tecoa", "pmg_aft", "agft", "aos", "image_text_contrastive")
}

# This project's own parts, then the paper's tables: parts of the loss, sources of negatives, strategies of the
# perturbation, sides of the norm order; last, batch norms that adapt, in the method and its strongest rivals.
ABLATIONS: dict[str, Method] = {
    "one_tree": _ablation(ONE_TREE),
    "euclidean": _ablation(weights=_weights(order=0.0, vicinity=0.0), head=HeadSettings(kind="cosine")),
    "text_directions": _ablation(head=HeadSettings(normalise_texts=True)),
    "hita": _ablation(weights=_weights(vicinity=0.0, order=0.0)),
    "hita_vicinity": _ablation(weights=_weights(order=0.0)),
    "hita_norm_order": _ablation(weights=_weights(vicinity=0.0)),
    "hnsa_none": _ablation(hnsa="none"),
    "hnsa_up": _ablation(hnsa="up"),
    "hnsa_down": _ablation(hnsa="down"),
    "perturb_leaf": _ablation(strategy="leaf"),
    "perturb_per_level": _ablation(strategy="per_level"),
    "text_unperturbed": _ablation(text_perturbation=TextPerturbation(eps=0.0)),
    "order_image_only": _ablation(weights=_weights(order_text=0.0)),
    "order_text_only": _ablation(weights=_weights(order_image=0.0)),
    **{name: replace(METHODS[of], trained=ADAPTED, seeds=1, rate_of=of) for name, of in ADAPTING.items()},
}
EVERYTHING = {**METHODS, **ABLATIONS}


def families() -> list[list[str]]:
    """Methods that choose a learning rate of their own which the same scores make comparable."""
    scores = {name: (method.noise, method.scored) for name, method in METHODS.items() if method.rate_of is None}
    return [[name for name in scores if scores[name] == kind] for kind in dict.fromkeys(scores.values())]


def named(label: str) -> dict[str, Any]:
    """What results call a method: its name, and the noise of its training."""
    noise = EVERYTHING[label].noise if label in EVERYTHING else 0.0
    return {"method": label.removesuffix(NOISY), "noise": noise}


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the same pictures, evenly spread over a split, for all methods.

    Attributes:
        epochs: Shortens every training to at most this many.
        batches: Shortens every epoch to at most this many batches; None for none.
        splits: Pictures that are measured.
        pgd: Pictures per split, clean and under PGD-20; None for all.
        apgd: Of these, under APGD-CE and APGD-T where PGD-20 left them standing; None for all.
        apgd_targets: Classes that APGD-T aims at there, the likeliest first.
        apgd_steps: Steps of both there; within AutoAttack they are those of `attack`.
        autoattack: Of these, under APGD-T at all its targets, FAB-T and Square where all before left them standing,
            for the first seed.
        certified: Pictures of each split that are certified.
        certified_bare: The same, of models that never saw noise, for the first seed.
        sigmas: Noise of certificates, in pixel units; seeds after the first are certified under that of training alone.
        n0, n: Selection and estimation samples per picture.
        tuning_n: Estimation samples where learning rates are chosen.
        attack: Effort of the attacks.
    """

    epochs: int = 1000
    batches: int | None = None
    splits: tuple[str, ...] = SPLITS
    pgd: int | None = None
    apgd: int | None = None
    apgd_targets: int = 3
    apgd_steps: int = 50
    autoattack: int = 100
    certified: dict[str, int] = field(default_factory=lambda: {"unseen_artist": 120, "unseen_classes": 40})
    certified_bare: dict[str, int] = field(default_factory=lambda: {"unseen_artist": 60})
    sigmas: tuple[float, ...] = (0.12, 0.25, 0.5)
    n0: int = 100
    n: int = 1000
    tuning_n: int = 200
    attack: AttackSettings = field(default_factory=AttackSettings)

    def setting(self) -> dict[str, Any]:
        """What results depend on, as JSON values."""
        fixed = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "eps": EPS, "steps": STEPS, "noise": SIGMA}
        return fixed | {"sizes": asdict(self) | {"sigmas": list(self.sigmas), "splits": list(self.splits)}}


FULL = Sizes()
TINY = Sizes(
    epochs=1,
    batches=1,
    splits=SPLITS[1:],
    pgd=12,
    apgd=9,
    apgd_targets=1,
    apgd_steps=2,
    autoattack=5,
    certified={"unseen_classes": 4},
    certified_bare={"unseen_classes": 2},
    sigmas=(0.12, 0.25),
    n0=4,
    n=20,
    tuning_n=10,
    attack=AttackSettings(apgd_steps=2, fab_steps=2, square_queries=3, max_targets=2),
)
