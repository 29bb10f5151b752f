"""What benchmarks/training.py compares: methods, ablations, and the learning rates that all may choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import (
    CleanObjective,
    FAREObjective,
    HierarchicalObjective,
    Objective,
    PMGAFTObjective,
    TeCoAObjective,
)
from hrvlm.objectives.settings import HeadSettings, LossWeights, TextPerturbation

EPOCHS, BATCH_SIZE = 5, 128
EPS, STEPS, STEP_SIZE = 4 / 255, 3, 2 / 255
ONE_TREE = ("trees/emoji_unicode.yaml",)
FOREST = (*ONE_TREE, "trees/emoji_wordnet.yaml")
LEARNING_RATES = (5e-4, 1e-3, 2e-3)
ATTACK: dict[str, Any] = {
    "threat_model": ThreatModel(eps=EPS),
    "ascent": Ascent(steps=STEPS, step_size=STEP_SIZE),
}


@dataclass(frozen=True)
class Method:
    """How to make one row of the comparison.

    Attributes:
        objective: Makes a fresh objective.
        trees: Tree files of training; their upper levels are those of evaluation too.
        seeds: Number of runs.
        rate_of: Method whose chosen learning rate is used; None chooses its own.
    """

    objective: Callable[[], Objective]
    trees: tuple[str, ...] = ONE_TREE
    seeds: int = 3
    rate_of: str | None = None


def _weights(**weights: float) -> LossWeights:
    """Weights of the loss, with images themselves aligned above the leaves unless said otherwise."""
    return LossWeights(**{"image_share": 1.0, **weights})


def _hierarchical(weights: LossWeights = _weights(), **switches: Any) -> Callable[[], Objective]:  # frozen
    return lambda: HierarchicalObjective(weights=weights, **ATTACK, **switches)


def _ablation(**switches: Any) -> Method:
    return Method(_hierarchical(**switches), FOREST, seeds=1, rate_of="hierarchical_forest")


METHODS: dict[str, Method] = {
    "hierarchical_forest": Method(_hierarchical(), FOREST),
    "hierarchical_tree": Method(_hierarchical(), rate_of="hierarchical_forest"),
    "hierarchical_euclidean": Method(
        _hierarchical(_weights(order=0.0, vicinity=0.0), head=HeadSettings(kind="cosine")),
        FOREST,
        rate_of="hierarchical_forest",
    ),
    "tecoa": Method(lambda: TeCoAObjective(**ATTACK)),
    "pmg_aft": Method(lambda: PMGAFTObjective(**ATTACK)),
    "fare": Method(lambda: FAREObjective(**ATTACK)),
    "clean": Method(CleanObjective),
}

DIRECTIONS = HeadSettings(normalise_texts=True)
# This project's own parts, then the paper's tables: parts of the loss, sources of negatives, strategies of the
# perturbation, sides of the norm order.
ABLATIONS: dict[str, Method] = {
    "align_averages": _ablation(weights=_weights(image_share=0.0)),
    # Two candidates for the method itself, from when texts were directions: on file with a learning rate chosen from
    # the grid and more than one seed. Run anew they are ablations as the others: the forest's rate, one seed.
    "text_directions": _ablation(head=DIRECTIONS),
    "text_directions_averages": _ablation(head=DIRECTIONS, weights=_weights(image_share=0.0)),
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
}
