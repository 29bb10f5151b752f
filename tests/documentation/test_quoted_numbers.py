"""The documentation quotes numbers and tables of the result files as `benchmarks/requote.py` writes them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from documented import PAGES, ROOT, blocks_of

from hrvlm.certificates.kinds.verify import verify_rows

COMMENT = "<!-- = packaged_model.json: unseen_artist / emoji -->"


@pytest.fixture
def requote(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What writes the numbers."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("requote")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_numbers_and_tables_are_those_of_the_files(page: Path, requote: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    assert requote.requoted(text, page.relative_to(ROOT).as_posix()) == text


def test_pages_do_quote(requote: ModuleType) -> None:
    texts = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
    assert len(requote.NUMBER.findall(texts["README.md"])) >= 6
    assert sum(len(requote.NUMBER.findall(text)) for text in texts.values()) >= 60
    tables = {(page, match["file"]) for page, text in texts.items() for match in requote.TABLE.finditer(text)}
    assert tables == set(requote.TABLES)


def test_another_number_is_written_anew(requote: ModuleType) -> None:
    assert requote.requoted(f"some 12.3 %{COMMENT}, not 12.3 %", "") == f"some 68.9 %{COMMENT}, not 12.3 %"
    assert requote.requoted(f"0.1{COMMENT}", "") == f"0.7{COMMENT}"
    with pytest.raises(KeyError):
        requote.requoted("68.9 %<!-- = packaged_model.json: unseen_artist / emojis -->", "")
    with pytest.raises(ValueError, match="a number before each"):
        requote.requoted(f"about seventy{COMMENT}", "")


def test_another_table_is_written_anew(requote: ModuleType) -> None:
    begin, end = "a\n<!-- joint.json -->\n", "<!-- end of joint.json -->\nb"
    table = requote.quoted_tables.joint(json.loads((requote.RESULTS / "joint.json").read_text(encoding="utf-8")))
    assert table.count("\n") == 5
    assert requote.requoted(f"{begin}| 1 |\n{end}", "docs/certificates.md") == begin + table + end
    with pytest.raises(KeyError):
        requote.requoted(f"{begin}| 1 |\n{end}", "docs/data.md")
    with pytest.raises(ValueError, match="pairs of marks"):
        requote.requoted(begin, "docs/certificates.md")


def test_the_table_at_the_top_of_the_readme(requote: ModuleType) -> None:
    headline, text = requote.headline, (ROOT / "README.md").read_text(encoding="utf-8")
    content = json.loads((requote.RESULTS / "training.json").read_text(encoding="utf-8"))
    table = headline.markdown(content)
    assert len(table.splitlines()) == 2 + len(headline.METHODS)
    accuracies = [
        row["accuracy"] for row in content["rows"]
        if (row["method"], row["split"], row["attack"], row["level"]) == ("tecoa", "unseen_artist", "pgd20", "leaf")
        and not row.get("noise")
    ]  # fmt: skip
    line = next(line for line in table.splitlines() if "TeCoA" in line)
    assert line.split(" | ")[3].startswith(f"{100 * sum(accuracies) / len(accuracies):.1f}")
    proved = json.loads((requote.RESULTS / "certified_training.json").read_text(encoding="utf-8"))
    shares = [
        row["certified"]["0.25"] for row in proved["rows"]
        if (row["method"], row["split"], row["sigma"], row["level"]) == ("gaussian", "unseen_artist", 0.25, "group")
    ]  # fmt: skip
    line = next(line for line in table.splitlines() if "Gaussian" in line)
    assert line.split(" | ")[6].startswith(f"{100 * sum(shares) / len(shares):.1f}")
    assert len(text.splitlines()) <= 150
    assert text.index(table) < text.index("## ")


def test_shares_of_all_are_told_in_digits(requote: ModuleType) -> None:
    found = {"missed": 0.0, "confused": 0.00039, "like_another": 0.996}
    table = requote.quoted_tables.oracle_thresholds({"captions": 250, "embedders": {"Any": {"0.7": found}}})
    assert table.splitlines()[-1] == "| `Any` | 0.7 | 0 % | 0.039 % | 100 % |"


def test_a_cell_of_a_short_table_by_hand(requote: ModuleType) -> None:
    tables = requote.quoted_tables
    result = json.loads((requote.RESULTS / "coherence.json").read_text(encoding="utf-8"))
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
