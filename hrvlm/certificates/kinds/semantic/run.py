"""Semantic-extent certificates of the images of a data set, with the classifiers of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import Attribute, check_changes
from hrvlm.certificates.embedding.rotation import ImageExtent, Rotation, image_extent
from hrvlm.certificates.kinds.interface import statements
from hrvlm.certificates.kinds.semantic.certify import Extent, semantic_partition
from hrvlm.certificates.kinds.semantic.evidence import semantic_evidence
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.geometry.sphere import normalise
from hrvlm.models import CosineHead, HierarchicalClassifier, one_thread
from hrvlm.models.pixels import clean_picture
from hrvlm.rows.record import Key, Record
from hrvlm.trees.words import with_name

if TYPE_CHECKING:
    from hrvlm.certificates.run.plan import CertificationPlan

Classifiers = dict[str, HierarchicalClassifier]
References = Callable[[Attribute, int], Tensor]
"""Pictures `(M, 3, H, W)` in [0, 1] that show the target of an attribute for the image of an index."""


def classifiers_of(classifier: HierarchicalClassifier) -> Classifiers:
    """The classifier's own head, and plain cosines over the same features."""
    if isinstance(classifier.head, CosineHead):
        return {"cosine": classifier}
    cosine = HierarchicalClassifier(classifier.model, CosineHead(logit_scale=1.0), classifier.forest)
    return {"poincare": classifier, "cosine": cosine.to(classifier.text_points(classifier.keys[0]).device)}


def semantic_records(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    done: Iterable[Key],
    kept: FeatureStore | None = None,
    references: References | None = None,
) -> Iterator[list[Record]]:
    """Semantic certificates of images, one by one in one thread: no digit may depend on batches or cores.

    Args:
        classifier: classifiers of every level.
        data: map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: which images.
        plan: which certificates.
        done: keys of records that exist already; an image with all of them is left out.
        kept: features of an earlier pass, used instead of the image tower.
        references: where pictures of targets come from.

    Raises:
        ValueError: if the plan names pictures of targets and `references` is None.
    """
    finished, classifiers = set(done), classifiers_of(classifier)
    device = classifier.text_points(classifier.keys[0]).device
    targets = TargetDirections(classifier, references)
    names = [(scorer, change.name, change.target_kind) for scorer in classifiers for change in plan.attributes]
    asked = [(s.tree, s.level, *name) for s in statements(classifier) for name in names]
    for index in indices:
        if all((SemanticRecord.kind, index, *statement) in finished for statement in asked):
            yield []
            continue
        image, label = clean_picture(data, index)
        with one_thread():
            feature = classifier.model.encode_image(image[None].to(device)) if kept is None else kept.clean(index)[None]
            shown = [targets(change, index) for change in plan.attributes]
            records = list(_of_image(classifiers, feature.to(device), shown, index, int(label), plan))
        yield [record for record in records if record.key not in finished]


class TargetDirections:
    """Mean directions of the embeddings of pictures that show a target.

    Args:
        classifier: its model embeds the pictures.
        references: where they come from.
    """

    def __init__(self, classifier: HierarchicalClassifier, references: References | None) -> None:
        self.classifier, self.references = classifier, references
        self._files: dict[str, Tensor] = {}

    def __call__(self, attribute: Attribute, index: int) -> Tensor | None:
        """Direction `(D,)` for the image of an index, None where the target is specified by text."""
        if not attribute.shown:
            return None
        if attribute.name in self._files:
            return self._files[attribute.name]
        if self.references is None:
            raise ValueError(f"expected the pictures of attribute {attribute.name!r}, got none: pass references")
        pictures = self.references(attribute, index).to(self.classifier.text_points(self.classifier.keys[0]).device)
        direction = normalise(self.classifier.model.encode_image(pictures).double()).mean(dim=0)
        if attribute.pictures:  # the same for all images
            self._files[attribute.name] = direction
        return direction


def target_extent(features: Tensor, source: Tensor, target: Tensor, shown: Sequence[Tensor | None]) -> Extent:
    """Target extents of N changes: the angle of the target prompt, or of the pictures that show the target.

    Args:
        features: `(N, D)` embeddings.
        source: `(N, D)` source prompts.
        target: `(N, D)` target prompts.
        shown: per change the direction `(D,)` of the pictures, or None.
    """
    if all(direction is None for direction in shown):
        return None
    rows = [torch.zeros_like(row) if given is None else given for row, given in zip(features, shown, strict=True)]
    seen = image_extent(torch.stack(rows), source, target)
    text = torch.tensor([given is None for given in shown], dtype=torch.bool, device=features.device)
    angle = Rotation.tolerant(features, source, target).plane.angle
    return ImageExtent(torch.where(text, angle, seen.angle), text | seen.defined)


def _of_image(
    classifiers: Classifiers,
    feature: Tensor,
    shown: Sequence[Tensor | None],
    index: int,
    label: int,
    plan: CertificationPlan,
) -> Iterator[SemanticRecord]:
    """All semantic records of one image, whose features are (1, D); each level certifies all attributes at once."""
    any_classifier = next(iter(classifiers.values()))
    noun = any_classifier.forest[0].levels[0].names[label]
    prompts = [prompt for attribute in plan.attributes for prompt in (attribute.source, attribute.target)]
    texts = [with_name(prompt, noun) for prompt in prompts]
    check_changes(any_classifier.model, plan.attributes, noun)
    embedded = any_classifier.model.project_text(any_classifier.model.text_hidden(texts)).double()
    source, target = embedded.view(len(plan.attributes), 2, -1).unbind(dim=1)
    found = {}
    for scorer_kind, classifier in classifiers.items():
        point = classifier.head.lift_image(feature)
        points = point.double().expand_as(source)
        extent = target_extent(points, source, target, shown)
        for key in classifier.keys:
            weight, bias = classifier.head.affine(point, classifier.text_points(key))
            asked = (AffineScorer(weight, bias.reshape(-1, len(weight))[0]), points, source, target)
            partition = semantic_partition(*asked, target_extent=extent)
            evidence = semantic_evidence(*asked, partition, target_extent=extent, deltas=plan.deltas)
            found[scorer_kind, key] = partition, evidence
    for i, attribute in enumerate(plan.attributes):
        for (scorer_kind, key), (partition, evidence) in found.items():
            tree = any_classifier.forest[key.tree]
            yield SemanticRecord.of_partition(
                partition,
                i,
                label=int(any_classifier.ancestors[key][label]),
                index=index,
                tree=tree.name,
                level=key.level,
                level_name=tree.levels[key.level].name,
                scorer=scorer_kind,
                attribute=attribute.name,
                source_prompt=texts[2 * i],
                target_prompt=texts[2 * i + 1],
                target_kind=attribute.target_kind,
                **evidence[i],
            )
