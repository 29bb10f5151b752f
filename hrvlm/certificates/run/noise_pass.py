"""One noise pass over images: the labels of every level, and features to keep for later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.certificates.sampling.monte_carlo import procedure_of, sample_statements
from hrvlm.certificates.sampling.plan import SmoothingPlan, Statement
from hrvlm.certificates.sampling.procedures import Sampled
from hrvlm.certificates.sampling.replay import replay
from hrvlm.certificates.sampling.stream import Observe, autocasting
from hrvlm.models import HierarchicalClassifier, one_thread

FEATURES = "features"
"""Where a classifier that shows its features puts them among its labels."""
MOST_WORKERS = 4
"""Threads that classify side by side on a CPU."""


class LevelLabels:
    """Labels of levels, from images or their features.

    Args:
        classifier: classifiers of every level.
        statements: which levels, by their key.
    """

    def __init__(self, classifier: HierarchicalClassifier, statements: Iterable[Statement]) -> None:
        self.classifier = classifier
        self.keys: list[Any] = [statement.key for statement in statements]
        self.device = classifier.text_points(classifier.keys[0]).device

    def of_features(self, features: Tensor) -> dict[Any, Tensor]:
        """Labels `(B,)` per statement of un-normalised image features `(B, D)`; -1 without finite scores."""
        return self.classifier.labels(self.classifier.head.lift_image(features), self.keys)

    def of_images(self, images: Tensor) -> Mapping[Any, Tensor]:
        """Labels per statement of images, and the features that they came from."""
        features = self.classifier.model.encode_image(images)
        return self.of_features(features) | {FEATURES: features}


def sampled_afresh(
    classifier: HierarchicalClassifier,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    batch_size: int | None,
    store: FeatureStore | None = None,
) -> Iterator[Sampled]:
    """Counts of the labels of fresh noisy copies.

    Args:
        classifier: classifiers of every level.
        samples: images.
        statements: levels that are counted.
        plan: noise, sample sizes and confidence.
        batch_size: noisy copies per call; None finds a fast one.
        store: where noisy features are kept, or None.
    """
    labels = LevelLabels(classifier, statements)

    def noted() -> Iterator[Sample]:
        for sample in samples:
            if store is not None:
                with one_thread():  # as images without noise are embedded
                    store.begin(sample, classifier.model.encode_image(sample.image[None].to(labels.device))[0])
            yield sample

    return sample_statements(
        labels.of_images,
        noted(),
        statements,
        plan,
        batch_size=batch_size,
        device=labels.device,
        observe=None if store is None else _noting(store),
        workers=_workers(labels.device),
    )


def sampled_again(
    classifier: HierarchicalClassifier,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    store: FeatureStore,
) -> Iterator[Sampled]:
    """Counts of the labels of noisy copies whose features are kept; see `sampled_afresh`.

    Raises:
        ValueError: if features of an image lack.
    """
    plan.check(len(statements))
    labels, make = LevelLabels(classifier, statements), procedure_of(statements, plan)
    num_classes = {statement.key: statement.num_classes for statement in statements}
    for sample in samples:

        def labelled(draws: range, index: int = sample.index) -> Iterator[Mapping[Any, Tensor]]:
            for features in store.read(index, draws):
                with torch.no_grad(), autocasting(labels.device, plan.precision):
                    yield labels.of_features(features.to(labels.device))

        yield replay(make(sample), labelled, num_classes)


def _workers(device: torch.device) -> int:
    """Few, as each needs memory of its own for a batch on its way through the tower."""
    return min(torch.get_num_threads(), MOST_WORKERS) if device.type == "cpu" else 1


def _noting(store: FeatureStore) -> Observe:
    def note(parts: Sequence[tuple[Sample, range]], shown: Mapping[Any, Tensor]) -> None:
        sizes = [len(draws) for _, draws in parts]
        for (sample, draws), features in zip(parts, torch.split(shown[FEATURES], sizes), strict=True):
            store.append(sample.index, draws, features)

    return note
