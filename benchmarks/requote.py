"""Writes the numbers of the result files into the documentation, wherever a comment names file and key behind one.

    python benchmarks/requote.py

A number keeps its digits behind the point: `68.9 %<!-- = packaged_model.json: unseen_artist / emoji -->`. Steps of a
key stand between " / "; a number in percent is 100 times what the file holds.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUOTED = re.compile(
    r"(?P<number>-?[\d,]*\.?\d+)(?P<percent> ?%)?(?P<comment><!-- = (?P<file>[\w.]+): (?P<key>.+?) -->)"
)


def held(match: re.Match[str]) -> str:
    """The number of a result file, as it is to be quoted."""
    value: Any = json.loads((RESULTS / match["file"]).read_text(encoding="utf-8"))
    for step in match["key"].split(" / "):
        value = value[int(step)] if isinstance(value, list) else value[step]
    digits, point = len(match["number"].partition(".")[2]), "," if "," in match["number"] else ""
    return f"{100 * value if match['percent'] else value:{point}.{digits}f}"


def requoted(text: str) -> str:
    """A page with the numbers of the files."""
    return QUOTED.sub(lambda match: held(match) + (match["percent"] or "") + match["comment"], text)


def main() -> None:
    """Rewrites the pages that quote other numbers."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        if (now := requoted(text)) != text:
            page.write_text(now, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
