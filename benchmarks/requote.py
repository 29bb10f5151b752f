"""Writes numbers and tables of the result files into the documentation.

    python benchmarks/requote.py

- A number with a comment behind it that names file and key:
  `68.9 %<!-- = packaged_model.json: unseen_artist / emoji -->`. Steps of a key stand between " / ". The number keeps
  its digits behind the point; one in percent is 100 times what the file holds.
- A table between two comments, `<!-- joint.json -->` and `<!-- end of joint.json -->`, as `TABLES` makes it of the
  file; it stays as it is while there is no such file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import headline
import quoted_tables
import scaling_report
import semantic_calibration_report
import semantic_report
import smoothing_report
import speed_report
import training_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NUMBER = re.compile(
    r"(?P<number>-?[\d,]*\.?\d+)(?P<percent> ?%)?(?P<comment><!-- = (?P<file>[\w.]+): (?P<key>.+?) -->)"
)
TABLE = re.compile(r"(?P<begin><!-- (?P<file>\w+\.json) -->\n).*?(?P<end><!-- end of (?P=file) -->)", re.DOTALL)
MARK = re.compile(r"<!-- (?:end of )?\w+\.json -->")
TABLES: dict[tuple[str, str], Callable[[dict[str, Any]], str]] = {
    ("README.md", "training.json"): headline.markdown,
    ("docs/certificates.md", "joint.json"): quoted_tables.joint,
    ("docs/commands.md", "start_up.json"): quoted_tables.start_up,
    ("docs/generative.md", "generative_scaling.json"): scaling_report.quoted,
    ("docs/methods.md", "certified_training.json"): training_table.certified_markdown,
    ("docs/methods.md", "training.json"): training_table.markdown,
    ("docs/oracles.md", "oracle_thresholds.json"): quoted_tables.oracle_thresholds,
    ("docs/robustness.md", "coherence.json"): quoted_tables.coherence,
    ("docs/semantic.md", "semantic.json"): semantic_report.markdown,
    ("docs/semantic.md", "semantic_calibration.json"): semantic_calibration_report.markdown,
    ("docs/smoothing.md", "smoothing.json"): smoothing_report.markdown,
    ("docs/training_speed.md", "training_speed.json"): speed_report.markdown,
}
"""What a page shows of a result file."""


def held(match: re.Match[str]) -> str:
    """The number of a result file, as it is to be quoted."""
    value: Any = json.loads((RESULTS / match["file"]).read_text(encoding="utf-8"))
    for step in match["key"].split(" / "):
        value = value[int(step)] if isinstance(value, list) else value[step]
    digits, point = len(match["number"].partition(".")[2]), "," if "," in match["number"] else ""
    return f"{100 * value if match['percent'] else value:{point}.{digits}f}"


def table_of(match: re.Match[str], page: str) -> str:
    """The table of a result file, between its marks."""
    path = RESULTS / match["file"]
    if not path.exists():
        return match[0]
    table = TABLES[page, match["file"]](json.loads(path.read_text(encoding="utf-8")))
    return match["begin"] + table.rstrip("\n") + "\n" + match["end"]


def requoted(text: str, page: str) -> str:
    """A page as the result files have it.

    Args:
        text: What it says now.
        page: Its path within the repository.

    Raises:
        ValueError: If a comment has no number before it, or a mark of a table no other.
        KeyError: If no such table or key is known.
    """
    if (found := len(NUMBER.findall(text))) != (asked := text.count("<!-- = ")):
        raise ValueError(f"{page}: expected a number before each of {asked} comments, got {found}")
    if 2 * (found := len(TABLE.findall(text))) != (asked := len(MARK.findall(text))):
        raise ValueError(f"{page}: expected pairs of marks of tables, got {asked} marks and {found} pairs")
    text = NUMBER.sub(lambda match: held(match) + (match["percent"] or "") + match["comment"], text)
    return TABLE.sub(lambda match: table_of(match, page), text)


def pages() -> list[Path]:
    """Where numbers are quoted."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """Rewrites the pages that quote other numbers."""
    for path in pages():
        page, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if (now := requoted(text, page)) != text:
            path.write_text(now, encoding="utf-8")
            print(page)


if __name__ == "__main__":
    main()
