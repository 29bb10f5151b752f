from __future__ import annotations

import pytest
import torch

from hrvlm.certificates import Sample, SmoothingPlan, Statement, automatic_batch_size, certify
from hrvlm.certificates.sampling.batches import Drawing

DRAWING = Drawing(0.1, 0)


class Machine:
    """A classifier whose calls take `start + each * size` seconds of its own clock, up to a memory limit."""

    def __init__(self, start, each, limit=10**9):
        self.start, self.each, self.limit, self.now, self.sizes = start, each, limit, 0.0, []

    def __call__(self, images):
        if len(images) > self.limit:
            raise torch.cuda.OutOfMemoryError("out of memory")
        self.sizes.append(len(images))
        self.now += self.start + self.each * len(images)
        return {"k": torch.zeros(len(images), dtype=torch.long)}

    def clock(self):
        return self.now


def found(machine, **options):
    return automatic_batch_size(machine, (1, 2, 2), drawing=DRAWING, clock=machine.clock, **options)


def test_batches_grow_while_that_pays():
    # Going from b to 2b gains 5 percent while start / each > 0.05 * 2b / 0.95, about b < 9.5 start / each.
    assert found(Machine(1.0, 0.05)) == 256
    assert found(Machine(0.0, 0.05)) == 16
    assert found(Machine(1.0, 1e-6)) == 4096
    assert found(Machine(1.0, 1e-6), largest=100) == 64
    assert found(Machine(1.0, 0.05), gain=0.5) == 16


def test_memory_ends_the_growth():
    machine = Machine(1.0, 1e-6, limit=200)
    assert found(machine) == 128
    with pytest.raises(ValueError, match="expected 1 <= smallest"):
        found(machine, smallest=0)


def test_certify_finds_its_batch_size_and_keeps_its_rows():
    statement, plan = Statement("k", "t", 0, "leaf", 2), SmoothingPlan(sigma=0.1, n0=10, n=90)
    inputs = [Sample(i, torch.rand(1, 2, 2), {"k": 0}) for i in range(3)]

    def classify(images):
        return {"k": (images[:, 0, 0, 0] > 0.5).long()}

    automatic = list(certify(classify, inputs, [statement], plan, batch_size=None))
    assert automatic == list(certify(classify, inputs, [statement], plan, batch_size=7))
    assert list(certify(classify, [], [statement], plan, batch_size=None)) == []
