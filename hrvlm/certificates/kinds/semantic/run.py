"""Semantic-extent certificates of the images of a data set, with the classifiers of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import Attribute, check_changes
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.embedding.rotation import ImageExtent, Rotation, image_extent
from hrvlm.certificates.kinds.classifiers import Classifiers, classifiers_of
from hrvlm.certificates.kinds.interface import Context, EmbeddedImage, References
from hrvlm.certificates.kinds.semantic.calibrated_levels import Level
from hrvlm.certificates.kinds.semantic.calibrated_rows import Asking, Stated, calibrated_stretches
from hrvlm.certificates.kinds.semantic.calibration import read_calibration
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.evidence import semantic_evidence
from hrvlm.certificates.kinds.semantic.options import SemanticOptions
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.semantic.reference_arc import fit_reference_arc, reference_partition
from hrvlm.geometry.sphere import normalise
from hrvlm.models import HierarchicalClassifier, LevelKey, one_thread
from hrvlm.rows.record import NAMED_BY
from hrvlm.trees.words import with_name


def certify(context: Context, stream: Iterable[EmbeddedImage]) -> Iterator[list[SemanticRecord]]:
    """Semantic certificates of images, one by one in one thread: no digit may depend on batches or cores.

    Args:
        context: its classifier's head is certified, and plain cosines.
        stream: images with their features.

    Raises:
        ValueError: if the plan names pictures of targets and the context has no references.
    """
    options: SemanticOptions = context.options
    classifiers = classifiers_of(context.classifier)
    asking = None if options.calibration is None else Asking(read_calibration(options.calibration), options.attributes)
    targets, scorers = TargetDirections(context.classifier, context.references), LevelScorers(classifiers)
    for image in stream:
        with one_thread():
            shown = [targets(change, image.index) for change in options.attributes]
            sequences = [targets.sequence(change, image.index) for change in options.attributes]
            records = list(_of_image(classifiers, scorers, image, (shown, sequences), options, asking))
        yield records


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
        direction = self._direction(self.references(attribute, index))
        if attribute.same_for_all:
            self._files[attribute.name] = direction
        return direction

    def sequence(self, attribute: Attribute, index: int) -> Tensor | None:
        """Features `(T, D)` of pictures of the change in order, None where there are none."""
        if attribute.sequence is None or self.references is None:
            return None
        pictures = self.references.sequence(attribute, index)
        return self.classifier.model.encode_image(pictures.to(self._texts.device)) if len(pictures) else None

    @property
    def _texts(self) -> Tensor:
        return self.classifier.text_points(self.classifier.keys[0])

    def _direction(self, pictures: Tensor) -> Tensor:
        """Mean direction `(D,)`; 0, which lies in no plane, where an image has no pictures."""
        if not len(pictures):
            return torch.zeros(self._texts.shape[1], dtype=torch.float64, device=self._texts.device)
        found: Tensor = normalise(self.classifier.model.encode_image(pictures.to(self._texts.device)).double())
        return found.mean(dim=0)


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


class LevelScorers:
    """The scorers of levels at images: what no image changes is made once.

    Args:
        classifiers: of the model, whose weights stay as they are.
    """

    def __init__(self, classifiers: Classifiers) -> None:
        self._classifiers = classifiers
        self._known: dict[tuple[str, LevelKey], AffineScorer] = {}

    def __call__(self, kind: str, key: LevelKey, point: Tensor) -> AffineScorer:
        """That of a level at the one image whose point `(1, D)` is given."""
        classifier, known = self._classifiers[kind], self._known.get((kind, key))
        weight, bias = classifier.head.affine(point, classifier.text_points(key))
        bias = bias.reshape(-1, len(weight))[0]
        if known is None or not torch.equal(known.weight, weight):
            known = self._known[kind, key] = AffineScorer(weight, bias)
        return known.with_bias(bias)


def _level(scorer: AffineScorer, rotation: Rotation, extent: Extent) -> Level:
    """A level of an image along its changes."""
    scores = scorer.distinct_scores(rotation.features)
    partition = along_rotation(scorer, rotation, target_extent=extent, scores=scores)
    return Level(scorer, partition, rotation.sinusoids(scorer, partition.direction, scores))


def _of_image(
    classifiers: Classifiers,
    scorers: LevelScorers,
    image: EmbeddedImage,
    pictures: tuple[Sequence[Tensor | None], Sequence[Tensor | None]],
    plan: SemanticOptions,
    asking: Asking | None,
) -> Iterator[SemanticRecord]:
    """All semantic records of one image; each level certifies all attributes at once."""
    shown, sequences = pictures
    feature, index, label = image.feature, image.index, image.label
    any_classifier = next(iter(classifiers.values()))
    noun = any_classifier.forest[0].levels[0].names[image.named]
    prompts = [prompt for attribute in plan.attributes for prompt in (attribute.source, attribute.target)]
    texts = [with_name(prompt, noun) for prompt in prompts]
    check_changes(any_classifier.model, plan.attributes, noun)
    embedded = any_classifier.model.project_text(any_classifier.model.text_hidden(texts)).double()
    source, target = embedded.view(len(plan.attributes), 2, -1).unbind(dim=1)
    calibration = None if asking is None else asking.calibration
    found = {}
    for scorer_kind, classifier in classifiers.items():
        point = classifier.head.lift_image(feature)
        points = point.double().expand_as(source)
        extent = target_extent(points, source, target, shown)
        rotation = Rotation.tolerant(points, source, target)
        levels = [_level(scorers(scorer_kind, key, point), rotation, extent) for key in classifier.keys]
        stated: list[list[Stated]] = [[] for _ in levels]
        if asking is not None:
            labels = {
                (any_classifier.forest[key.tree].name, key.level): int(level.partition.label[0])
                for key, level in zip(classifier.keys, levels, strict=True)
            }
            stated = calibrated_stretches(levels, rotation, asking(scorer_kind, labels))
        for key, level, some in zip(classifier.keys, levels, stated, strict=True):
            evidence = semantic_evidence(
                level.scorer, points, source, target, level.partition, target_extent=extent, deltas=plan.deltas,
                ends=[one.ends for one in some], rotation=rotation, sinusoids=level.sinusoids,
            )  # fmt: skip
            for fields, one in zip(evidence, some, strict=False):
                fields["calibrated"] = one.stretches
            found[scorer_kind, key] = level.partition, evidence
    for i, attribute in enumerate(plan.attributes):
        for (scorer_kind, key), (partition, evidence) in found.items():
            tree = any_classifier.forest[key.tree]
            yield SemanticRecord.of_partition(
                partition,
                i,
                label=any_classifier.target_of(label, key),
                index=index,
                tree=tree.name,
                level=key.level,
                level_name=tree.levels[key.level].name,
                scorer=scorer_kind,
                attribute=attribute.name,
                source_prompt=texts[2 * i],
                target_prompt=texts[2 * i + 1],
                target_kind=attribute.target_kind,
                named_by=NAMED_BY[label >= 0],
                calibration=None if calibration is None else calibration.digest,
                population=None if calibration is None else calibration.population,
                reference=_reference(classifiers[scorer_kind], scorers, (scorer_kind, key), feature, sequences[i]),
                **evidence[i],
            )


def _reference(
    classifier: HierarchicalClassifier,
    scorers: LevelScorers,
    level: tuple[str, LevelKey],
    feature: Tensor,
    sequence: Tensor | None,
) -> float | None:
    """Share of the arc from the image through the pictures of a change on which its prediction holds."""
    if sequence is None:
        return None
    points = classifier.head.lift_image(torch.cat([feature, sequence])).double()
    partition = reference_partition(scorers(*level, points[:1]), fit_reference_arc(points[None]))
    known = partition.reasons[0] in (None, Reason.EMPTY_RANGE, Reason.CONSTANT)
    return float(partition.invariance[0]) if known else None
