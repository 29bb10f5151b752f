"""What benchmarks/training.py compares: methods, ablations, and the learning rates that all may choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hrvlm.objectives import (
    CleanObjective,
    FAREObjective,
    HierarchicalObjective,
    Objective,
    PMGAFTObjective,
    TeCoAObjective,
)

EPOCHS, BATCH_SIZE = 5, 128
EPS, STEPS, STEP_SIZE = 4 / 255, 3, 2 / 255
ONE_TREE = ("trees/emoji_unicode.yaml",)
FOREST = (*ONE_TREE, "trees/emoji_wordnet.yaml")
LEARNING_RATES = (5e-4, 1e-3, 2e-3)
ATTACK = {"eps": EPS, "steps": STEPS, "step_size": STEP_SIZE}


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


def _hierarchical(**switches: object) -> Callable[[], Objective]:
    return lambda: HierarchicalObjective(**{**ATTACK, "image_share": 1.0, **switches})  # type: ignore[arg-type]


def _ablation(**switches: object) -> Method:
    return Method(_hierarchical(**switches), FOREST, seeds=1, rate_of="hierarchical_forest")


METHODS: dict[str, Method] = {
    "hierarchical_forest": Method(_hierarchical(), FOREST),
    "hierarchical_tree": Method(_hierarchical(), rate_of="hierarchical_forest"),
    "hierarchical_euclidean": Method(
        _hierarchical(head="cosine", lambda_order=0.0, lambda_vicinity=0.0), FOREST, rate_of="hierarchical_forest"
    ),
    "tecoa": Method(lambda: TeCoAObjective(**ATTACK)),
    "pmg_aft": Method(lambda: PMGAFTObjective(**ATTACK)),
    "fare": Method(lambda: FAREObjective(**ATTACK)),
    "clean": Method(CleanObjective),
}

# This project's own parts, then the paper's tables: parts of the loss, sources of negatives, strategies of the
# perturbation, sides of the norm order.
ABLATIONS: dict[str, Method] = {
    "align_averages": _ablation(image_share=0.0),
    # Two candidates for the method itself, from when texts were directions: on file with a learning rate chosen from
    # the grid and more than one seed. Run anew they are ablations as the others: the forest's rate, one seed.
    "text_directions": _ablation(normalise_texts=True),
    "text_directions_averages": _ablation(normalise_texts=True, image_share=0.0),
    "hita": _ablation(lambda_vicinity=0.0, lambda_order=0.0),
    "hita_vicinity": _ablation(lambda_order=0.0),
    "hita_norm_order": _ablation(lambda_vicinity=0.0),
    "hnsa_none": _ablation(hnsa="none"),
    "hnsa_up": _ablation(hnsa="up"),
    "hnsa_down": _ablation(hnsa="down"),
    "perturb_leaf": _ablation(strategy="leaf"),
    "perturb_per_level": _ablation(strategy="per_level"),
    "text_unperturbed": _ablation(eps_text=0.0),
    "order_image_only": _ablation(lambda_order_text=0.0),
    "order_text_only": _ablation(lambda_order_image=0.0),
}
