"""What every kind of certificate is asked."""

from __future__ import annotations

from hrvlm.certificates.sampling.plan import Statement
from hrvlm.models import HierarchicalClassifier


def statements(classifier: HierarchicalClassifier) -> list[Statement]:
    """One smoothing statement per level."""
    forest = classifier.forest
    levels = [(key, forest[key.tree], forest[key.tree].levels[key.level]) for key in classifier.keys]
    return [
        Statement(key=key, tree=tree.name, level=key.level, level_name=level.name, num_classes=len(level.ids))
        for key, tree, level in levels
    ]
