"""Requests to a server that speaks OpenAI's protocol, such as vLLM's: several at a time, tried again if they fail.

No proxy is used and no redirection followed: what is sent goes to the host that was named, and to no other.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hrvlm.trees.bounded_text import load_json

T = TypeVar("T")
R = TypeVar("R")

KEY_VARIABLE = "HRVLM_ENDPOINT_KEY"
"""Environment variable of the key that a server may ask for; it is neither recorded nor shown."""
MOST_BYTES = 1_000_000
"""Of one reply; longer ones are no answers."""
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 30.0


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """How a server is asked; none of it changes what it is asked.

    Attributes:
        in_flight: Requests at the same time; a server batches those that it has.
        timeout: Seconds that a reply may take.
        attempts: So often a request is made, if the server cannot be reached or says that it is busy.
    """

    in_flight: int = 32
    timeout: float = 120.0
    attempts: int = 6

    def __post_init__(self) -> None:
        if self.in_flight < 1 or self.attempts < 1 or not 0 < self.timeout < float("inf"):
            raise ValueError(
                f"expected in_flight and attempts >= 1 and a finite timeout > 0, got in_flight={self.in_flight}, "
                f"attempts={self.attempts}, timeout={self.timeout:g}"
            )


@dataclass(frozen=True)
class EndpointAddress:
    """Where a server listens.

    Attributes:
        scheme: "http" or "https".
        host: Its name or number.
        port: Its port; None for the scheme's own.
        path: Before "/chat/completions", for example "/v1".
        model: Name that the server knows the model by; None for the only one that it serves.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    model: str | None

    @classmethod
    def of(cls, text: str) -> EndpointAddress:
        """The address of a text such as "http://127.0.0.1:8000/v1" or "http://127.0.0.1:8000/v1#MODEL".

        Raises:
            ValueError: If it is none, or holds a user, a password or a query.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:  # which may quote a password, as the text may hold one
            raise ValueError(
                'expected the address of a server such as "http://127.0.0.1:8000/v1", got one whose host or port is '
                "none; look at what stands between // and the next /"
            ) from None
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password or parts.query:
            shown = parts._replace(netloc=host or "", query="").geturl()  # without what may be secret
            raise ValueError(
                'expected the address of a server such as "http://127.0.0.1:8000/v1", with "#MODEL" behind it if it '
                f"serves several models, and without user, password and query, got {shown!r}; a key goes into the "
                f"environment variable {KEY_VARIABLE}"
            )
        return cls(parts.scheme, host, port, parts.path.rstrip("/") or "/v1", parts.fragment or None)

    def __str__(self) -> str:
        """As messages call it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port is None else f':{self.port}'}{self.path}"

    @property
    def private(self) -> bool:
        """Whether what is sent cannot be read on the way: it is encrypted, or stays on this machine."""
        if self.scheme == "https" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class EndpointClient:
    """Makes requests of one server."""

    def __init__(self, address: EndpointAddress, options: EndpointOptions) -> None:
        """Keeps the address; nothing is sent yet.

        Raises:
            ValueError: If there is a key that no header can hold, or that others could read on its way.
        """
        self.address, self.options = address, options
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = os.environ.get(KEY_VARIABLE)
        if key and not address.private:
            raise ValueError(
                f"expected an https address for the key in {KEY_VARIABLE}, got {address}: others could read it; unset "
                "the variable if the server needs none"
            )
        if key and not (key.isascii() and key.isprintable()):
            raise ValueError(
                f"expected printable ASCII characters in {KEY_VARIABLE}, got others, such as the end of a line; set it "
                "to the key alone"
            )
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._idle: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()
        self._busy: set[http.client.HTTPConnection] = set()
        self._halted = threading.Event()

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON value that the server replies.

        Args:
            path: Behind the address, for example "/chat/completions".
            body: What is posted as JSON; None asks for the path alone.

        Raises:
            ValueError: In one sentence, if the server refuses, replies no JSON, or fails at every attempt.
        """
        data = None if body is None else json.dumps(body).encode()
        problem = ""
        for attempt in range(self.options.attempts):
            # The first repetition does not wait: a server may have closed a connection that was idle.
            if attempt > 1 and self._halted.wait(min(2.0 ** (attempt - 2), _LONGEST_WAIT)):
                break
            try:
                status, reply = self._once(path, data)
            except (OSError, http.client.HTTPException) as error:
                problem = _line(f"{type(error).__name__}: {error}")
                continue
            if status == 200:
                return self._value(path, reply)
            problem = f"status {status}: {_line(reply.decode('utf-8', 'replace'))}"
            if status not in TEMPORARY:
                raise ValueError(f"expected the server at {self.address} to answer {path}, got {problem}")
        raise ValueError(
            f"expected the server at {self.address} to answer {path}, got, {self.options.attempts} times, last "
            f"{problem}; see whether it runs, and run this again to go on"
        )

    def ask_all(self, ask: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What a function that makes requests gives for each item, `in_flight` of them at a time, on kept connections.

        Raises:
            ValueError: As the function does for the first item that fails; the others are given up.
        """
        self._halted.clear()
        try:
            with ThreadPoolExecutor(self.options.in_flight) as pool:
                return self._replies(pool, [pool.submit(ask, item) for item in items])
        finally:
            self._hang_up()

    def _replies(self, pool: ThreadPoolExecutor, waiting: Sequence[Future[R]]) -> list[R]:
        try:
            return [reply.result() for reply in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            self._halt()
            raise

    def _once(self, path: str, data: bytes | None) -> tuple[int, bytes]:
        connection = self._connection()
        self._busy.add(connection)
        try:
            connection.request("GET" if data is None else "POST", self.address.path + path, data, self._headers)
            response = connection.getresponse()
            reply = response.read(MOST_BYTES + 1)
            if len(reply) > MOST_BYTES:
                raise http.client.HTTPException(f"a reply of more than {MOST_BYTES} bytes")
            if response.length:  # the server has hung up in the middle
                raise http.client.IncompleteRead(reply, response.length)
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(connection)
        self._idle.put(connection)
        return response.status, reply

    def _connection(self) -> http.client.HTTPConnection:
        with suppress(Empty):
            return self._idle.get_nowait()
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        return kind(self.address.host, self.address.port, timeout=self.options.timeout)

    def _halt(self) -> None:
        """Ends all that is waited for, so that a program that is stopped does not wait for it either."""
        self._halted.set()
        for connection in list(self._busy):
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _hang_up(self) -> None:
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _value(self, path: str, reply: bytes) -> Any:
        try:
            return load_json(reply.decode("utf-8"))
        except ValueError as error:
            raise ValueError(
                f"expected JSON from the server at {self.address} for {path}, got {_line(repr(reply[:80]))}"
            ) from error


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
