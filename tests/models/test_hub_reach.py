"""Names of the hub where there is no network: one sentence, soon."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import huggingface_hub.constants
import pytest

from hrvlm.models.layouts import hub
from hrvlm.models.layouts.hub import answers, load_from_hub


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_a_server_answers_where_it_says_anything_in_time(silent: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    assert answers(f"http://127.0.0.1:{server.server_port}", 10.0)
    thread.join()
    server.server_close()
    assert not answers(f"http://127.0.0.1:{server.server_port}", 10.0)
    assert not answers(silent, 0.1)
    assert not answers("no address", 10.0)


def test_a_model_that_was_never_fetched_is_told_of_soon(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", silent)
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    began = time.monotonic()
    with pytest.raises(ValueError, match=f"found neither: .* {silent} does not answer within 0.2 s; fetch it where"):
        load_from_hub("hf-hub:nobody/has-this-model")
    assert time.monotonic() - began < 10
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE forbids to ask"):
        load_from_hub("hf-hub:nobody/has-this-model")
