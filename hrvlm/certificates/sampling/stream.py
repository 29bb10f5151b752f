"""Streams noisy copies of images through a classifier and keeps only counts.

Batches mix images, so that a device is kept busy however few samples an image needs, and no more than a few batches of
noisy pixels exist at a time, however many samples it needs. The noise goes by address (see `noise`), so counts do not
depend on batch size, order, threads or the number of processes.

What is drawn next may depend on what was counted so far, per image: a procedure is a generator that yields draws and is
sent counts. While one image waits for its counts, others fill the batch.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.noise.device import makes_noise
from hrvlm.certificates.sampling.batches import (
    Drawing,
    Sample,
    check_image,
    noisy_batch,
    prefetching,
    side_by_side,
)
from hrvlm.certificates.sampling.counts import Batch, Counts, Pending, Procedure, T, count, extend

Parts: TypeAlias = Sequence[tuple[Sample, range]]
"""Which draws of which samples a batch holds, in order."""

Classify: TypeAlias = Callable[..., Mapping[Any, Tensor]]
"""Images `(B, C, H, W)`, and `Parts` if asked for, to labels `(B,)` per statement key; -1: no valid label."""

Observe: TypeAlias = Callable[[Parts, Mapping[Any, Tensor]], None]
"""Shown the draws of each batch and everything the classifier returned for them, before they are counted."""

PendingLabels: TypeAlias = Callable[[], Mapping[Any, Tensor]]
"""Waits for what the classifier returns for a batch whose noise, at least, is in the making."""

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """On what a pass runs; counts do not depend on it but for the rounding of the forward pass.

    Attributes:
        device: where the classifier wants its images.
        threads: threads that prepare noise ahead of the classifier; 0 to prepare it in between.
        precision: of the forward pass; below float32 it runs under autocast, noise and pixels stay float32.
        workers: threads that make batches and classify them side by side, sharing PyTorch's threads; 1: the calling
            thread classifies. More need a CPU and a classifier that several threads may call.
    """

    device: torch.device | str = "cpu"
    threads: int = 1
    precision: Precision = "float32"
    workers: int = 1

    @property
    def place(self) -> torch.device:
        """The device."""
        return torch.device(self.device)


def count_labels(
    classify: Classify,
    samples: Iterable[Sample],
    num_classes: Mapping[Hashable, int],
    groups: Sequence[range],
    *,
    drawing: Drawing,
    batch_size: int,
    execution: Execution | None = None,
) -> Iterator[tuple[Sample, Counts]]:
    """Count the labels of noisy copies of each sample, in the order of the samples.

    Args:
        classify: see `Classify`; called without gradients on batches on `device`.
        samples: images, drawn from the iterable only as needed.
        num_classes: number of classes K per statement key.
        groups: ranges of draw numbers to count apart.
        drawing: the noise.
        batch_size: noisy copies per call.
        execution: device, threads and precision.

    Yields:
        Each sample with its counts, as soon as they are complete.

    Raises:
        ValueError: if an image is not in [0, 1] or the classifier returns other labels than promised.
    """

    def procedure(sample: Sample) -> Procedure[tuple[Sample, Counts]]:
        counts = yield list(enumerate(groups))
        return sample, counts

    yield from sample_adaptively(
        classify,
        samples,
        num_classes,
        procedure,
        num_groups=len(groups),
        drawing=drawing,
        batch_size=batch_size,
        execution=execution,
    )


def sample_adaptively(
    classify: Classify,
    samples: Iterable[Sample],
    num_classes: Mapping[Hashable, int],
    procedure: Callable[[Sample], Procedure[T]],
    *,
    num_groups: int,
    drawing: Drawing,
    batch_size: int,
    execution: Execution | None = None,
    observe: Observe | None = None,
    with_draws: bool = False,
) -> Iterator[T]:
    """Run a procedure on every sample; see `count_labels` for the arguments and errors that both have.

    Args:
        classify: see `count_labels`.
        samples: see `count_labels`.
        num_classes: see `count_labels`.
        procedure: makes the procedure of a sample, see `Procedure`; it must yield at least one draw each time.
        num_groups: groups that draws are counted in.
        drawing: the noise.
        batch_size: see `count_labels`.
        execution: see `count_labels`.
        observe: see `Observe`.
        with_draws: whether `classify` is given the draws besides the images.

    Yields:
        Results, each as soon as it is known; in the order of the samples if all draw the same.
    """
    execution, source = execution or Execution(), iter(samples)
    ready: deque[Pending[T]] = deque()
    in_flight: deque[tuple[Batch[T], Parts, PendingLabels]] = deque()
    batch: Batch[T] = []

    def begin(sample: Sample) -> Pending[T]:
        check_image(sample)
        counts: Counts = {key: np.zeros((num_groups, k + 1), dtype=np.int64) for key, k in num_classes.items()}
        image = Pending(sample, procedure(sample), counts)
        image.todo.extend(next(image.procedure))
        return image

    def labels_of(pixels: Tensor, parts: Parts) -> Mapping[Any, Tensor]:
        with torch.no_grad(), autocasting(execution.place, execution.precision):
            return classify(pixels, parts) if with_draws else classify(pixels)

    with _labels_ahead(labels_of, drawing, execution) as (start, ahead):
        while True:
            complete = extend(batch, ready, map(begin, source), batch_size)
            if batch and (complete or not in_flight):
                parts: Parts = [(image.sample, draws) for image, (_, draws) in batch]
                in_flight.append((batch, parts, start(parts)))
                batch = []
                if len(in_flight) <= ahead and complete:
                    continue
            if not in_flight:
                return
            batched, parts, pending = in_flight.popleft()
            labels = pending()
            if observe is not None:
                observe(parts, labels)
            for image in count(batched, labels, num_classes):
                try:
                    image.todo.extend(image.procedure.send(image.counts))
                    ready.append(image)
                except StopIteration as finished:
                    yield finished.value


@contextmanager
def _labels_ahead(
    labels_of: Callable[[Tensor, Parts], Mapping[Any, Tensor]],
    drawing: Drawing,
    execution: Execution,
) -> Iterator[tuple[Callable[[Parts], PendingLabels], int]]:
    """What starts work on a batch, and how many batches to start ahead."""
    device, threads, workers = execution.place, execution.threads, execution.workers
    if not 1 <= workers <= (sys.maxsize if device.type == "cpu" else 1):
        raise ValueError(f"expected workers >= 1, and 1 on {device.type!r} unless it is 'cpu', got {workers}")
    if workers > 1:

        def whole(parts: Parts) -> Mapping[Any, Tensor]:
            return labels_of(noisy_batch(parts, drawing, device), parts)

        with side_by_side(workers) as pool:
            yield lambda parts: pool.submit(whole, parts).result, workers
        return
    if makes_noise(device):  # all that a batch needs is told to the device, the next before the labels of this are due

        def told(parts: Parts) -> PendingLabels:
            labels = labels_of(noisy_batch(parts, drawing, device), parts)
            return lambda: labels

        yield told, min(1, threads)
        return
    with prefetching(threads, drawing, device) as prefetcher:

        def start(parts: Parts) -> PendingLabels:
            pixels = prefetcher.start(parts)
            return lambda: labels_of(pixels.result(), parts)

        yield start, threads


def autocasting(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Context of a forward pass of this precision.

    Raises:
        ValueError: if the precision is unknown.
    """
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"expected precision 'float32', 'bfloat16' or 'float16', got {precision!r}")
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=getattr(torch, precision))
