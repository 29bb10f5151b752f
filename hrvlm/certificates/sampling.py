"""Streams noisy copies of images through a classifier and keeps only counts.

Batches mix images, so that a device is kept busy however few samples an image needs, and no more than a few batches of
noisy pixels exist at a time, however many samples it needs. The noise goes by address (see `noise`), so counts do not
depend on batch size, order, threads or the number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.noise import fill_gaussian

Classify = Callable[[Tensor], Mapping[Any, Tensor]]
"""Images `(B, C, H, W)` to labels `(B,)` per statement key; -1 marks a sample without a valid label."""

Counts = dict[Hashable, NDArray[np.int64]]
"""Per statement `(G, K + 1)`: samples of each group of draws with each label; the last column counts invalid ones."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image to certify.

    Attributes:
        index: dataset index, the address of its noise.
        image: `(C, H, W)` pixels in [0, 1].
        labels: true label per statement key.
    """

    index: int
    image: Tensor
    labels: Mapping[Any, int]


@dataclass(frozen=True)
class _Segment:
    """Successive draws of one sample within a batch."""

    sample: Sample
    draws: range


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

    Yields:
        Each sample with its counts, as soon as they are complete.

    Raises:
        ValueError: if an image is not in [0, 1] or the classifier returns other labels than promised.
    """
    device, segments = torch.device(device), _segments(samples, groups, batch_size)
    counts = _zeros(num_classes, len(groups))
    for batch, images in _prepared(segments, sigma, seed, device, threads):
        with torch.no_grad():  # around the call only: a generator must not hold the caller's grad mode
            labels = classify(images)
        columns = {key: _checked(labels, key, k, len(images)) for key, k in num_classes.items()}
        begin = 0
        for segment in batch:
            rows = slice(begin, begin + len(segment.draws))
            group = next(g for g, draws in enumerate(groups) if segment.draws[0] in draws)
            for key, k in num_classes.items():
                counts[key][group] += np.bincount(columns[key][rows], minlength=k + 1)
            begin = rows.stop
            if segment.draws[-1] == groups[-1][-1]:
                yield segment.sample, counts
                counts = _zeros(num_classes, len(groups))


def _zeros(num_classes: Mapping[Hashable, int], groups: int) -> Counts:
    return {key: np.zeros((groups, k + 1), dtype=np.int64) for key, k in num_classes.items()}


def _segments(samples: Iterable[Sample], groups: Sequence[range], batch_size: int) -> Iterator[list[_Segment]]:
    """Batches of segments: full ones, except the last and where the next image has another shape."""
    batch: list[_Segment] = []
    room = batch_size
    for sample in samples:
        _check_image(sample)
        if batch and batch[0].sample.image.shape != sample.image.shape:
            yield batch
            batch, room = [], batch_size
        for draws in groups:
            while draws:
                batch.append(_Segment(sample, draws[:room]))
                draws, room = draws[room:], room - len(draws[:room])
                if room == 0:
                    yield batch
                    batch, room = [], batch_size
    if batch:
        yield batch


def _check_image(sample: Sample) -> None:
    image = sample.image
    if image.dim() != 3 or not image.is_floating_point() or not bool((image >= 0).all() & (image <= 1).all()):
        got = f"{image.dtype} of shape {tuple(image.shape)}"
        raise ValueError(f"expected image {sample.index} as (C, H, W) floats in [0, 1], got {got} or values outside")


def _noisy(batch: list[_Segment], sigma: float, seed: int, device: torch.device) -> Tensor:
    """Noisy copies `(B, C, H, W)` of a batch, on the device."""
    size, shape = sum(len(segment.draws) for segment in batch), batch[0].sample.image.shape
    images = torch.empty((size, *shape), dtype=torch.float32, pin_memory=device.type == "cuda")
    begin = 0
    for segment in batch:
        part = images[begin : begin + len(segment.draws)]
        fill_gaussian(part, seed, segment.sample.index, segment.draws, sigma)
        part += segment.sample.image.detach().to("cpu", torch.float32)
        begin += len(part)
    return images.to(device, non_blocking=True)


def _prepared(
    batches: Iterator[list[_Segment]], sigma: float, seed: int, device: torch.device, threads: int
) -> Iterator[tuple[list[_Segment], Tensor]]:
    """Batches with their pixels, in order, prepared ahead by threads."""
    if threads == 0:
        for batch in batches:
            yield batch, _noisy(batch, sigma, seed, device)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="noise") as pool:
        ahead: deque[tuple[list[_Segment], Future[Tensor]]] = deque()
        try:
            for batch in batches:
                ahead.append((batch, pool.submit(_noisy, batch, sigma, seed, device)))
                if len(ahead) > threads:
                    segments, images = ahead.popleft()
                    yield segments, images.result()
            while ahead:
                segments, images = ahead.popleft()
                yield segments, images.result()
        finally:
            pool.shutdown(cancel_futures=True)


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
