"""The classifiers of a model as certificates see them."""

from __future__ import annotations

from hrvlm.certificates.sampling.plan import Statement
from hrvlm.models import CosineHead, HierarchicalClassifier

Classifiers = dict[str, HierarchicalClassifier]


def statements(classifier: HierarchicalClassifier) -> list[Statement]:
    """One smoothing statement per level."""
    forest = classifier.forest
    levels = [(key, forest[key.tree], forest[key.tree].levels[key.level]) for key in classifier.keys]
    return [
        Statement(key=key, tree=tree.name, level=key.level, level_name=level.name, num_classes=len(level.ids))
        for key, tree, level in levels
    ]


def scorers_of(classifier: HierarchicalClassifier) -> list[str]:
    """Names of the scorers that certificates of embeddings are made for: the own head's, and plain cosines."""
    return list(dict.fromkeys((classifier.head.scorer, CosineHead.scorer)))


def classifiers_of(classifier: HierarchicalClassifier) -> Classifiers:
    """A classifier per scorer: the own one, and plain cosines over the same features."""
    own, *others = scorers_of(classifier)
    if not others:
        return {own: classifier}
    cosine = HierarchicalClassifier(classifier.model, CosineHead(logit_scale=1.0), classifier.forest)
    return {own: classifier, CosineHead.scorer: cosine.to(classifier.text_points(classifier.keys[0]).device)}
