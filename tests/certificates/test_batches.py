"""Noise of one batch made by several threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hrvlm.certificates import Sample
from hrvlm.certificates.sampling import batches
from hrvlm.certificates.sampling.batches import Drawing, fillers, noisy_batch, prefetching

CPU = torch.device("cpu")


def parts() -> list[tuple[Sample, range]]:
    images = (torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    samples = [Sample(index, image, {}) for index, image in enumerate(images)]
    return [
        (samples[0], range(5)),
        (samples[1], range(100, 101)),
        (samples[2], range(7, 30)),
        (samples[0], range(9, 11)),
    ]


@pytest.mark.parametrize("mode", ["float32", "grid"])
def test_pieces_and_threads_do_not_matter(mode: batches.NoiseMode) -> None:
    drawing = Drawing(0.25, 3, mode)
    expected = noisy_batch(parts(), drawing, CPU)
    copies = [noisy_batch([(sample, range(d, d + 1))], drawing, CPU) for sample, draws in parts() for d in draws]
    assert torch.equal(expected, torch.cat(copies))
    with ThreadPoolExecutor(4) as pool:
        for pieces in (1, 2, 7, 31, 100):
            assert torch.equal(noisy_batch(parts(), drawing, CPU, pool, pieces), expected)


def test_pieces_are_made_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "fillers", lambda device: 3)
    meeting, write = threading.Barrier(3), Drawing.write

    def waiting(self: Drawing, *given: object) -> None:
        meeting.wait(timeout=30)  # passes only once three threads are here
        write(self, *given)  # type: ignore[arg-type]

    one = [(parts()[2][0], range(30))]
    expected = noisy_batch(one, Drawing(0.25, 3), CPU)
    monkeypatch.setattr(Drawing, "write", waiting)
    for threads in (0, 1):
        with prefetching(threads, Drawing(0.25, 3), CPU) as made:
            assert torch.equal(made.start(one).result(), expected)


def test_an_accelerator_gets_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, devices, share in [(16, 1, 16), (16, 4, 4), (3, 8, 1), (128, 2, 16), (8, 0, 8)]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda devices=devices: devices)
        assert fillers(torch.device("cuda")) == share
        assert fillers(CPU) == 1
