"""Semantic-extent certificates of the images of a data set, with the classifiers of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.embedding.rotation import ImageExtent, Rotation, image_extent
from hrvlm.certificates.kinds.classifiers import classifiers_of
from hrvlm.certificates.kinds.interface import Context, EmbeddedImage, References
from hrvlm.certificates.kinds.prompts import ChangePrompts, NamedPrompts
from hrvlm.certificates.kinds.scorers import LevelScorers
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
from hrvlm.rows.uncollected import uncollected


def certify(context: Context, stream: Iterable[EmbeddedImage]) -> Iterator[list[SemanticRecord]]:
    """Semantic certificates of images, one by one in one thread: no digit may depend on batches or cores.

    Args:
        context: its classifier's head is certified, and plain cosines.
        stream: images with their features.

    Raises:
        ValueError: if the plan names pictures of targets and the context has no references.
    """
    options: SemanticOptions = context.options
    asking = None if options.calibration is None else Asking(read_calibration(options.calibration), options.attributes)
    scorers = LevelScorers(classifiers_of(context.classifier))
    targets = TargetDirections(context.classifier, context.references)
    prompts = ChangePrompts(context.classifier.model, options.attributes)
    nouns = context.classifier.forest[0].levels[0].names
    for image in stream:
        with one_thread(), uncollected():
            shown = [targets(change, image.index) for change in options.attributes]
            sequences = [targets.sequence(change, image.index) for change in options.attributes]
            named = prompts(nouns[image.named])
            records = list(_of_image(scorers, named, image, (shown, sequences), options, asking))
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


def _levels(
    scorers: LevelScorers, feature: Tensor, prompts: NamedPrompts, shown: Sequence[Tensor | None]
) -> Iterator[tuple[tuple[str, LevelKey], Level]]:
    """Every level of an image along its changes, by kind of the scorer."""
    for kind, classifier in scorers.classifiers.items():
        point = classifier.head.lift_image(feature)
        points = point.double().expand_as(prompts.source)
        extent = target_extent(points, prompts.source, prompts.target, shown)
        rotation = Rotation.tolerant(points, prompts.source, prompts.target)
        for key in classifier.keys:
            scorer = scorers.of_image(kind, key, point)
            scores = scorer.distinct_scores(rotation.features)
            partition = along_rotation(scorer, rotation, target_extent=extent, scores=scores)
            sinusoids = rotation.sinusoids(scorer, partition.direction, scores)
            yield (kind, key), Level(scorer, rotation, extent, partition, sinusoids)


def _of_image(
    scorers: LevelScorers,
    prompts: NamedPrompts,
    image: EmbeddedImage,
    pictures: tuple[Sequence[Tensor | None], Sequence[Tensor | None]],
    plan: SemanticOptions,
    asking: Asking | None,
) -> Iterator[SemanticRecord]:
    """All semantic records of one image; each level certifies all attributes at once."""
    shown, sequences = pictures
    feature, index, label = image.feature, image.index, image.label
    any_classifier = next(iter(scorers.classifiers.values()))
    levels = dict(_levels(scorers, feature, prompts, shown))
    stated: list[list[Stated]] = [[] for _ in levels]
    if asking is not None:
        trees = [tree.name for tree in any_classifier.forest]
        labels = {(k, trees[key.tree], key.level): int(one.partition.label[0]) for (k, key), one in levels.items()}
        stated = calibrated_stretches(list(levels.values()), asking(labels))
    found = {}
    for place, some in zip(levels, stated, strict=True):
        level = levels[place]
        evidence = semantic_evidence(
            level.scorer, level.rotation.features, prompts.source, prompts.target, level.partition,
            target_extent=level.extent, deltas=plan.deltas, ends=[one.ends for one in some], rotation=level.rotation,
            sinusoids=level.sinusoids,
        )  # fmt: skip
        for fields, one in zip(evidence, some, strict=False):
            fields |= one.said
        found[place] = level.partition, evidence
    calibration = None if asking is None else asking.calibration
    for i, attribute in enumerate(plan.attributes):
        for (scorer_kind, key), (partition, evidence) in found.items():
            tree = any_classifier.forest[key.tree]
            yield SemanticRecord.of_partition(
                partition,
                i,
                label=any_classifier.target_of(label, key),
                exact=True,
                index=index,
                tree=tree.name,
                level=key.level,
                level_name=tree.levels[key.level].name,
                scorer=scorer_kind,
                attribute=attribute.name,
                source_prompt=prompts.texts[2 * i],
                target_prompt=prompts.texts[2 * i + 1],
                target_kind=attribute.target_kind,
                named_by=NAMED_BY[label >= 0],
                calibration=None if calibration is None else calibration.digest,
                population=None if calibration is None else calibration.population,
                reference=_reference(scorers, (scorer_kind, key), feature, sequences[i]),
                **evidence[i],
            )


def _reference(
    scorers: LevelScorers, level: tuple[str, LevelKey], feature: Tensor, sequence: Tensor | None
) -> float | None:
    """Share of the arc from the image through the pictures of a change on which its prediction holds."""
    if sequence is None:
        return None
    points = scorers.classifiers[level[0]].head.lift_image(torch.cat([feature, sequence])).double()
    partition = reference_partition(scorers.of_image(*level, points[:1]), fit_reference_arc(points[None]))
    known = partition.reasons[0] in (None, Reason.EMPTY_RANGE, Reason.CONSTANT)
    return float(partition.invariance[0]) if known else None
