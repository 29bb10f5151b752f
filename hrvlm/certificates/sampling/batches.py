"""Batches of noisy copies: which draws of which images they hold, and their pixels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from hrvlm.certificates.noise.device import makes_noise
from hrvlm.certificates.noise.gaussian import fill_gaussian
from hrvlm.certificates.noise.grid import grid_copies

NoiseMode: TypeAlias = Literal["float32", "grid"]

MOST_FILLERS = 16


@dataclass(frozen=True, eq=False)
class Sample:
    """An image to certify.

    Attributes:
        index: dataset index in [0, 2^32), the address of its noise.
        image: `(C, H, W)` pixels in [0, 1].
        labels: true label per statement key; -1 where there is none.
        named: leaf that names the image in prompts; None for its true label.
    """

    index: int
    image: Tensor
    labels: Mapping[Any, int]
    named: int | None = None


@dataclass(frozen=True)
class Drawing:
    """Where noise comes from and how it is added.

    Attributes:
        sigma: standard deviation, in pixel units.
        seed: seed of the noise.
        noise: "float32": Gaussian, added in float32; "grid": rounded to integers, on the 8-bit grid, clipped to it.
    """

    sigma: float
    seed: int
    noise: NoiseMode = "float32"

    def __post_init__(self) -> None:
        if self.noise not in ("float32", "grid"):
            raise ValueError(f"expected noise 'float32' or 'grid', got {self.noise!r}")

    def write(self, out: Tensor, sample: Sample, draws: Sequence[int]) -> None:
        """Write noisy copies `(len(draws), C, H, W)` of the sample."""
        if self.noise == "grid":
            grid_copies(out, sample.image, self.seed, sample.index, draws, self.sigma)
            return
        fill_gaussian(out, self.seed, sample.index, draws, self.sigma, sample.image)


def check_image(sample: Sample) -> None:
    """ValueError unless the image is `(C, H, W)` floats in [0, 1]."""
    image = sample.image
    if image.dim() != 3 or not image.is_floating_point() or not bool((image >= 0).all() & (image <= 1).all()):
        got = f"{image.dtype} of shape {tuple(image.shape)}"
        raise ValueError(f"expected image {sample.index} as (C, H, W) floats in [0, 1], got {got} or values outside")


def noisy_batch(
    parts: Sequence[tuple[Sample, range]],
    drawing: Drawing,
    device: torch.device,
    pool: Executor | None = None,
    pieces: int = 1,
) -> Tensor:
    """Noisy copies `(B, C, H, W)` on the device, of samples of one shape; a device that makes noise is not waited for.

    Args:
        parts: samples and their draws, B in all.
        drawing: the noise.
        device: where the copies are put.
        pool: threads that make the copies; None makes them in this one.
        pieces: how many equal pieces the batch is cut into for the pool, about.
    """
    size, shape = sum(len(draws) for _, draws in parts), parts[0][0].image.shape
    if makes_noise(device):
        batch = torch.empty((size, *shape), dtype=torch.float32, device=device)
        for room, (sample, draws) in zip(batch.split([len(draws) for _, draws in parts]), parts, strict=True):
            drawing.write(room, sample, draws)
        return batch
    images = torch.empty((size, *shape), dtype=torch.float32, pin_memory=device.type == "cuda")
    most = -(-size // pieces)
    cuts = [(sample, draws[i : i + most]) for sample, draws in parts for i in range(0, len(draws), most)]
    rooms = images.split([len(draws) for _, draws in cuts])
    work = partial(map, drawing.write) if pool is None else partial(pool.map, drawing.write)
    deque(work(rooms, *zip(*cuts, strict=True)), maxlen=0)
    return images.to(device, non_blocking=device.type != "mps")  # which may read memory that is given back


def fillers(device: torch.device) -> int:
    """Threads that make the noise of one batch: 1 on a CPU, where the model needs them, else this device's cores.

    Those are the cores that the process may use, shared among the devices or processes of the node, whichever are more.
    """
    if device.type == "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sharing = max(1, torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return max(1, min(MOST_FILLERS, cores // sharing))


class Prefetcher:
    """Makes batches in threads ahead of time, or on demand if there are none.

    Args:
        threads: batches made ahead at a time, at least 0.
        drawing: see `Drawing`.
        device: where batches are put. One that makes noise needs no threads: it is told to, and not waited for. Another
            that is no CPU is fed by many, see `fillers`.
    """

    def __init__(self, threads: int, drawing: Drawing, device: torch.device) -> None:
        if makes_noise(device):
            threads, self._pieces = 0, 1
        else:
            self._pieces = fillers(device)
        self._fill = ThreadPoolExecutor(self._pieces, "fill") if self._pieces > 1 else None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="noise") if threads else None
        self._drawing, self._device = drawing, device

    def start(self, parts: Sequence[tuple[Sample, range]]) -> Future[Tensor]:
        """The batch, in the making."""
        given = (parts, self._drawing, self._device, self._fill, self._pieces)
        if self._pool is not None:
            return self._pool.submit(noisy_batch, *given)
        made: Future[Tensor] = Future()
        made.set_result(noisy_batch(*given))
        return made

    def close(self) -> None:
        """Stop; batches not begun are dropped."""
        for pool in (self._pool, self._fill):
            if pool is not None:
                pool.shutdown(cancel_futures=True)


@contextmanager
def prefetching(threads: int, drawing: Drawing, device: torch.device) -> Iterator[Prefetcher]:
    """Prefetcher that are stopped at the end."""
    prefetcher = Prefetcher(threads, drawing, device)
    try:
        yield prefetcher
    finally:
        prefetcher.close()


@contextmanager
def side_by_side(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share PyTorch's threads among them: small models are faster so than cut into pieces, one by one."""
    threads = torch.get_num_threads()
    share = max(1, threads // workers)
    pool = ThreadPoolExecutor(workers, "worker", initializer=torch.set_num_threads, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
