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
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.batches import Drawing, NoiseMode, Sample, check_image, makers, noisy_batch, side_by_side

Parts: TypeAlias = Sequence[tuple[Sample, range]]
"""Which draws of which samples a batch holds, in order."""

Classify: TypeAlias = Callable[..., Mapping[Any, Tensor]]
"""Images `(B, C, H, W)`, and `Parts` if asked for, to labels `(B,)` per statement key; -1: no valid label."""

Counts = dict[Hashable, NDArray[np.int64]]
"""Per statement `(G, K + 1)`: samples of each group of draws with each label; the last column counts invalid ones."""

Observe: TypeAlias = Callable[[Parts, Mapping[Any, Tensor]], None]
"""Shown the draws of each batch and everything the classifier returned for them, before they are counted."""

Labelling: TypeAlias = Callable[[], Mapping[Any, Tensor]]
"""Waits for what the classifier returns for a batch whose noise, at least, is in the making."""

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
Piece: TypeAlias = tuple[int, range]
"""Number of the group to count in, and draw numbers."""

T = TypeVar("T")
Procedure: TypeAlias = Generator[Sequence[Piece], Counts, T]
"""Yields what to draw next, is sent all counts so far, returns the result."""


@dataclass(eq=False)
class _Image(Generic[T]):
    """An image on its way."""

    sample: Sample
    procedure: Procedure[T]
    counts: Counts
    todo: deque[Piece] = field(default_factory=deque)
    flying: int = 0

    def take(self, room: int) -> Piece:
        """The next draws, at most so many."""
        group, draws = self.todo.popleft()
        if len(draws) > room:
            self.todo.appendleft((group, draws[room:]))
        self.flying += 1
        return group, draws[:room]


_Batch: TypeAlias = list[tuple[_Image[T], Piece]]


def tally(
    classify: Classify,
    samples: Iterable[Sample],
    num_classes: Mapping[Hashable, int],
    groups: Sequence[range],
    *,
    sigma: float,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    threads: int = 1,
    noise: NoiseMode = "float32",
    precision: Precision = "float32",
) -> Iterator[tuple[Sample, Counts]]:
    """Count the labels of noisy copies of each sample, in the order of the samples.

    Args:
        classify: see `Classify`; called without gradients on batches on `device`.
        samples: images, drawn from the iterable only as needed.
        num_classes: number of classes K per statement key.
        groups: ranges of draw numbers to count apart.
        sigma: standard deviation of the noise.
        seed: seed of the noise.
        batch_size: noisy copies per call.
        device: where `classify` wants its images.
        threads: threads that prepare noise ahead of the classifier; 0 to prepare it in between.
        noise: see `Drawing`.
        precision: of the forward pass; below float32 it runs under autocast, noise and pixels stay float32.

    Yields:
        Each sample with its counts, as soon as they are complete.

    Raises:
        ValueError: if an image is not in [0, 1] or the classifier returns other labels than promised.
    """

    def procedure(sample: Sample) -> Procedure[tuple[Sample, Counts]]:
        counts = yield list(enumerate(groups))
        return sample, counts

    yield from explore(
        classify,
        samples,
        num_classes,
        procedure,
        num_groups=len(groups),
        drawing=Drawing(sigma, seed, noise),
        batch_size=batch_size,
        device=device,
        threads=threads,
        precision=precision,
    )


def explore(
    classify: Classify,
    samples: Iterable[Sample],
    num_classes: Mapping[Hashable, int],
    procedure: Callable[[Sample], Procedure[T]],
    *,
    num_groups: int,
    drawing: Drawing,
    batch_size: int,
    device: torch.device | str = "cpu",
    threads: int = 1,
    precision: Precision = "float32",
    observe: Observe | None = None,
    with_draws: bool = False,
    workers: int = 1,
) -> Iterator[T]:
    """Run a procedure on every sample; see `tally` for the arguments and errors that both have.

    Args:
        classify: see `tally`.
        samples: see `tally`.
        num_classes: see `tally`.
        procedure: makes the procedure of a sample, see `Procedure`; it must yield at least one draw each time.
        num_groups: groups that draws are counted in.
        drawing: the noise.
        batch_size: see `tally`.
        device: see `tally`.
        threads: see `tally`.
        precision: see `tally`.
        observe: see `Observe`.
        with_draws: whether `classify` is given the draws besides the images.
        workers: threads that make batches and classify them side by side, sharing PyTorch's threads; 1: the calling
            thread classifies. More need a CPU and a classifier that several threads may call.

    Yields:
        Results, each as soon as it is known; in the order of the samples if all draw the same.
    """
    device, source = torch.device(device), iter(samples)
    ready: deque[_Image[T]] = deque()
    flights: deque[tuple[_Batch[T], Parts, Labelling]] = deque()
    batch: _Batch[T] = []

    def begin(sample: Sample) -> _Image[T]:
        check_image(sample)
        counts: Counts = {key: np.zeros((num_groups, k + 1), dtype=np.int64) for key, k in num_classes.items()}
        image = _Image(sample, procedure(sample), counts)
        image.todo.extend(next(image.procedure))
        return image

    def labels_of(pixels: Tensor, parts: Parts) -> Mapping[Any, Tensor]:
        with torch.no_grad(), autocasting(device, precision):
            return classify(pixels, parts) if with_draws else classify(pixels)

    with _labelling(labels_of, drawing, device, threads, workers) as (start, ahead):
        while True:
            complete = _extend(batch, ready, map(begin, source), batch_size)
            if batch and (complete or not flights):
                parts: Parts = [(image.sample, draws) for image, (_, draws) in batch]
                flights.append((batch, parts, start(parts)))
                batch = []
                if len(flights) <= ahead and complete:
                    continue
            if not flights:
                return
            landed, parts, labelling = flights.popleft()
            labels = labelling()
            if observe is not None:
                observe(parts, labels)
            for image in _count(landed, labels, num_classes):
                try:
                    image.todo.extend(image.procedure.send(image.counts))
                    ready.append(image)
                except StopIteration as finished:
                    yield finished.value


@contextmanager
def _labelling(
    labels_of: Callable[[Tensor, Parts], Mapping[Any, Tensor]],
    drawing: Drawing,
    device: torch.device,
    threads: int,
    workers: int,
) -> Iterator[tuple[Callable[[Parts], Labelling], int]]:
    """What starts work on a batch, and how many batches to start ahead."""
    if not 1 <= workers <= (sys.maxsize if device.type == "cpu" else 1):
        raise ValueError(f"expected workers >= 1, and 1 on {device.type!r} unless it is 'cpu', got {workers}")
    if workers > 1:

        def whole(parts: Parts) -> Mapping[Any, Tensor]:
            return labels_of(noisy_batch(parts, drawing, device), parts)

        with side_by_side(workers) as pool:
            yield lambda parts: pool.submit(whole, parts).result, workers
        return
    with makers(threads, drawing, device) as made:

        def start(parts: Parts) -> Labelling:
            pixels = made.start(parts)
            return lambda: labels_of(pixels.result(), parts)

        yield start, threads


def _extend(batch: _Batch[T], ready: deque[_Image[T]], source: Iterator[_Image[T]], batch_size: int) -> bool:
    """Fill the batch from images that wait, then from new ones; whether it is full or the next has another shape."""
    room = batch_size - sum(len(draws) for _, (_, draws) in batch)
    while room:
        if not ready:
            image = next(source, None)
            if image is None:
                return False
            ready.append(image)
        image = ready[0]
        if batch and batch[0][0].sample.image.shape != image.sample.image.shape:
            return True
        piece = image.take(room)
        batch.append((image, piece))
        room -= len(piece[1])
        if not image.todo:
            ready.popleft()
    return True


def _count(batch: _Batch[T], labels: Mapping[Any, Tensor], num_classes: Mapping[Hashable, int]) -> list[_Image[T]]:
    """Add the labels of a batch to the counts of its images; those that have none under way any more."""
    size = sum(len(draws) for _, (_, draws) in batch)
    columns = {key: _checked(labels, key, k, size) for key, k in num_classes.items()}
    begin, finished = 0, []
    for image, (group, draws) in batch:
        rows = slice(begin, begin + len(draws))
        for key, k in num_classes.items():
            image.counts[key][group] += np.bincount(columns[key][rows], minlength=k + 1)
        begin, image.flying = rows.stop, image.flying - 1
        if not image.flying and not image.todo:
            finished.append(image)
    return finished


def autocasting(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Context of a forward pass of this precision.

    Raises:
        ValueError: if the precision is unknown.
    """
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"expected precision 'float32', 'bfloat16' or 'float16', got {precision!r}")
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=getattr(torch, precision))


def _checked(labels: Mapping[Hashable, Tensor], key: Hashable, num_classes: int, size: int) -> NDArray[np.int64]:
    """Labels of a statement with -1 turned into `num_classes`."""
    if key not in labels:
        raise ValueError(f"expected classify to return labels for statement {key!r}, got {sorted(map(str, labels))}")
    column = labels[key].cpu().numpy()
    if column.shape != (size,) or column.dtype.kind not in "iu":
        raise ValueError(f"expected {size} integer labels for statement {key!r}, got {column.dtype} {column.shape}")
    if size and not -1 <= int(column.min()) <= int(column.max()) < num_classes:
        span = f"{column.min()} to {column.max()}"
        raise ValueError(f"expected labels of statement {key!r} in -1 to {num_classes - 1}, got {span}")
    return np.where(column < 0, num_classes, column).astype(np.int64)
