"""Joint pixel-and-semantic certificates: every image within a radius, and every semantic move up to an extent, at once.

The image is copied with Gaussian noise; the embedding of each copy gives, in closed form, how far it can be moved
before its label changes; these extents are counted. `joint_claims` says what follows from the counts.

Claim, per image: with probability at least 1 - alpha over the noise, for every stated pair of radius and extent and
every image within that radius (L2), a share above the threshold of ITS noisy copies keeps the stated class all the way
to that extent. At 1/2 the vote over noise, then move, has that class at every point of the move. All pairs of all
levels, attributes and scorers of an image share alpha equally. The move is one of embeddings, as for semantic extents.

Copies are streamed and only counts on a grid of extents are kept: memory does not depend on n. A batch holds copies of
one image, so that the last digits of an embedding, which depend on the batch, are the same in any order of images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

import torch
from torch import Tensor

from hrvlm.certificates.kinds.joint.counts import Counter
from hrvlm.certificates.kinds.joint.options import Family, JointQuestions, JointSample, PromptPair
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.sampling.batches import check_image, prefetching
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.certificates.sampling.stream import autocasting

__all__ = ["Family", "JointQuestions", "JointSample", "PromptPair", "certify_jointly", "recount_jointly"]


def certify_jointly(
    encode: Callable[[Tensor], Tensor],
    samples: Iterable[JointSample],
    families: Sequence[Family],
    plan: SmoothingPlan,
    questions: JointQuestions,
    *,
    num_attributes: int,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int = 1,
) -> Iterator[list[JointRecord]]:
    """Certify every family of classes and every semantic change of every sample.

    Args:
        encode: images `(B, C, H, W)` on `device` to features `(B, D)`; called without gradients.
        samples: images with dataset indices, true labels and semantic changes.
        families: what classifies the embeddings.
        plan: noise, sample sizes, confidence and threshold; n0 draws choose the class and n others count, both fixed.
        questions: radii and extents, and what a move is.
        num_attributes: semantic changes of every sample; alpha is split over them.
        batch_size: most noisy copies per call.
        device: where `encode` wants its images.
        threads: threads that prepare noise ahead; 0 for none.

    Returns:
        An iterator over the records of each sample, in the order of the samples.

    Raises:
        ValueError: at once, if n can certify nothing of what is asked; on the way, if an image lies outside [0, 1] or
            a sample has another number of changes.
    """
    counters = _counters(samples, families, plan, questions, num_attributes)
    batches = _batches(counters, plan, batch_size)

    def run() -> Iterator[list[JointRecord]]:
        where = torch.device(device)
        for counter, draws, pixels in _ahead(batches, plan, where, threads):
            with torch.no_grad(), autocasting(where, plan.precision):
                features = encode(pixels)
            counter.add(features, draws)
            if draws.stop == plan.n0 + plan.n:
                yield counter.records()

    return run()


def recount_jointly(
    features: Callable[[int, range], Tensor],
    samples: Iterable[JointSample],
    families: Sequence[Family],
    plan: SmoothingPlan,
    questions: JointQuestions,
    *,
    num_attributes: int,
    batch_size: int = 256,
) -> Iterator[list[JointRecord]]:
    """Certify as `certify_jointly` does, which says more of the arguments, from features of its draws that are known.

    Draws are counted in the same batches, so the same features give the same records.

    Args:
        features: index of an image and some of its draws, within 0 to n0 + n - 1, to features `(len(draws), D)`.
        samples: images with dataset indices, true labels and semantic changes.
        families: what classifies the embeddings.
        plan: what the features were drawn with.
        questions: radii and extents, and what a move is.
        num_attributes: semantic changes of every sample.
        batch_size: most features at once.

    Raises:
        ValueError: as `certify_jointly` does.
    """
    counters = _counters(samples, families, plan, questions, num_attributes)
    batches = _batches(counters, plan, batch_size)

    def run() -> Iterator[list[JointRecord]]:
        for counter, draws in batches:
            counter.add(features(counter.sample.index, draws), draws)
            if draws.stop == plan.n0 + plan.n:
                yield counter.records()

    return run()


def _counters(
    samples: Iterable[JointSample],
    families: Sequence[Family],
    plan: SmoothingPlan,
    questions: JointQuestions,
    num_attributes: int,
) -> Iterator[Counter]:
    """A counter for each sample; what is asked for is checked at once."""
    keys = {family.key for family in families}
    if not families or len(keys) != len(families) or num_attributes < 1:
        raise ValueError(f"expected different families and num_attributes >= 1, got {len(keys)} and {num_attributes}")
    questions.check(plan, len(families) * num_attributes)

    def run() -> Iterator[Counter]:
        for sample in samples:
            check_image(sample)
            if len(sample.changes) != num_attributes:
                raise ValueError(
                    f"expected {num_attributes} changes of image {sample.index}, got {len(sample.changes)}"
                )
            yield Counter(sample, families, plan, questions)

    return run()


def _batches(counters: Iterable[Counter], plan: SmoothingPlan, batch_size: int) -> Iterator[tuple[Counter, range]]:
    """The draws of one image after another, selection first, in as few and as equal batches as they fit in."""
    if batch_size < 1:
        raise ValueError(f"expected batch_size >= 1, got {batch_size}")
    draws = range(plan.n0 + plan.n)
    parts = -(-len(draws) // batch_size)
    cuts = [draws[part * len(draws) // parts : (part + 1) * len(draws) // parts] for part in range(parts)]
    return ((counter, some) for counter in counters for some in cuts)


def _ahead(
    batches: Iterable[tuple[Counter, range]], plan: SmoothingPlan, device: torch.device, threads: int
) -> Iterator[tuple[Counter, range, Tensor]]:
    """Batches with their pixels `(B, C, H, W)`, in order; the noise of the next ones is being made meanwhile."""
    in_flight: deque[tuple[Counter, range, Future[Tensor]]] = deque()
    with prefetching(threads, plan.drawing, device) as prefetcher:
        for counter, draws in batches:
            in_flight.append((counter, draws, prefetcher.start([(counter.sample, draws)])))
            if len(in_flight) > threads:
                finished, those, pixels = in_flight.popleft()
                yield finished, those, pixels.result()
        for finished, those, pixels in in_flight:
            yield finished, those, pixels.result()
