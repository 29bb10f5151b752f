"""One clear sentence and a non-zero exit code for whatever a user can cause."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hrvlm.attacks import NonFiniteError
from hrvlm.training.fine_tuning import NonFiniteLossError

TRACEBACK = "HRVLM_TRACEBACK"
EXPECTED = (ValueError, FileNotFoundError, NonFiniteError, NonFiniteLossError, MisconfigurationException)


@contextmanager
def clear_errors(program: str) -> Iterator[None]:
    """Prints errors that a user can cause as one sentence and exits with 1; others keep their traceback.

    Setting the environment variable HRVLM_TRACEBACK keeps every traceback.
    """
    try:
        yield
    except EXPECTED as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"{program}: error: {sentence(error)}", file=sys.stderr)
        raise SystemExit(1) from None


def sentence(error: Exception) -> str:
    """An error's message in one line; of an error that crossed from a data loader's process, the original message."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text
    return " ".join(text.split())
