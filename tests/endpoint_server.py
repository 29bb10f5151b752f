"""A server of OpenAI's protocol on this machine, for tests: a function answers the pictures that it gets."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Answering = Callable[[Tensor, str], str]


def picture_of(body: dict[str, Any]) -> tuple[Tensor, str]:
    """The picture (3, H, W) in [0, 1] and the question of a request."""
    shown, asked = body["messages"][0]["content"]
    assert (shown["type"], asked["type"]) == ("image_url", "text")
    head, _, data = shown["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(data, validate=True))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        pixels = np.asarray(image)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255, asked["text"]


class Endpoint(ThreadingHTTPServer):
    """Answers one picture at a time; `failures` are replies that it gives before, status and text."""

    daemon_threads = True

    def __init__(self, answering: Answering, models: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answering, self.models = answering, models
        self.failures: list[tuple[int, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle of a reply has been told enough."""

    @property
    def address(self) -> str:
        """As --checkpoint takes it."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model", "root": f"/models/{name}"} for name in self.server.models]
        self._reply(200, json.dumps({"object": "list", "data": models}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["Authorization"])
            failure = self.server.failures.pop(0) if self.server.failures else None
            if failure is None:
                answer = self.server.answering(*picture_of(body))
                message = {"role": "assistant", "content": answer}
                failure = 200, json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        self._reply(*failure)

    def _reply(self, status: int, text: str) -> None:
        if status == 0:  # hangs up
            self.close_connection = True
            return
        data, broken = text.encode(), status == 1  # hangs up in the middle
        self.send_response(200 if broken else status)
        self.send_header("Content-Length", str(len(data) + broken))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection |= broken

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(answering: Answering, *models: str) -> Iterator[Endpoint]:
    """A server of models that runs inside."""
    server = Endpoint(answering, list(models or ("tiny",)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
