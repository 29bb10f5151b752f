"""Whatever the documentation gives as measured stands in a result file.

A number with a unit behind it, or alone in a cell of a table, is marked as one of a result file, or stands in a table
that is made of one (`benchmarks/requote.py`). `UNMEASURED` lists the others, and what they are.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from documented import PAGES, ROOT

NUMBER = r"(?<![\w.,/-])\d[\d,]*(?:\.\d+)?"
UNIT = r"(?:%|(?:points|times|s|ms|seconds?|minutes?|hours?|[KMG]i?B(?:/s)?|(?:\w+ )?(?:per|a) second)\b)"
WITH_UNIT = re.compile(rf"{NUMBER} ?{UNIT}|(?<=\| ){NUMBER}(?= [|±])")
NOT_TEXT = (r"^```.*?^```", r"<!-- fields of .*?<!-- end of", r"`[^`\n]+`", r"\]\([^)\n]*\)")

CONFIDENCE, SETTING, EXAMPLE = "of an interval, by definition", "a bound or default of the program", "an example"
ARITHMETIC = "follows from a formula, or from the numbers beside it"
UNMEASURED: dict[str, dict[str, str]] = {
    "SECURITY.md": dict.fromkeys(("16 MiB", "500,000", "100", "1,000,000"), SETTING),
    "docs/certificates.md": {"2 MB": ARITHMETIC},
    "docs/certify.md": {"95 %": CONFIDENCE},
    "docs/commands.md": {"5 seconds": SETTING, **dict.fromkeys("012", "exit codes")},
    "docs/data.md": {"64 times": SETTING, "256 MiB": SETTING, "1 MiB": SETTING, "224 pixels a second": "a size"},
    "docs/generative.md": {
        **dict.fromkeys(("10 %", "5 %", "20 %", "0.55", "0.64", "0.09", "0.671", "0.12", "0.526", "0.40"), EXAMPLE),
        **dict.fromkeys(("100 times", "53 %", "35 %"), ARITHMETIC),
    },
    "docs/oracles.md": {"20 %": EXAMPLE},
    "docs/read_a_certificate.md": {"95 %": CONFIDENCE},
    "docs/scale.md": {
        "30 seconds": SETTING,
        "39,000 copies a second": "assumed",
        "3,350 GB/s": "the maker's",
        **dict.fromkeys(("1,000", "10,000", "100,000"), SETTING),
        **dict.fromkeys(("0.6 MB", "23 GB/s", "188 GB/s", "40 seconds"), ARITHMETIC),
        **dict.fromkeys((f"{minutes} minutes" for minutes in (3, 7, 21, 27)), ARITHMETIC),
        **dict.fromkeys((f"{hours} hours" for hours in ("1.1", "3.6", "4.5", "36")), ARITHMETIC),
    },
    "docs/smoothing.md": {"20 %": EXAMPLE, **dict.fromkeys(("1.8 times", "17 %", "4 %"), ARITHMETIC)},
    "docs/trees.md": {"16 MiB": SETTING},
    "docs/zero_shot.md": {"95 %": CONFIDENCE},
}


@pytest.fixture
def requote(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The rules of quoting."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("requote")


def unmarked(text: str, requote: ModuleType) -> set[str]:
    """Numbers with a unit, or alone in a cell, of no result file."""
    for pattern in (requote.NUMBER, requote.TABLE):
        text = pattern.sub("", text)
    for pattern in NOT_TEXT:
        text = re.sub(pattern, "", text, flags=re.DOTALL | re.MULTILINE)
    return set(WITH_UNIT.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_numbers_with_units_are_of_result_files(page: Path, requote: ModuleType) -> None:
    told = "mark it as one of a result file (docs/benchmarks.md), or list in UNMEASURED what it is"
    listed = UNMEASURED.get(page.relative_to(ROOT).as_posix(), {})
    assert unmarked(page.read_text(encoding="utf-8"), requote) == set(listed), told


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 1.5 s, not 20 ms.", {"1.5 s", "20 ms"}),
        ("at 1,200 images per second, 12.5% of them", {"1,200 images per second", "12.5%"}),
        ("| clean | 62.5 | 3 of 4 |", {"62.5"}),
        ("| clean | 62.5 ± 0.3 |\n| --- | --- |\n| 7 | 8 |", {"62.5", "7", "8"}),
        ("5<!-- = joint.json: images --> s, `6 s`, [a](b_7 s), 8 pictures, version 2.0", set()),
        ("```bash\nsleep 5 s\n```\n<!-- joint.json -->\n| 5 |\n<!-- end of joint.json -->\n", set()),
    ],
)
def test_what_counts_as_measured(text: str, found: set[str], requote: ModuleType) -> None:
    assert unmarked(text, requote) == found
