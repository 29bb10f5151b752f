"""Watching for signals ends with the work, whatever processes were forked meanwhile."""

from __future__ import annotations

import multiprocessing
import time

from hrvlm.training.stopping import stoppable


def test_processes_forked_within_do_not_hold_it_up() -> None:
    """Workers of data loaders live longer than the loop that stopped because of them."""
    with stoppable("it"):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,), daemon=True)
        worker.start()
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    worker.terminate()
    worker.join()
