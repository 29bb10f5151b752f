"""Headless Chromium by its DevTools protocol: a page is opened, used and looked at as a person would."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ERRORS = ("Runtime.exceptionThrown", "Inspector.targetCrashed")
# Every element of the page, those in shadow roots as well, by what a predicate says of it.
FIND = """
function deep(root, wanted) {
  for (const each of root.querySelectorAll("*")) {
    if (wanted(each)) return each;
    const inner = each.shadowRoot && deep(each.shadowRoot, wanted);
    if (inner) return inner;
  }
  return null;
}
function labelled(words) {
  const label = deep(document, (e) => e.tagName === "LABEL" && e.textContent.startsWith(words));
  return label && label.parentElement.querySelector("input, select, textarea");
}
function button(words) { return deep(document, (e) => e.tagName === "BUTTON" && e.textContent.trim() === words); }
function text() {
  let found = "";
  (function walk(node) {
    if (node.nodeType === 3) found += node.textContent + " ";
    if (node.tagName === "STYLE" || node.tagName === "SCRIPT") return;
    if (node.shadowRoot) walk(node.shadowRoot);
    node.childNodes.forEach(walk);
  })(document.body || document.createElement("p"));
  return found;
}
"""


class Browser:
    """A headless browser with one page.

    Args:
        profile: Folder of all that it writes.
        size: Width and height of the window.
        dark: Whether the page is told that its reader prefers dark colours.
    """

    def __init__(self, profile: Path, size: tuple[int, int] = (1280, 900), dark: bool = False) -> None:
        self._loop, self._number = asyncio.new_event_loop(), 0
        self.errors, self.addresses = list[str](), list[str]()
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "--disable-background-networking", "--no-first-run", "--mute-audio",
            "--disable-dev-shm-usage", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = _waited(lambda: (profile / "DevToolsActivePort").read_text().splitlines()[0], 60)
        self._socket = self._run(self._connected(port))
        for domain in ("Runtime", "Network", "Log", "Page", "DOM"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)
        self._loop.run_until_complete(asyncio.sleep(0.2))
        self._loop.close()

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)

    def evaluate(self, expression: str, *, by_value: bool = True) -> Any:
        """What an expression gives in the page; `deep`, `labelled`, `button` and `text` find things in it."""
        answer = self.send(
            "Runtime.evaluate", expression=f"{{{FIND}; {expression}}}", returnByValue=by_value, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value") if by_value else answer["result"]

    def wait(self, expression: str, seconds: float = 120) -> Any:
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not (found := self.evaluate(expression)):
            if time.monotonic() > end:
                raise AssertionError(
                    f"waited in vain for {expression}; the page says: {self.evaluate('text()')[:3000]}"
                )
            time.sleep(0.1)
        return found

    def seen(self, expression: str, seconds: float) -> bool:
        """Whether an expression becomes true in some time."""
        end = time.monotonic() + seconds
        while not (found := bool(self.evaluate(expression))) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def type(self, label: str, words: str) -> None:
        """Replaces the text of a field, letter by letter as keys do."""
        self.evaluate(f"const field = labelled({label!r}); field.focus(); field.select(); true")
        self.send("Input.insertText", text=words)

    def leave(self, label: str) -> None:
        """Leaves a field, as a step to the next one does."""
        self.evaluate(
            f"const field = labelled({label!r});"
            'field.dispatchEvent(new Event("change", {bubbles: true})); field.blur(); true'
        )

    def press(self, words: str) -> None:
        self.evaluate(f"button({words!r}).click(); true")

    def upload(self, path: Path) -> None:
        """Gives a file to the page's field for files."""
        found = self.evaluate('deep(document, (e) => e.type === "file")', by_value=False)
        self.send("DOM.setFileInputFiles", files=[str(path)], objectId=found["objectId"])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Writes what the page looks like as PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer; what happens meanwhile is noted."""
        self._number += 1
        message = json.dumps({"id": self._number, "method": method, "params": given})
        return self._run(self._answer(message, self._number))

    async def _answer(self, message: str, number: int) -> dict[str, Any]:
        await self._socket.write_message(message)
        while True:
            text = await asyncio.wait_for(self._socket.read_message(), 120)
            assert text is not None, "the browser has gone"
            found = json.loads(text)
            if found.get("id") == number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
            self._note(found.get("method", ""), found.get("params", {}))

    def _note(self, method: str, given: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.addresses.append(given["request"]["url"])
        if method == "Network.webSocketCreated":
            self.addresses.append(given["url"])
        complains = method == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert")
        logged = method == "Log.entryAdded" and given["entry"]["level"] == "error"
        if method in ERRORS or complains or logged:
            self.errors.append(json.dumps(given)[:1500])

    async def _connected(self, port: str) -> Any:
        from tornado.httpclient import AsyncHTTPClient
        from tornado.websocket import websocket_connect

        client = AsyncHTTPClient(force_instance=True)
        pages = json.loads((await client.fetch(f"http://127.0.0.1:{port}/json/list")).body)
        client.close()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        return await websocket_connect(address, max_message_size=2**28)

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)


def _waited(look: Callable[[], Any], seconds: float) -> Any:
    """What a look gives once it does not fail."""
    end = time.monotonic() + seconds
    while True:
        try:
            return look()
        except (OSError, IndexError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
