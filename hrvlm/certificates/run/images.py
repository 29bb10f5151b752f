"""Certifies images with the classifiers of a model, every level of every tree.

One function serves the callback after each epoch and `certify.py`, so both write the same rows for the same images,
weights and seed. Noise comes by address, so no random state outside is read or changed. Kinds of certificate that are
made of the same source share a pass over the images, which yields the records of one image at a time. An image whose
records all exist is not looked at again, unless its features are to be kept and lack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from typing import Any

import torch

from hrvlm.certificates.kinds.classifiers import scorers_of
from hrvlm.certificates.kinds.interface import SOURCES, Context, EmbeddedImage, Kind, Source
from hrvlm.certificates.noise.grid import on_grid
from hrvlm.certificates.run.label_functions import model_identity
from hrvlm.certificates.run.noise_pass import sampled_afresh, sampled_again
from hrvlm.certificates.run.plan import CertificationPlan, check_draws
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.models import HierarchicalClassifier, inference_copy, one_thread
from hrvlm.models.compilation import compile_batches
from hrvlm.models.kept_texts import unwritten
from hrvlm.models.pixels import clean_picture
from hrvlm.rows.record import Key, Record


def certify_images(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    *,
    done: frozenset[Key] | set[Key] = frozenset(),
    progress: Callable[[int], None] = lambda images: None,
    store: FeatureStore | None = None,
    kept: FeatureStore | None = None,
    references: Any = None,
    ahead: Callable[[Sequence[int]], Any] | None = None,
) -> Iterator[list[Record]]:
    """Certificates of some images of a data set.

    Args:
        classifier: Its head's scores are smoothed; semantic extents are given for the head and for plain cosines.
        data: Map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: Which images.
        plan: Which certificates.
        done: Keys of the statements that a previous run has written already.
        progress: Called with 1 for each image that is finished, once per pass over the images.
        store: Keeps the noisy features of the pass over labels, to be scored again later.
        kept: Features of an earlier pass over the same images, used instead of the image tower.
        references: Pictures `(M, 3, H, W)` that show the target of an attribute for an image, where the plan names
            any: called with the attribute and the index.
        ahead: Gives the data set as one whose images are read ahead in the order given, for each pass over them.

    Yields:
        The records of one image at a time, so that they can be written and flushed.

    Raises:
        ValueError: If kept features lack or are of other pictures, the plan needs more of them than were kept, or it
            asks for certificates of affine scorers where levels are decoded together.
    """
    check_scorers(classifier, plan)
    if kept is not None:
        check_draws(kept, plan)
    images = Images(_for_inference(classifier, plan), data, indices, frozenset(done), store, kept, references, ahead)
    with unwritten(images.classifier):
        for source in SOURCES:
            for records in _certify_source(source, images, plan):
                yield records
                progress(1)


def _for_inference(classifier: HierarchicalClassifier, plan: CertificationPlan) -> HierarchicalClassifier:
    """A copy of the classifiers that only answers."""
    copy = inference_copy(classifier)
    if plan.compile_backend is not None:
        compile_batches(copy.model.clip.visual, plan.fixed_batch_size, plan.compile_backend)
    return copy


def count_passes(plan: CertificationPlan, num_images: int) -> int:
    """How often `certify_images` reports progress for so many images, at most."""
    return num_images * len({kind.source for kind in plan.asked})


def check_scorers(classifier: HierarchicalClassifier, plan: CertificationPlan) -> None:
    """Refuses certificates of affine scorers where labels are decoded over levels, and a plan made for another model.

    Raises:
        ValueError: With the kinds of certificate that need affine scores, or what differs from the plan's model.
    """
    affine = [kind.name for kind in plan.asked if kind.source in ("embedding", "features")]
    if affine and classifier.decoding != "independent":
        raise ValueError(
            f"expected decoding 'independent' for {' and '.join(affine)} certificates, which need scores affine in "
            f"the embedding, got {classifier.decoding!r}: leave them out (plan.semantic false, plan.joint false), "
            "or decode every level by itself"
        )
    for kind in plan.asked:
        kind.check_model(plan, scorers_of(classifier), lambda: model_identity(classifier))


@dataclass(frozen=True)
class Images:
    """What is certified.

    Attributes:
        classifier: classifiers of every level.
        data: map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: which images.
        done: keys of records that exist already.
        store: where noisy features are kept, or None.
        kept: features of an earlier pass, used instead of the image tower, or None.
        references: see `Context`.
        ahead: gives `data` with images that are read ahead, or None.
    """

    classifier: HierarchicalClassifier
    data: Any
    indices: Sequence[int]
    done: frozenset[Key]
    store: FeatureStore | None
    kept: FeatureStore | None
    references: Any
    ahead: Callable[[Sequence[int]], Any] | None = None

    def read_ahead(self, indices: Sequence[int]) -> Images:
        """The same, whose pictures are read ahead in this order."""
        return self if self.ahead is None else replace(self, data=self.ahead(indices))

    def sample(self, index: int, noise: str) -> Sample:
        """An image of the data set, as it is certified under some noise.

        Raises:
            ValueError: if features are kept, but those of another picture.
        """
        image, label = clean_picture(self.data, index)
        sample = Sample(
            index=index,
            image=on_grid(image) if noise == "grid" else image,
            labels={key: self.classifier.target_of(int(label), key) for key in self.classifier.keys},
            named=None if label >= 0 else self.named(self.feature(index, image)),
        )
        if self.kept is not None:
            self.kept.check_picture(sample)
        return sample

    def feature(self, index: int, image: torch.Tensor) -> torch.Tensor:
        """Feature `(1, D)` of an image without noise, alone in one thread: no digit may depend on batches or cores."""
        device = self.classifier.text_points(self.classifier.keys[0]).device
        if self.kept is not None:
            return self.kept.clean(index)[None].to(device)
        with one_thread():
            found: torch.Tensor = self.classifier.model.encode_image(image[None].to(device))
        return found

    def named(self, feature: torch.Tensor) -> int:
        """The leaf that the classifier predicts from a feature, which names images without a label in prompts."""
        head, leaves = self.classifier.head, self.classifier.keys[0]
        with one_thread():
            found = self.classifier.labels(head.lift_image(feature), [leaves])[leaves]
        return max(int(found), 0)  # without finite scores no name is right, and nothing is claimed


@dataclass(frozen=True)
class _Asked:
    """A kind with what it is asked for."""

    kind: Kind[Any]
    context: Context

    def is_done(self, index: int, done: frozenset[Key]) -> bool:
        return self.kind.keys(self.context, index) <= done


def _certify_source(source: Source, images: Images, plan: CertificationPlan) -> Iterator[list[Record]]:
    """Records of all kinds of one source that a plan asks for, one image after the other."""
    asked = [_asked(kind, images, plan) for kind in plan.asked if kind.source == source]
    if not asked:
        return
    streams = {"embedding": _embedded, "labels": _sampled, "features": _samples}
    shared = tee(streams[source](asked, images, plan), len(asked))
    made = (one.kind.certify(one.context, stream) for one, stream in zip(asked, shared, strict=True))
    for found in zip(*made, strict=True):
        yield [record for records in found for record in records if record.key not in images.done]


def _asked(kind: Kind[Any], images: Images, plan: CertificationPlan) -> _Asked:
    sampling = None if kind.spends is None else plan.smoothing_plan()
    context = Context(
        classifier=images.classifier,
        plan=sampling,
        options=kind.options(plan),
        batch_size=plan.fixed_batch_size,
        references=images.references,
        features=None if images.kept is None else _reading(images.kept, images.classifier),
    )
    return _Asked(kind, context)


def _reading(kept: FeatureStore, classifier: HierarchicalClassifier) -> Callable[[int, range], torch.Tensor]:
    device = classifier.text_points(classifier.keys[0]).device
    return lambda index, draws: torch.cat(list(kept.read(index, draws))).to(device)


def _left(asked: Sequence[_Asked], images: Images, store: FeatureStore | None = None) -> list[int]:
    """Images that lack records, or features that are to be kept in a store."""
    return [
        index
        for index in images.indices
        if (store is not None and not store.is_complete(index))
        or not all(one.is_done(index, images.done) for one in asked)
    ]


def _embedded(asked: Sequence[_Asked], images: Images, plan: CertificationPlan) -> Iterator[EmbeddedImage]:
    """Images without noise, one by one."""
    left = _left(asked, images)
    images = images.read_ahead(left)
    for index in left:
        image, label = clean_picture(images.data, index)
        feature = images.feature(index, image)
        yield EmbeddedImage(index, int(label), feature, int(label) if label >= 0 else images.named(feature))


def _sampled(asked: Sequence[_Asked], images: Images, plan: CertificationPlan) -> Iterator[Any]:
    """Images with the counted labels of their noisy copies."""
    statements = {statement.key: statement for one in asked for statement in one.kind.statements(one.context)}
    left = _left(asked, images, images.store)
    ahead = images.read_ahead(left)
    samples = (ahead.sample(index, plan.sampling.noise) for index in left)
    given = (images.classifier, samples, list(statements.values()), plan.smoothing_plan())
    if images.kept is not None:
        return sampled_again(*given, images.kept)
    return sampled_afresh(*given, batch_size=plan.batch_size, store=images.store)


def _samples(asked: Sequence[_Asked], images: Images, plan: CertificationPlan) -> Iterable[Sample]:
    """Images, for kinds that look at the features of noisy copies themselves."""
    left = _left(asked, images)
    images = images.read_ahead(left)
    for index in left:
        yield images.sample(index, plan.sampling.noise)
