"""Errors of constructors that a configuration names come out as they were said.

jsonargparse tries every member of a union of types, and reports one complaint of its own about all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jsonargparse import add_instantiator

_within: ContextVar[bool] = ContextVar("_within", default=False)


class _Failed(BaseException):
    """Carries a constructor's error past every handler of exceptions on the way out."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def inner_errors() -> Iterator[None]:
    """Raises the errors of constructors that run inside, however deep they lie in a configuration."""
    if _within.get():
        yield
        return
    token = _within.set(True)
    try:
        yield
    except _Failed as failed:
        raise failed.error from failed.error.__cause__
    finally:
        _within.reset(token)


def _make(kind: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Makes an object of a configuration."""
    if not _within.get():
        return kind(*arguments, **keywords)
    try:
        return kind(*arguments, **keywords)
    except ValueError as error:
        raise _Failed(error) from None
    except Exception as error:
        name = getattr(kind, "__name__", kind)
        said = ValueError(f"expected settings of {name} that it takes, got an error of its own: {error}")
        said.__cause__ = error
        raise _Failed(said) from error


add_instantiator(_make, object)
