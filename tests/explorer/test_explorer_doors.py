"""Who may ask the explorer's server, and what is said where its framework is missing."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import Future
from threading import Event, Thread

import pytest

from hrvlm.cli.certify import main
from hrvlm.explorer import serving
from hrvlm.explorer.working import Newest


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000"])
def test_its_own_page_is_answered(host: str) -> None:
    assert not serving.is_foreign({"Host": host}, 8000)
    assert not serving.is_foreign({"Host": host, "Origin": "http://127.0.0.1:8000"}, 8000)
    for site, kind in (("same-origin", "script"), ("none", "document"), ("cross-site", "document")):
        assert not serving.is_foreign({"Host": host, "Sec-Fetch-Site": site, "Sec-Fetch-Dest": kind}, 8000)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1:8001"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Host": "127.0.0.1:8000", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8000", "Origin": "https://127.0.0.1:8000"},
        {"Host": "127.0.0.1:8000", "Origin": "null"},
        {"Host": "127.0.0.1:8000", "Origin": ""},
        {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"},
        {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "iframe"},
        {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_others_are_not(headers: dict[str, str]) -> None:
    assert serving.is_foreign(headers, 8000)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/", False), ("/ws", False), ("/static/js/bokeh.min.js", False), ("/components/panel.io/A/_css/a", False),
        ("/components/antigravity/A/css/a", True), ("/components/%61ntigravity/A/css/a", True),
        ("/components/panels/A/css/a", True), ("/components/", True),
    ],
)  # fmt: skip
def test_no_address_makes_the_server_import_a_module(path: str, refused: bool) -> None:
    assert serving.imports_others(path) == refused


def test_a_missing_framework_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(SystemExit) as ended:
        main(["explore", "--checkpoint", "emoji"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert 'pip install "hrvlm[explore]"' in said


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind((serving.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"expected a port that is free, got {port} .*; choose another, or 0"):
            serving.free_port(port)
    assert serving.free_port(port) == port
    assert serving.free_port() > 0
    with pytest.raises(ValueError, match="expected a port that is free, got 70000"):
        serving.free_port(70000)


def test_the_newest_work_replaces_what_waits() -> None:
    newest, begun, go_on, done = Newest(), Event(), Event(), list[str]()

    def slow() -> None:
        begun.set()
        assert go_on.wait(30)
        done.append("first")

    worker = Thread(target=newest, args=("letter", slow))
    worker.start()
    assert begun.wait(30)
    for name in ("second", "third"):
        newest("letter", lambda name=name: done.append(name))
    newest("picture", lambda: done.append("other"))
    newest("letter", lambda: done.append("fourth"))
    go_on.set()
    worker.join(30)
    assert done == ["first", "fourth", "other"]


def test_work_that_fails_does_not_hold_up_what_comes_after() -> None:
    newest, found = Newest(), Future[int]()
    with pytest.raises(ZeroDivisionError):
        newest("one", lambda: 1 // 0)
    newest("one", lambda: found.set_result(1))
    assert found.done()
