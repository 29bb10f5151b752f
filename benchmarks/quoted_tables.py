"""Short tables of the documentation, from result files: `python benchmarks/quoted_tables.py` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS, RESULTS = Path(__file__).parents[1] / "docs", Path(__file__).parent / "results"
DECODED = ("path", "leaves")  # which the attack on decoded labels is worth telling of


def _lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)) + "\n"


def coherence(result: dict[str, Any]) -> str:
    """Leaf accuracy, and all levels together, in percent: per kind of pictures and decoding."""
    kinds = dict.fromkeys(row["pictures"] for row in result["rows"])
    found = []
    for kind in kinds:
        for row in result["rows"]:
            if row["pictures"] != kind or (kind.endswith("decoded leaf") and row["decoding"] not in DECODED):
                continue
            both = [
                " / ".join(f"{100 * row['together'][tree][key]:.1f}" for tree in ("emoji_unicode", "emoji_wordnet"))
                for key in ("hca", "mta")
            ]
            found.append((kind, row["decoding"], f"{100 * row['accuracy']['emoji']:.1f}", *both))
    return _lines(("pictures", "decoding", "leaf", "HCA Unicode / WordNet", "MTA Unicode / WordNet"), found)


def joint(result: dict[str, Any]) -> str:
    """Extents at the first radius and radii at the last extent, of both attributes: the vote and the mean score."""
    at, angle = result["mean_extent_at_radii"][0], result["mean_radius_at_extents"][-1]
    titles = {"emoji": "emoji (501 classes)", "emoji_unicode/subgroup": "subgroup", "emoji_unicode/group": "group"}
    rows = []
    for level, title in titles.items():
        own = [result["statements"][f"cosine/{level}/{name}"] for name in ("small", "blue background")]
        cells = [
            " and ".join(f"{of[method][key][place]:.{digits}f}" for of in own) + unit
            for key, place, digits, unit in (("extent", 0, 2, " rad"), ("radius", -1, 3, ""))
            for method in ("vote", "mean")
        ]
        rows.append((title, *cells))
    header = (f"extent at radius {at:g}: vote", "mean score", f"radius at {angle:g} rad: vote", "mean score")
    return _lines(("cosine scorer, level", *header), rows)


def start_up(result: dict[str, Any]) -> str:
    """Processor seconds of each command until its first line, where that is measured, and until it works or ends."""
    rows = [
        (f"`{command}`", "-", f"{part['processor']:.2f}") for command, part in result.get("without_model", {}).items()
    ]
    for command, part in result.get("with_model", {}).items():
        until = (part[f"processor_until_{what}"] for what in ("first_line", "work"))
        rows.append((f"`{command}`", *(f"{seconds:.2f}" for seconds in until)))
    return _lines(("command", "first line after (s)", "ends, or works, after (s)"), rows)


QUOTED: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "coherence": ("robustness.md", coherence),
    "joint": ("certificates.md", joint),
    "start_up": ("commands.md", start_up),
}
"""Page and table of each result file."""


def marked(name: str) -> str:
    """A table between its marks."""
    result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return f"<!-- {name}.json -->\n{QUOTED[name][1](result)}<!-- end of {name}.json -->\n"


def quote(name: str) -> None:
    """Puts a table into its page."""
    page = DOCS / QUOTED[name][0]
    before, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name}.json -->\n")
    after = rest.partition(f"<!-- end of {name}.json -->\n")[2]
    page.write_text(before + marked(name) + after, encoding="utf-8")


if __name__ == "__main__":
    for each in QUOTED:
        quote(each)
