"""One noise pass over the images of a data set: levels, hierarchical profiles, and features to keep for later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrvlm.certificates.kinds.interface import statements
from hrvlm.certificates.kinds.profile.certify import Profiler
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.noise.grid import on_grid
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.certificates.sampling.monte_carlo import certify, procedure_of
from hrvlm.certificates.sampling.replay import replay
from hrvlm.certificates.sampling.stream import autocasting
from hrvlm.models import HierarchicalClassifier, LevelKey, labels_of, one_thread
from hrvlm.models.pixels import clean_picture
from hrvlm.rows.record import Key, Record

if TYPE_CHECKING:
    from hrvlm.certificates.run.plan import CertificationPlan

FEATURES = "features"
"""Where a classifier that shows its features puts them among its labels."""
MOST_WORKERS = 4
"""Threads that classify side by side on a CPU."""


class NoisePass:
    """What is asked of every noisy copy, and which records of an image come out of it.

    Args:
        classifier: classifiers of every level.
        plan: what is certified; profiles need the leaves alone.
        done: keys of records that exist already.
    """

    def __init__(self, classifier: HierarchicalClassifier, plan: CertificationPlan, done: Iterable[Key] = ()) -> None:
        self.classifier, self.plan, self.done = classifier, plan, set(done)
        self.smoothing_plan = plan.smoothing_plan()
        found = statements(classifier)
        self.statements = found if plan.smoothing else found[:1]
        self.keys: Sequence[LevelKey] = classifier.keys if plan.smoothing else classifier.keys[:1]
        self.profiler: Profiler | None = None
        if plan.profile is not None:
            self.profiler = Profiler(classifier.forest.trees, classifier.keys[0], self.smoothing_plan, plan.profile)
        self.device = classifier.text_points(classifier.keys[0]).device

    def is_done(self, index: int) -> bool:
        """Whether all records of an image exist."""
        wanted: list[Key] = []
        if self.plan.smoothing:
            wanted += [(SmoothingRecord.kind, index, s.tree, s.level) for s in self.statements]
        if self.profiler is not None:
            wanted += [(ProfileRecord.kind, index, tree.name) for tree in self.profiler.trees]
        return all(key in self.done for key in wanted)

    def sample(self, data: Any, index: int) -> Sample:
        """An image of the data set, as it is certified."""
        image, label = clean_picture(data, index)
        return Sample(
            index=index,
            image=on_grid(image) if self.plan.sampling.noise == "grid" else image,
            labels={key: int(self.classifier.ancestors[key][label]) for key in self.classifier.keys},
        )

    def labels(self, features: Tensor) -> dict[Any, Tensor]:
        """Labels `(B,)` per statement of un-normalised image features `(B, D)`; -1 without finite scores."""
        head, points = self.classifier.head, self.classifier.head.lift_image(features)
        return {key: labels_of(head.logits(points, self.classifier.text_points(key))) for key in self.keys}

    def classify(self, images: Tensor) -> Mapping[Any, Tensor]:
        """Labels per statement of images, and the features that they came from."""
        features = self.classifier.model.encode_image(images)
        return self.labels(features) | {FEATURES: features}

    def wanted(self, records: Iterable[Record]) -> list[Record]:
        """Those records that were asked for and do not exist yet."""
        kept = [r for r in records if self.plan.smoothing or not isinstance(r, SmoothingRecord)]
        return [record for record in kept if record.key not in self.done]


def smoothing_records(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    done: Iterable[Key],
    store: FeatureStore | None = None,
) -> Iterator[list[Record]]:
    """Smoothing certificates and profiles of some images, all records of one image at a time.

    Args:
        classifier: classifiers of every level.
        data: map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: which images.
        plan: which certificates.
        done: keys of records that exist already; an image with all of them is left out, unless its features lack.
        store: where noisy features are kept, or None.
    """
    noise = NoisePass(classifier, plan, done)

    def samples() -> Iterator[Sample]:
        for index in indices:
            lacks_features = store is not None and not store.is_complete(index)
            if lacks_features or not noise.is_done(index):
                sample = noise.sample(data, index)
                if store is not None:
                    with one_thread():  # as semantic certificates look at images
                        store.begin(sample, classifier.model.encode_image(sample.image[None].to(noise.device))[0])
                yield sample

    passes = certify(
        noise.classify,
        samples(),
        noise.statements,
        noise.smoothing_plan,
        batch_size=plan.batch_size,
        device=noise.device,
        profiler=noise.profiler,
        observe=None if store is None else _keeping(store),
        workers=_workers(noise.device),
    )
    for records in passes:
        yield noise.wanted(records)


def _workers(device: torch.device) -> int:
    """Few, as each needs memory of its own for a batch on its way through the tower."""
    return min(torch.get_num_threads(), MOST_WORKERS) if device.type == "cpu" else 1


def _keeping(store: FeatureStore) -> Callable[[Sequence[tuple[Sample, range]], Mapping[Any, Tensor]], None]:
    def keep(parts: Sequence[tuple[Sample, range]], shown: Mapping[Any, Tensor]) -> None:
        sizes = [len(draws) for _, draws in parts]
        for (sample, draws), features in zip(parts, torch.split(shown[FEATURES], sizes), strict=True):
            store.append(sample.index, draws, features)

    return keep


def rescored_records(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: CertificationPlan,
    done: Iterable[Key],
    store: FeatureStore,
) -> Iterator[list[Record]]:
    """Smoothing certificates and profiles of some images from their kept features; see `smoothing_records`.

    Raises:
        ValueError: if features of an image lack, or are those of another picture.
    """
    noise = NoisePass(classifier, plan, done)
    noise.smoothing_plan.check(len(noise.statements))
    make = procedure_of(noise.statements, noise.smoothing_plan, noise.profiler)
    num_classes = {statement.key: statement.num_classes for statement in noise.statements}
    for index in (index for index in indices if not noise.is_done(index)):
        sample = noise.sample(data, index)
        store.check_picture(sample)

        def labels(draws: range, index: int = index) -> Iterator[Mapping[Any, Tensor]]:
            for features in store.read(index, draws):
                with torch.no_grad(), autocasting(noise.device, plan.sampling.precision):
                    yield noise.labels(features.to(noise.device))

        yield noise.wanted(replay(make(sample), labels, num_classes))
