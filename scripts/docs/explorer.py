"""Pictures of the explorer for docs/: the command serves it, a browser votes and attacks, as a person would.

    python scripts/docs/explorer.py

The packaged model looks at the picture of a fox that the page begins with, which takes a minute on two cores and
Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import browser, saved

DOCS = Path(__file__).parents[2] / "docs" / "images"
PICTURES = {
    "explorer.webp": (1280, False),
    "explorer_dark.webp": (1280, True),
    "explorer_phone_dark.webp": (390, True),
}
"""Width and whether it is dark, by name of the file."""
# What the page is made of lies in shadow roots, which a search from outside does not enter.
FIND = """
function* all(root) {
  for (const each of root.querySelectorAll("*")) {
    yield each;
    if (each.shadowRoot) yield* all(each.shadowRoot);
  }
}
const has = (tag, words) => [...all(document)].find((e) => e.matches(tag) && e.textContent.includes(words));
"""
STEPS = (
    'has("p", "Contradicts") || has(".change", "emoji_unicode/group")',
    '(has("button", "Start the vote").click(), true)',
    'has("td", " of 500") && has("p", "bars reach to an L2 radius")',
    '(has("button", "Attack").click(), true)',
    'has("*", "difference, magnified")',
)
"""Each is tried until it is true."""


@contextmanager
def served() -> Iterator[str]:
    """Where the command serves the packaged model."""
    command = [sys.executable, "-m", "hrvlm", "explore", "--checkpoint", "emoji"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        finally:
            server.terminate()


def pictures(folder: Path = DOCS) -> None:
    """Writes what the whole page looks like after a vote and an attack, at several widths, light and dark."""
    with served() as address, browser() as tab:
        for name, (width, dark) in PICTURES.items():
            tab.open(address, width, 900, dark=dark)
            for step in STEPS:
                tab.wait(f"{{{FIND}; Boolean({step})}}")
            saved(tab.whole(), folder / name)


if __name__ == "__main__":
    pictures()
