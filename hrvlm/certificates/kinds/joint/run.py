"""Joint certificates of the images of a data set, with the classifiers of a model: every level of every tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import check_changes
from hrvlm.certificates.kinds.joint.certify import certify_jointly, recount_jointly
from hrvlm.certificates.kinds.joint.options import Family, JointQuestions, JointSample, PromptPair
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.noise.grid import on_grid
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.models import HierarchicalClassifier, LevelKey
from hrvlm.models.pixels import clean_picture
from hrvlm.rows.record import Key
from hrvlm.trees.words import with_name

__all__ = ["JointQuestions", "joint_families", "joint_records", "prompt_pairs"]

if TYPE_CHECKING:
    from hrvlm.certificates.embedding.attributes import Attribute
    from hrvlm.certificates.run.plan import CertificationPlan


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
    """The semantic changes of an image, whose leaf label names it in the prompts."""
    noun, model = classifier.forest[0].levels[0].names[label], classifier.model
    check_changes(model, attributes, noun)
    pairs = []
    for attribute in attributes:
        prompts = (with_name(attribute.source, noun), with_name(attribute.target, noun))
        source, target = model.project_text(model.text_hidden(list(prompts)))
        pairs.append(PromptPair(attribute.name, prompts, source.double(), target.double()))
    return tuple(pairs)


def joint_records(
    classifiers: Mapping[str, HierarchicalClassifier],
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    done: Iterable[Key],
    kept: FeatureStore | None = None,
) -> Iterator[list[JointRecord]]:
    """Joint certificates of some images, all records of one image at a time.

    Args:
        classifiers: per kind of scorer, the own head's first; all of one model and one forest.
        data: map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: which images.
        plan: which certificates.
        done: keys of records that exist already; an image with all of them is left out.
        kept: features of draws 0 to n0 + n - 1 of the same noise, used instead of the image tower.

    Raises:
        ValueError: if kept features of an image lack, or are those of another picture.
    """
    questions, noise, finished = plan.joint_questions, plan.sampling.noise, set(done)
    chosen = dict(list(classifiers.items())[: None if questions.plain_cosine else 1])
    classifier, families = next(iter(chosen.values())), joint_families(chosen)

    def is_done(index: int) -> bool:
        keys = (
            (JointRecord.kind, index, family.tree, family.level, family.scorer_kind, attribute.name, questions.move)
            for family in families
            for attribute in plan.attributes
        )
        return all(key in finished for key in keys)

    def samples() -> Iterator[JointSample]:
        for index in indices:
            if not is_done(index):
                image, label = clean_picture(data, index)
                targets = [int(classifier.ancestors[key][label]) for key in classifier.keys]
                labels = targets * len(chosen)
                sample = JointSample(
                    index=index,
                    image=on_grid(image) if noise == "grid" else image,
                    labels={family.key: target for family, target in zip(families, labels, strict=True)},
                    changes=prompt_pairs(classifier, plan.attributes, int(label)),
                )
                if kept is not None:
                    kept.check_picture(sample)
                yield sample

    asked = (samples(), families, plan.smoothing_plan(), questions)
    given: dict[str, Any] = {"num_attributes": len(plan.attributes), "batch_size": plan.fixed_batch_size}
    device = classifier.text_points(classifier.keys[0]).device
    if kept is None:
        yield from certify_jointly(classifier.model.encode_image, *asked, device=device, **given)
    else:
        yield from recount_jointly(_reading(kept, device), *asked, **given)


def _reading(kept: FeatureStore, device: torch.device) -> Callable[[int, range], Tensor]:
    return lambda index, draws: torch.cat(list(kept.read(index, draws))).to(device)
