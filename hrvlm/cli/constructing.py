"""Errors of constructors that a configuration names come out as they were said.

jsonargparse tries every member of a union of types, and reports one complaint of its own about all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jsonargparse import add_instantiator

# What installs it in a version that hrvlm was tried with. MLflow has no extra: torchattacks names an older requests.
_EXTRA = {"WandbLogger": ', or pip install "hrvlm[wandb]"'}
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


def speaking(instantiator: Callable[..., Any]) -> Callable[..., Any]:
    """The same way of making objects, whose errors get past jsonargparse; see `inner_errors`.

    Args:
        instantiator: Called with a class and arguments.
    """

    def make(kind: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        try:
            return instantiator(kind, *arguments, **keywords)
        except Exception as error:
            raise (_Failed(_told(kind, error)) if _within.get() else error) from error.__cause__

    make.__signature__ = inspect.signature(instantiator)  # type: ignore[attr-defined]  # jsonargparse goes by its names
    return make


def _told(kind: Callable[..., Any], error: Exception) -> ValueError:
    """The error itself if it says what was expected, else one that names the class."""
    if isinstance(error, ValueError):
        return error
    name = getattr(kind, "__name__", kind)
    if isinstance(error, ModuleNotFoundError):  # of optional libraries: what is missing is said in it
        told = ValueError(f"expected what {name} needs to be installed, got: {error}{_EXTRA.get(str(name), '')}")
    else:
        told = ValueError(f"expected settings of {name} that it takes, got an error of its own: {error}")
    told.__cause__ = error
    return told


add_instantiator(speaking(lambda kind, /, *arguments, **keywords: kind(*arguments, **keywords)), object)
