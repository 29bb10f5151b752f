"""Pictures of a page by headless Chromium, through the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))"
"""A promise that is kept once what changed is seen."""
_END = b"\0"  # after every message


class Tab:
    """A page of a browser that reads commands from one pipe and answers on another."""

    def __init__(self, commands: int, answers: BufferedReader) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._rest, self._session = 0, b"", {}
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given, **self._session}
        os.write(self._commands, json.dumps(message).encode() + _END)
        while (answer := self._read()).get("id") != self._number:
            pass
        return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while _END not in self._rest:
            self._rest += self._answers.read1(1 << 20)
        message, _, self._rest = self._rest.partition(_END)
        return dict(json.loads(message))

    def open(self, address: str, width: int, height: int, *, dark: bool) -> None:
        """Opens a page, and waits until it is drawn.

        Args:
            address: Of the page.
            width: Of the window, in pixels.
            height: Of the window, in pixels.
            dark: Whether its reader prefers dark colours.
        """
        self._sized(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=address)
        ready = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        self.evaluate(f"{ready}.then(() => {DRAWN})")

    def evaluate(self, expression: str) -> Any:
        """What an expression gives in the page, once its promises are kept."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"expected {expression} to run in the page, got {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 120) -> None:
        """Tries an expression until it is true.

        Raises:
            TimeoutError: If it does not become so.
        """
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"expected {expression} to become true within {seconds:g} s")
            time.sleep(0.2)

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def whole(self) -> bytes:
        """What the page looks like from top to bottom, as PNG; the window grows to its size."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        self._sized(size["width"], size["height"])
        self.evaluate(DRAWN)
        return self.picture()

    def _sized(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser with one page, which is ended with all that it wrote."""
    (read, commands), (answers, write) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={profile}",
        ]  # fmt: skip
        with subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "browser", *words],
            pass_fds=(read, write), stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            os.close(read)
            os.close(write)
            with os.fdopen(answers, "rb") as reader:
                try:
                    yield Tab(commands, reader)
                finally:
                    os.close(commands)
                    process.terminate()


def saved(picture: bytes, path: Path, colours: int = 128) -> None:
    """Writes a picture as PNG with a palette, or, where it shows too many colours for one, as WebP.

    Args:
        picture: As PNG.
        path: Where to, with the suffix of its format.
        colours: Size of the palette.
    """
    from PIL import Image

    with Image.open(BytesIO(picture)) as shot:
        image = shot.convert("RGB")
    if path.suffix == ".webp":
        image.save(path, quality=80, method=6)
    else:
        image.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
