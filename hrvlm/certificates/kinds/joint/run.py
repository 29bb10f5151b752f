"""Joint certificates of the images of a data set, with the classifiers of a model: every level of every tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import check_changes
from hrvlm.certificates.kinds.classifiers import Classifiers, classifiers_of
from hrvlm.certificates.kinds.interface import Context
from hrvlm.certificates.kinds.joint.certify import certify_jointly, recount_jointly
from hrvlm.certificates.kinds.joint.options import Family, JointOptions, JointQuestions, JointSample, PromptPair
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.models import HierarchicalClassifier, LevelKey
from hrvlm.trees.words import with_name

if TYPE_CHECKING:
    from hrvlm.certificates.embedding.attributes import Attribute


def joint_families(classifiers: Mapping[str, HierarchicalClassifier]) -> list[Family]:
    """One family per kind of scorer and level."""
    return [_family(kind, classifier, key) for kind, classifier in classifiers.items() for key in classifier.keys]


def _family(kind: str, classifier: HierarchicalClassifier, key: LevelKey) -> Family:
    texts, tree = classifier.text_points(key), classifier.forest[key.tree]
    kept: list[AffineScorer] = []

    def scorer(points: Tensor) -> AffineScorer:
        if not kept:
            made = AffineScorer(*classifier.head.affine(points, texts))
            if made.bias.dim() == 2:  # it belongs to the norms of these very points
                return made
            kept.append(made)
        return kept[0]

    level = tree.levels[key.level]
    return Family(kind, tree.name, key.level, level.name, len(level.ids), classifier.head.lift_image, scorer)


def prompt_pairs(
    classifier: HierarchicalClassifier, attributes: Sequence[Attribute], label: int
) -> tuple[PromptPair, ...]:
    """The semantic changes of an image that a leaf names in the prompts."""
    noun, model = classifier.forest[0].levels[0].names[label], classifier.model
    check_changes(model, attributes, noun)
    pairs = []
    for attribute in attributes:
        prompts = (with_name(attribute.source, noun), with_name(attribute.target, noun))
        source, target = model.project_text(model.text_hidden(list(prompts)))
        pairs.append(PromptPair(attribute.name, prompts, source.double(), target.double()))
    return tuple(pairs)


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
    families = joint_families(chosen)

    def samples() -> Iterator[JointSample]:
        for sample in stream:
            leaf = sample.labels[context.classifier.keys[0]]
            targets = [sample.labels[key] for key in context.classifier.keys] * len(chosen)
            yield JointSample(
                index=sample.index,
                image=sample.image,
                labels={family.key: target for family, target in zip(families, targets, strict=True)},
                changes=prompt_pairs(
                    context.classifier, options.attributes, leaf if sample.named is None else sample.named
                ),
                named=sample.named,
            )

    asked = (samples(), families, context.plan, options.questions)
    given: dict[str, Any] = {"num_attributes": len(options.attributes), "batch_size": context.batch_size}
    if context.features is None:
        return certify_jointly(context.classifier.model.encode_image, *asked, device=context.device, **given)
    return recount_jointly(context.features, *asked, **given)
