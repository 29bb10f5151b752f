"""Joint certificates of the images of a data set, with the classifiers of a model: every level of every tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hrvlm.certificates.kinds.classifiers import Classifiers, classifiers_of
from hrvlm.certificates.kinds.interface import Context
from hrvlm.certificates.kinds.joint.certify import certify_jointly, recount_jointly
from hrvlm.certificates.kinds.joint.options import Family, JointOptions, JointQuestions, JointSample, PromptPair
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.prompts import ChangePrompts, NamedPrompts
from hrvlm.certificates.kinds.scorers import LevelScorers
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.models import HierarchicalClassifier, LevelKey

if TYPE_CHECKING:
    from hrvlm.certificates.embedding.attributes import Attribute


def joint_families(classifiers: Classifiers) -> list[Family]:
    """One family per kind of scorer and level."""
    scorers = LevelScorers(classifiers)
    return [_family(scorers, kind, key) for kind, classifier in classifiers.items() for key in classifier.keys]


def _family(scorers: LevelScorers, kind: str, key: LevelKey) -> Family:
    classifier = scorers.classifiers[kind]
    tree = classifier.forest[key.tree]
    level, scorer = tree.levels[key.level], partial(scorers, kind, key)
    return Family(kind, tree.name, key.level, level.name, len(level.ids), classifier.head.lift_image, scorer)


class PromptPairs:
    """The semantic changes of images by the leaf that names them in the prompts, made once for each leaf.

    Args:
        classifier: its model embeds the prompts.
        attributes: the changes.
    """

    def __init__(self, classifier: HierarchicalClassifier, attributes: Sequence[Attribute]) -> None:
        self._nouns = classifier.forest[0].levels[0].names
        # Each change alone: what a text becomes depends, in its last digits, on those that it is embedded with.
        self._prompts = {change.name: ChangePrompts(classifier.model, [change]) for change in attributes}

    def __call__(self, label: int) -> tuple[PromptPair, ...]:
        """Those of an image that is named by a leaf."""
        return tuple(self._pair(name, prompts(self._nouns[label])) for name, prompts in self._prompts.items())

    @staticmethod
    def _pair(name: str, prompts: NamedPrompts) -> PromptPair:
        source, target = prompts.texts
        return PromptPair(name, (source, target), prompts.source[0], prompts.target[0])


def chosen_classifiers(classifier: HierarchicalClassifier, questions: JointQuestions) -> Classifiers:
    """Those that are certified, per name of their scorer: the own head's, and plain cosines if asked for."""
    return dict(list(classifiers_of(classifier).items())[: None if questions.plain_cosine else 1])


def certify(context: Context, stream: Iterable[Sample]) -> Iterator[list[JointRecord]]:
    """Joint certificates of images, all records of one image at a time.

    Args:
        context: the classifier, whose features of draws 0 to n0 + n - 1 may be known already.
        stream: images, as they are certified, with true labels per level.
    """
    options: JointOptions = context.options
    chosen = chosen_classifiers(context.classifier, options.questions)
    families, changes = joint_families(chosen), PromptPairs(context.classifier, options.attributes)

    def samples() -> Iterator[JointSample]:
        for sample in stream:
            leaf = sample.labels[context.classifier.keys[0]]
            targets = [sample.labels[key] for key in context.classifier.keys] * len(chosen)
            yield JointSample(
                index=sample.index,
                image=sample.image,
                labels={family.key: target for family, target in zip(families, targets, strict=True)},
                changes=changes(leaf if sample.named is None else sample.named),
                named=sample.named,
            )

    asked = (samples(), families, context.plan, options.questions)
    given: dict[str, Any] = {"num_attributes": len(options.attributes), "batch_size": context.batch_size}
    if context.features is None:
        return certify_jointly(context.classifier.model.encode_image, *asked, device=context.device, **given)
    return recount_jointly(context.features, *asked, **given)
