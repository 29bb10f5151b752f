"""What is done before the explorer's page is served: the model is loaded, and all is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrvlm.evaluation.subject import device_named
from hrvlm.explorer.exploring import Exploration, SharedModel, Start
from hrvlm.models import Checkpoint, LoadedModel, load
from hrvlm.trees import load_tree

EMOJI_TREES = ("emoji_unicode", "emoji_wordnet")


def prepared(
    checkpoint: Checkpoint | str,
    *,
    trees: Sequence[str] | None = None,
    classes: str | None = None,
    sigma: float = 0.1,
    device: str = "cpu",
) -> tuple[SharedModel, Start]:
    """A model to explore, and what its page shows first; computed once, so that nobody waits there for compilation.

    Args:
        checkpoint: See `hrvlm.models.load`.
        trees: Trees to begin with; None takes those of the packaged emoji where the model knows these, and no classes
            are given.
        classes: Class names with commas between them, to begin with.
        sigma: Noise to begin with, in pixel units.
        device: For example "cpu".

    Raises:
        ValueError: If checkpoint, trees, classes or device do not fit each other.
    """
    if trees and classes is not None:
        raise ValueError("expected trees or classes to begin with, got both; the page lets you change them")
    loaded = load(checkpoint)
    for part in (loaded.model, loaded.head):
        part.to(device_named(device))
    chosen: dict[str, Any] = {"trees": list(trees or ([] if classes is not None else fitting_trees(loaded)))}
    start = Start(sigma=sigma, **(chosen if classes is None else chosen | {"classes": classes}))
    shared = SharedModel(loaded)
    _compute_once(shared, start)
    return shared, start


def fitting_trees(loaded: LoadedModel) -> list[str]:
    """Shipped trees to begin with: those of the packaged emoji for models that know these, else none."""
    if loaded.classes is None:
        return list(EMOJI_TREES) if loaded.model.name == "emoji" else []
    return [name for name in EMOJI_TREES if set(loaded.classes) <= set(load_tree(name).leaves)]


def _compute_once(shared: SharedModel, start: Start) -> None:
    exploration = Exploration(shared)
    exploration.take(start.picture)
    exploration.choose(start.classes, start.trees)
    exploration.chosen.extents(start.source, start.target)
    next(exploration.chosen.votes(sigma=start.sigma, n=start.n, alpha=start.alpha))
