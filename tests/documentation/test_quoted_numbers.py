"""Numbers that the documentation quotes are those of the result files, to the digits that are shown.

A comment right behind a number names file and key: `68.9 %<!-- = packaged_model.json: unseen_artist / emoji -->`.
Steps of a key stand between " / "; a number in percent is 100 times what the file holds.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from documented import PAGES, ROOT, blocks_of

from hrvlm.certificates.kinds.verify import verify_rows

RESULTS = ROOT / "benchmarks" / "results"
QUOTED = re.compile(r"(?P<number>-?[\d,]*\.?\d+)(?P<percent> ?%)?<!-- = (?P<file>[\w.]+): (?P<key>.+?) -->")


def quoted(text: str) -> list[re.Match[str]]:
    """Every number with such a comment.

    Raises:
        ValueError: If a comment has no number before it.
    """
    found = list(QUOTED.finditer(text))
    if len(found) != text.count("<!-- = "):
        raise ValueError(f"expected a number before each comment of {text.count('<!-- = ')}, got {len(found)}")
    return found


def differences(text: str) -> list[str]:
    """What is quoted otherwise than the file has it."""
    wrong = []
    for match in quoted(text):
        value: Any = json.loads((RESULTS / match["file"]).read_text(encoding="utf-8"))
        for step in match["key"].split(" / "):
            value = value[int(step)] if isinstance(value, list) else value[step]
        number = match["number"].replace(",", "")
        digits = len(number.partition(".")[2])
        held = f"{100 * value if match['percent'] else value:.{digits}f}"
        if held != number:
            wrong.append(f"{match['file']}: {match['key']} is {held}, not {number}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_numbers_are_those_of_the_files(page: Path) -> None:
    assert differences(page.read_text(encoding="utf-8")) == []


def test_pages_do_quote() -> None:
    counts = {str(page.relative_to(ROOT)): len(quoted(page.read_text(encoding="utf-8"))) for page in PAGES}
    assert counts["README.md"] >= 6
    assert sum(counts.values()) >= 12


def test_another_number_is_seen() -> None:
    assert differences("68.9 %<!-- = packaged_model.json: unseen_artist / emoji -->") == []
    assert differences("68.8 %<!-- = packaged_model.json: unseen_artist / emoji -->") == [
        "packaged_model.json: unseen_artist / emoji is 68.9, not 68.8"
    ]
    with pytest.raises(KeyError):
        differences("68.9 %<!-- = packaged_model.json: unseen_artist / emojis -->")
    with pytest.raises(ValueError, match="a number before each"):
        quoted("about seventy<!-- = packaged_model.json: unseen_artist / emoji -->")


def test_numbers_can_be_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    requoted = import_module("requote").requoted
    comment = "<!-- = packaged_model.json: unseen_artist / emoji -->"
    assert requoted(f"some 12.3 %{comment}, not 12.3 %, of 10") == f"some 68.9 %{comment}, not 12.3 %, of 10"
    assert requoted(f"0.1{comment}") == f"0.7{comment}"


def test_the_table_at_the_top_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    headline = import_module("headline")
    content = json.loads(headline.RESULT.read_text(encoding="utf-8"))
    table, text = headline.markdown(content), headline.README.read_text(encoding="utf-8")
    assert headline.BEGIN + table + headline.END in text
    assert len(table.splitlines()) == 2 + len(headline.METHODS)
    accuracies = [
        row["accuracy"] for row in content["rows"]
        if (row["method"], row["split"], row["attack"], row["level"]) == ("tecoa", "unseen_artist", "pgd20", "leaf")
        and not row.get("noise")
    ]  # fmt: skip
    line = next(line for line in table.splitlines() if "TeCoA" in line)
    assert line.split(" | ")[3].startswith(f"{100 * sum(accuracies) / len(accuracies):.1f}")
    assert len(text.splitlines()) <= 150
    assert text.index(headline.BEGIN) < text.index("## ")


@pytest.mark.parametrize("name", ["coherence", "joint", "start_up"])
def test_short_tables_are_those_of_the_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tables = import_module("quoted_tables")
    assert tables.marked(name) in (tables.DOCS / tables.QUOTED[name][0]).read_text(encoding="utf-8")


def test_a_cell_of_a_short_table_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tables = import_module("quoted_tables")
    result = json.loads((RESULTS / "coherence.json").read_text(encoding="utf-8"))
    row = next(row for row in result["rows"] if (row["decoding"], row["pictures"]) == ("leaves", "clean"))
    line = next(line for line in tables.coherence(result).splitlines() if line.startswith("| clean | leaves |"))
    assert line.split(" | ")[2] == f"{100 * row['accuracy']['emoji']:.1f}"
    assert line.split(" | ")[3].startswith(f"{100 * row['together']['emoji_unicode']['hca']:.1f} / ")


def test_the_row_that_is_read_holds() -> None:
    """The certificate that docs/read_a_certificate.md goes through, and the numbers of its steps."""
    (block,) = [block for block in blocks_of(ROOT / "docs" / "read_a_certificate.md") if block.language == "json"]
    row = json.loads(block.text)
    assert verify_rows([row]) == []
    assert verify_rows([{**row, "radius": 1.05 * row["radius"]}])
    text = (ROOT / "docs" / "read_a_certificate.md").read_text(encoding="utf-8").partition("## From")[2]
    for shown in (f"= {row['lower']:.3f} ", f"= {row['alpha_share']:.5f}\n", f"= {row['radius']:.3f}:"):
        assert shown in text
    assert f"less than {row['radius']:.3f} in L2" in text
    assert f"probability at least {1 - row['alpha']:.2f} " in text
