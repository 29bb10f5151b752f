"""Short tables of the documentation, from result files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
    """Seconds of each command until its first line and its begin, where measured, and until it works or ends."""
    rows = [
        (f"`{command}`", "-", "-", f"{part['processor']:.2f}", f"{part['wall']:.2f}")
        for command, part in result.get("without_model", {}).items()
    ]
    for command, part in result.get("with_model", {}).items():
        work = part["processor_until_work"]
        begun = part.get("processor_until_begun", work)
        until = (part["processor_until_first_line"], begun, work, part["wall_until_work"])
        rows.append((f"`{command}`", *(f"{seconds:.2f}" for seconds in until)))
    header = ("command", "first line after (s)", "begins after (s)", "ends, or works, after (s)", "on the clock (s)")
    return _lines(header, rows)


def oracle_thresholds(result: dict[str, Any]) -> str:
    """Mistakes of `SentenceEmbedder` by threshold, and of the other embedders at its default."""
    shown = {"SentenceEmbedder": ("0.6", "0.65", "0.7", "0.8", "0.9")}
    rows = []
    for name, by_threshold in result["embedders"].items():
        for threshold in shown.get(name, ("0.7",)):
            found = by_threshold[threshold]
            rounded = (float(f"{100 * found[part]:.2g}") for part in ("missed", "confused", "like_another"))
            shares = (f"{share:g} %" for share in rounded)
            rows.append((f"`{name}`", threshold, *shares))
    others = result["captions"] - 1
    header = (
        "wordings of the same thing missed",
        "captions of two things taken for one",
        f"like one of {others} others",
    )
    return _lines(("embedder", "threshold", *header), rows)
