"""Certifies images with the classifiers of a model, every level of every tree.

One function serves the callback after each epoch and `certify.py`, so both write the same rows for the same images,
weights and seed. Noise comes by address, so no random state outside is read or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hrvlm.certificates.kinds.interface import SOURCES
from hrvlm.certificates.run.passes import Images, certify_source
from hrvlm.certificates.run.plan import CertificationPlan, check_draws
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.models import HierarchicalClassifier, inference_copy
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

    Yields:
        The records of one image at a time, so that they can be written and flushed.

    Raises:
        ValueError: If kept features lack or are of other pictures, the plan needs more of them than were kept, or it
            asks for certificates of affine scorers where levels are decoded together.
    """
    check_scorers(classifier, plan)
    if kept is not None:
        check_draws(kept, plan)
    images = Images(inference_copy(classifier), data, indices, frozenset(done), store, kept, references)
    for source in SOURCES:
        for records in certify_source(source, images, plan):
            yield records
            progress(1)


def count_passes(plan: CertificationPlan, num_images: int) -> int:
    """How often `certify_images` reports progress for so many images, at most."""
    return num_images * len({kind.source for kind in plan.asked})


def check_scorers(classifier: HierarchicalClassifier, plan: CertificationPlan) -> None:
    """Refuses certificates of affine scorers where labels are decoded over levels, as scores then are not affine.

    Raises:
        ValueError: With the kinds of certificate that need them.
    """
    affine = [kind.name for kind in plan.asked if kind.source in ("embedding", "features")]
    if affine and classifier.decoding != "independent":
        raise ValueError(
            f"expected decoding 'independent' for {' and '.join(affine)} certificates, which need scores affine in "
            f"the embedding, got {classifier.decoding!r}: leave them out (plan.semantic false, plan.joint false), "
            "or decode every level by itself"
        )
