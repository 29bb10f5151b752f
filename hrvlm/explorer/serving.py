"""The server of the explorer: on this machine alone, and for pages of its own alone.

A page of another site, open in the same browser, may send requests to servers of this machine. So requests whose Host
or Origin is not the explorer's own are refused: the first closes DNS rebinding, the second sites that ask directly.
What another site embeds (a script, a picture, a frame) has no Origin, but browsers say where it is asked from. The
page's policy lets the browser load and send nothing beyond this server.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import current_thread, main_thread
from typing import Any
from urllib.parse import unquote

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
COMPONENTS, FRAMEWORK = "/components/", "panel"
"""Addresses under which the framework serves files of modules, and its own module."""
LONGEST_MESSAGE = 32_000_000
"""Bytes of a message from the browser, which a picture has to fit into as text."""
PATIENCE = 300_000
"""Milliseconds for which a session waits for its browser."""


def check_installed() -> None:
    """Refuses to go on without the framework.

    Raises:
        ValueError: With how to install it.
    """
    if find_spec("panel") is None:
        raise ValueError('expected panel for the explorer, which is not installed: pip install "hrvlm[explore]"')


def free_port(wanted: int = 0) -> int:
    """A port of this machine that nothing listens to: the wanted one, or any for 0.

    Raises:
        ValueError: If it is taken, or none.
    """
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed just now is free
        try:
            found.bind((ADDRESS, wanted))
        except (OSError, OverflowError) as error:
            raise ValueError(f"expected a port that is free, got {wanted} ({error}); choose another, or 0") from error
        return int(found.getsockname()[1])


def own_hosts(port: int) -> list[str]:
    """What the explorer is called in addresses."""
    return [f"{host}:{port}" for host in HOSTS]


def is_foreign(headers: Mapping[str, str], port: int) -> bool:
    """Whether a request comes from elsewhere, or was meant for another server.

    Args:
        headers: Of the request.
        port: Of the explorer.
    """
    hosts = own_hosts(port)
    origin = headers.get("Origin")
    if headers.get("Host") not in hosts or (origin is not None and origin not in [f"http://{h}" for h in hosts]):
        return True
    asked_elsewhere = headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    return origin is None and asked_elsewhere and headers.get("Sec-Fetch-Dest") != "document"  # which a link leads to


def imports_others(path: str) -> bool:
    """Whether the framework would import a module that is not its own: any that an address names, to serve its files.

    Args:
        path: Of the request, as it was sent.
    """
    asked = unquote(path)
    module = asked.removeprefix(COMPONENTS).partition("/")[0]
    return asked.startswith(COMPONENTS) and module.partition(".")[0] != FRAMEWORK


def make_server(page: Callable[[], Any], port: int) -> Any:
    """A server of a page, not yet started; it listens to this machine alone.

    Args:
        page: Makes the page of a session.
        port: Where it listens, see `free_port`.
    """
    given = {
        "websocket_origin": own_hosts(port), "websocket_max_message_size": LONGEST_MESSAGE,
        "unused_session_lifetime_milliseconds": PATIENCE,
    }  # fmt: skip
    with _own_interrupts():
        make = import_module("panel.io.server").get_server
        server = make({"/": page}, port=port, address=ADDRESS, title="hrvlm explorer", **given)
    _refuse_others(server._tornado.default_router, port)
    return server


def _refuse_others(router: Any, port: int) -> None:
    """Puts a rule before all others: what is foreign is answered with 403, whatever it asks for."""
    routing, web = import_module("tornado.routing"), import_module("tornado.web")

    class Foreign(routing.Matcher):  # type: ignore[name-defined]  # of a framework that may be missing
        def match(self, request: Any) -> dict[str, Any] | None:
            return {} if is_foreign(request.headers, port) or imports_others(request.path) else None

    class Refused(web.RequestHandler):  # type: ignore[name-defined]
        def prepare(self) -> None:
            self.set_status(403)
            self.finish("The explorer answers to its own page alone.\n")

    router.rules.insert(0, routing.Rule(Foreign(), Refused))


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Keeps what Ctrl-C does: the framework puts a handler of its own in its place."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if current_thread() is main_thread():
            signal.signal(signal.SIGINT, before)
