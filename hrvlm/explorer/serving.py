"""The server of the explorer: on this machine alone, and for pages of its own alone.

A page of another site, open in the same browser, may send requests to servers of this machine. So requests whose Host
or Origin is not the explorer's own are refused: the first closes DNS rebinding, the second sites that ask directly. The
page's policy lets the browser load and send nothing beyond this server.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
LONGEST_MESSAGE = 32_000_000
"""Bytes of a message from the browser, which a picture has to fit into as text."""


def check_installed() -> None:
    """Refuses to go on without the framework.

    Raises:
        ValueError: With how to install it.
    """
    if find_spec("panel") is None:
        raise ValueError('expected panel for the explorer, which is not installed: pip install "hrvlm[explore]"')


def free_port() -> int:
    """A port of this machine that nothing listens to."""
    with socket.socket() as found:
        found.bind((ADDRESS, 0))
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
    return headers.get("Host") not in hosts or (origin is not None and origin not in [f"http://{h}" for h in hosts])


def make_server(page: Callable[[], Any], port: int) -> Any:
    """A server of a page, not yet started; it listens to this machine alone.

    Args:
        page: Makes the page of a session.
        port: Where it listens.

    Raises:
        OSError: If the port is taken.
    """
    get_server = import_module("panel.io.server").get_server
    routing, web = import_module("tornado.routing"), import_module("tornado.web")
    hosts = own_hosts(port)
    server = get_server(
        {"/": page}, port=port, address=ADDRESS, websocket_origin=hosts, websocket_max_message_size=LONGEST_MESSAGE,
        title="hrvlm explorer",
    )  # fmt: skip

    class Foreign(routing.Matcher):  # type: ignore[name-defined]  # of a framework that may be missing
        def match(self, request: Any) -> dict[str, Any] | None:
            return {} if is_foreign(request.headers, port) else None

    class Refused(web.RequestHandler):  # type: ignore[name-defined]
        def prepare(self) -> None:
            self.set_status(403)
            self.finish("The explorer answers to its own page alone.\n")

    server._tornado.default_router.rules.insert(0, routing.Rule(Foreign(), Refused))
    return server
