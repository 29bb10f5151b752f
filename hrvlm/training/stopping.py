"""Ends a program soon after a signal that asks it to, wherever it is, with all processes that it started.

A signal raises `Stopped` in the main thread, so that files are closed and progress bars removed. A thread that waits
for some other process inside compiled code never gets there; a second thread, which the system wakes at every signal,
ends the process after a moment all the same. Rows are written whole and at once: nothing depends on how a process ends.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LAUNCHER = "HRVLM_LAUNCHER"
"""Environment variable with the number of the process that started this one to share its work."""
GRACE = 1.5  # seconds from a signal to the end of a process that is waiting for another one
POLL = 0.25  # seconds between two looks whether the process that started this one lives
SHOW_CURSOR = "\x1b[?25h"
END = b"\0"  # is no signal

_active: list[int] = []  # process in which signals are being watched
_received: list[int] = []  # signals that it was stopped by


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end."""


@contextmanager
def stoppable(program: str, signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Ends this process within moments of SIGINT, SIGTERM or SIGHUP, with one sentence and the code 128 + signal.

    A process that was started to share the work of another one ends with it, and says nothing. Signals that are
    ignored, as SIGHUP is under nohup, stay ignored, and handlers of others stay. Only the main thread can do this, and
    only one `stoppable` at a time does.

    Args:
        program: What the sentence calls the program.
        signals: Which signals end it.
    """
    if threading.current_thread() is not threading.main_thread() or _active == [os.getpid()]:
        yield
        return
    before = os.environ.get(LAUNCHER)
    if before is None or _is_command_of(int(before)):
        os.environ[LAUNCHER] = str(os.getpid())
    launcher = int(os.environ[LAUNCHER])
    first = launcher == os.getpid()
    name = program if first else None
    try:
        with _watching(name, None if first else launcher, signals):
            yield
    except (KeyboardInterrupt, SystemExit) as error:
        if _received or isinstance(error, KeyboardInterrupt):  # Lightning turns an interrupt into an exit of its own
            leave(name, _received[0] if _received else signal.SIGINT)
        raise
    finally:
        if first:
            os.environ.pop(LAUNCHER, None)
            if before is not None:
                os.environ[LAUNCHER] = before


def _is_command_of(launcher: int) -> bool:
    """Whether this is a command of its own that another one started through a shell or a script, not for its work.

    Processes that share work are children; what a dead one has left behind must end, so only a living one counts.
    """
    if launcher in (os.getpid(), os.getppid()):
        return False
    try:
        os.kill(launcher, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def _watching(name: str | None, launcher: int | None, signals: Sequence[int]) -> Iterator[None]:
    default = (signal.SIG_DFL, signal.default_int_handler, _raise)
    former = {number: signal.getsignal(number) for number in SIGNALS}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken, ended = signal.set_wakeup_fd(writer, warn_on_full_buffer=False), threading.Event()
    _active[:] = [os.getpid()]
    _received.clear()
    ours = tuple(number for number in signals if former[number] in default)
    for number in ours:
        signal.signal(number, _raise)
    thread = threading.Thread(target=_watch, args=(reader, name, launcher, ended, ours), daemon=True, name="stopping")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        _active.clear()
        signal.set_wakeup_fd(woken)
        for number, handler in former.items():
            if handler is not None:  # as of code that is not Python's
                signal.signal(number, handler)
        os.write(writer, END)  # closing it would not do: processes forked meanwhile, as data loaders' are, hold it open
        thread.join()
        os.close(writer)
        os.close(reader)


def _raise(number: int, _: object) -> NoReturn:
    _received.append(number)
    raise Stopped(signal.Signals(number).name)


def _watch(reader: int, name: str | None, launcher: int | None, ended: threading.Event, signals: Sequence[int]) -> None:
    """Waits for signals, or for the end of the launcher, and then sees to it that this process ends.

    The system wakes it at signals that others handle as well; what those do with them may take its time.
    """
    while True:
        ready, _, _ = select.select([reader], [], [], None if launcher is None else POLL)
        number = os.read(reader, 1) if ready else None
        if number == END:
            return
        if number is not None and number[0] in signals:
            break
        if number is None and os.getppid() != launcher:
            number = bytes([signal.SIGTERM])
            os.kill(os.getpid(), signal.SIGTERM)
            break
    _end_children()
    if not ended.wait(GRACE):
        leave(name, number[0])


def _end_children() -> None:
    for child in multiprocessing.active_children():
        with suppress(OSError, ValueError):
            child.terminate()


def leave(name: str | None, number: int) -> NoReturn:
    """Ends this process at once, whatever its other threads wait for.

    Args:
        name: What to call the program in a sentence; None says nothing.
        number: The signal.
    """
    _end_children()
    with suppress(OSError, ValueError):
        if name is not None:
            cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
            text = f"{name}: stopped by {signal.Signals(number).name}; what was written is kept"
            print(f"{cursor}{text}, and the same command goes on from there", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(128 + number)


def _forget() -> None:
    """A forked process is not watched: its signals must not end the one that it was forked from."""
    if _active:
        _active.clear()
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            if signal.getsignal(number) is _raise:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)
