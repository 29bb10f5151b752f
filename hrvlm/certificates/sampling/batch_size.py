"""Finds a batch size: large enough to keep the device busy, small enough for its memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch

from hrvlm.certificates.sampling.batches import Drawing, Sample
from hrvlm.certificates.sampling.stream import Classify, Precision, autocasting

_log = logging.getLogger(__name__)


def automatic_batch_size(
    classify: Classify,
    shape: Sequence[int],
    *,
    drawing: Drawing,
    device: torch.device | str = "cpu",
    threads: int = 1,
    precision: Precision = "float32",
    smallest: int = 16,
    largest: int = 4096,
    gain: float = 0.05,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Double the batch while that makes the classifier faster per image and memory suffices.

    Counts do not depend on the batch size, beyond what the classifier itself makes of it.

    Args:
        classify: see `sampling.Classify`.
        shape: `(C, H, W)` of the images.
        drawing: the noise, of which a few draws of image 0 are classified; nothing of them is kept.
        device: where `classify` wants its images.
        threads: batches that are prepared ahead and need memory too.
        precision: arithmetic of the forward pass.
        smallest: first size tried, at least 1; must fit.
        largest: last size tried.
        gain: least relative gain in images per second that a doubling must bring.
        clock: seconds.

    Returns:
        A size between smallest and largest.

    Raises:
        ValueError: if sizes are out of order.
    """
    if not 1 <= smallest <= largest:
        raise ValueError(f"expected 1 <= smallest <= largest, got {smallest} and {largest}")
    device = torch.device(device)
    blank = Sample(0, torch.zeros(tuple(shape)), {})
    best, rate, size = smallest, 0.0, smallest
    while size <= largest:
        pixels = torch.empty((1, *shape))
        drawing.write(pixels, blank, range(1))
        images = pixels.to(device).expand(size, *shape).clone()
        seconds = _seconds(classify, images, threads, precision, clock)
        if seconds is None or size / seconds < rate * (1 + gain):
            break
        best, rate, size = size, size / seconds, 2 * size
    _log.info("batch size %d: %.0f noisy images per second", best, rate)
    return best


def _seconds(
    classify: Classify, images: torch.Tensor, threads: int, precision: Precision, clock: Callable[[], float]
) -> float | None:
    """Time of the second of two calls, with room for prepared batches; None if memory does not suffice."""
    device = images.device
    begin = 0.0
    try:
        room = [torch.empty_like(images) for _ in range(threads + 1)]
        with torch.no_grad(), autocasting(device, precision):
            for _ in range(2):
                _wait(device)
                begin = clock()
                classify(images)
                _wait(device)
        del room
        return max(clock() - begin, 1e-9)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
