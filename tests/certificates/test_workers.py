from __future__ import annotations

import threading
import time

import brightness
import pytest
import torch
from brightness import COARSE, LEAF, SIGMA, two_levels

from hrvlm.certificates import Sample, SmoothingPlan, certify
from hrvlm.certificates.run.noise_pass import MOST_WORKERS, _workers

PLAN = SmoothingPlan(sigma=SIGMA, n0=20, n=300, alpha=0.01, seed=3)
ADAPTIVE = SmoothingPlan(sigma=SIGMA, n0=20, n=300, alpha=0.01, seed=3, procedure="adaptive", goal=0.1)


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def rows(classify=two_levels, plan=PLAN, batch_size=70, **options):
    found = certify(classify, brightness.samples(6, 0.9), [LEAF, COARSE], plan, batch_size=batch_size, **options)
    kept = [record.to_row() for records in found for record in records]
    return sorted(kept, key=lambda row: (row["index"], row["level"]))


@pytest.mark.parametrize("plan", [PLAN, ADAPTIVE])
@pytest.mark.parametrize("workers", [2, 5])
def test_rows_do_not_depend_on_workers(plan, workers):
    assert rows(plan=plan, workers=workers) == rows(plan=plan)


def test_workers_classify_side_by_side_without_gradients_and_share_the_threads():
    torch.set_num_threads(4)
    together, seen = threading.Barrier(2, timeout=20), set()

    def classify(images):
        together.wait()  # breaks unless two batches are under way at once
        seen.add((torch.is_grad_enabled(), torch.get_num_threads(), threading.current_thread().name[:6]))
        return two_levels(images)

    # 6 images x 320 draws make 20 batches of 96: an even number
    assert rows(classify, batch_size=96, workers=2) == rows()
    assert seen == {(False, 2, "worker")}
    assert torch.get_num_threads() == 4


def test_autocast_reaches_workers():
    plan = SmoothingPlan(sigma=SIGMA, n0=20, n=300, alpha=0.01, seed=3, precision="bfloat16")
    kinds = set()

    def classify(images):
        pixels = images.flatten(1)
        kinds.add((images.dtype, torch.mm(pixels, pixels.T).dtype))
        return two_levels(images)

    rows(classify, plan=plan, workers=2)
    assert kinds == {(torch.float32, torch.bfloat16)}


def test_an_error_in_a_worker_arrives_and_nothing_goes_on_behind_it():
    threads, calls = torch.get_num_threads(), []

    def classify(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise RuntimeError("out of order")
        return two_levels(images)

    with pytest.raises(RuntimeError, match="out of order"):
        rows(classify, workers=3)
    made = len(calls)
    time.sleep(0.2)
    assert len(calls) == made < 28
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_a_run_that_is_left_early_stops_its_workers():
    found = certify(two_levels, brightness.samples(6, 0.9), [LEAF], PLAN, batch_size=70, workers=2)
    next(found)
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_workers_are_for_the_cpu():
    torch.set_num_threads(2)
    assert (_workers(torch.device("cpu")), _workers(torch.device("meta"))) == (2, 1)
    torch.set_num_threads(64)
    assert _workers(torch.device("cpu")) == MOST_WORKERS
    sample = Sample(0, torch.zeros(1, 2, 3), {LEAF.key: 0})
    with pytest.raises(ValueError, match="expected workers >= 1, and 1 on 'meta' unless it is 'cpu', got 2"):
        list(certify(two_levels, [sample], [LEAF], PLAN, batch_size=70, device="meta", workers=2))
    with pytest.raises(ValueError, match=r"expected workers >= 1.*got 0"):
        list(certify(two_levels, [sample], [LEAF], PLAN, batch_size=70, workers=0))
