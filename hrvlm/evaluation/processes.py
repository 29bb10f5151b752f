"""What several processes of one run do together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.fabric import Fabric


def first_process(fabric: Fabric, action: Callable[[], Any]) -> Any:
    """The result of an action of the first process, on all of them; an error of it ends the others quietly.

    Raises:
        ValueError, OSError: On the first process, as the action raised it.
        SystemExit: On the others, if it did; with the code 0, since nothing is wrong with them.
    """
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = action()
        except (ValueError, OSError) as caught:
            error = caught
    failed, result = fabric.broadcast((error is not None, result))
    if error is not None:
        raise error
    if failed:
        raise SystemExit(0)
    return result
