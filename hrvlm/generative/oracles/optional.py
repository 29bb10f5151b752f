"""Models of optional packages: a clear sentence where one is missing, and no progress bars while weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def missing(package: str, purpose: str, extra: str) -> ValueError:
    """What to raise where an optional package is not installed."""
    return ValueError(f'expected the package {package} for {purpose}, found none: pip install "hrvlm[{extra}]"')


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bars of transformers inside; afterwards as before."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    try:
        logging.disable_progress_bar()
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
