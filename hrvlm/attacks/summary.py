"""Averages of robustness rows, recomputed from rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hrvlm.attacks.coherence import coherence
from hrvlm.attacks.records import CLEAN, RobustnessRecord, own_level
from hrvlm.rows.measures import ALL, Measure, Measured

Row = Mapping[str, Any]
Level = tuple[str, int]


def summarise_robustness(rows: Iterable[Row]) -> dict[str, Any]:
    """Aggregates of the rows of one stage as plain nested dictionaries, ready for JSON.

    Args:
        rows: Of one stage, norm and budget; one per image, attack, attacked level and evaluated level.

    Returns:
        `{"norm", "eps", "images", "levels": [...], "transfer": {attack: [...]}, "coherence": [...]}`. An entry of
        "levels" has tree, level, level_name, num_classes, clean accuracy and per attack "accuracy" (of all images: one
        misclassified when clean is not robust), "attacked", "broken" and "median_distance" (of those with one); where
        several attacks were run,
        "worst" has their names and the "accuracy" under the strongest for each image. An entry of "transfer" has the
        attacked and the evaluated level, "accuracy" (of all images, those not attacked as they are), "both" (images
        attacked that the evaluated level gets right when clean) and "flipped" (how many of these it then gets wrong).
        "coherence" is there where images have rows of all levels, see `hrvlm.attacks.coherence`.
        "invalid" tells of how many images scores were not finite, clean or attacked, if of any; they count as wrong.

    Raises:
        ValueError: If rows of several stages or budgets are mixed, or a row occurs twice.
    """
    rows = list(rows)
    _check(rows)
    invalid = {row["index"] for row in rows if row["prediction"] < 0}
    levels: dict[Level, list[Row]] = defaultdict(list)
    transfer: dict[str, dict[tuple[Level, Level], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        level = (row["tree"], row["level"])
        if own_level(row):
            levels[level].append(row)
        if row["attack"] != CLEAN:
            transfer[row["attack"]][(row["attacked_tree"], row["attacked_level"]), level].append(row)
    return (
        {
            "norm": rows[0]["norm"] if rows else None,
            "eps": rows[0]["eps"] if rows else None,
            "images": len({row["index"] for row in rows}),
            "levels": [_level(group) for group in levels.values()],
            "transfer": {name: [_pair(group) for group in pairs.values()] for name, pairs in transfer.items()},
        }
        | _given("coherence", coherence(rows))
        | _given("invalid", len(invalid))
    )


def _given(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def summarise_budgets(rows: Iterable[Row]) -> dict[str, Any]:
    """Aggregates of the rows of a run: of several budgets, those of each by itself.

    Args:
        rows: Of one stage and norm; see `summarise_robustness`.

    Returns:
        That of one budget as `summarise_robustness` gives it; else `{"norm", "eps": [...], "images", "budgets": [...]}`
        with one such summary per budget.
    """
    groups: dict[float, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["eps"]].append(row)
    found = [summarise_robustness(groups[eps]) for eps in sorted(groups)] or [summarise_robustness([])]
    if len(found) == 1:
        return found[0]
    images = max(summary["images"] for summary in found)
    return {"norm": found[0]["norm"], "eps": sorted(groups), "images": images, "budgets": found}


def begun_attacks(rows: Iterable[Row]) -> list[str]:
    """Names of the attacks that were stopped before they had rows of all images, and not gone on with.

    Args:
        rows: Of a run.
    """
    images: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for row in rows:
        images[row["attack"], row["eps"], row["attacked_tree"], row["attacked_level"]].add(row["index"])
    everyone = set[int]().union(*images.values())
    return list(dict.fromkeys(aim[0] for aim, found in images.items() if len(found) < len(everyone)))


def _check(rows: list[Row]) -> None:
    kinds = {(row["stage"], row["norm"], row["eps"]) for row in rows}
    if len(kinds) > 1:
        raise ValueError(
            f"expected rows of one stage, norm and eps, got {sorted(kinds, key=str)}; summarise each alone"
        )
    names = ("index", "attack", "attacked_tree", "attacked_level", "tree", "level")
    if len({tuple(row[name] for name in names) for row in rows}) < len(rows):
        raise ValueError("expected one row per image, attack, attacked and evaluated level, got some twice")


def _level(rows: list[Row]) -> dict[str, Any]:
    first = rows[0]
    by_attack: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_attack[row["attack"]].append(row)
    clean, worst = share(by_attack.pop(CLEAN, [])), worst_case(rows)
    return {
        **{name: first[name] for name in ("tree", "level", "level_name", "num_classes")},
        CLEAN: clean,
        "attacks": {name: _attack(group) for name, group in by_attack.items()},
    } | ({} if worst is None else {"worst": {"attacks": sorted(by_attack), "accuracy": worst}})


def worst_case(rows: Iterable[Row]) -> float | None:
    """Share of images that a level gets right under every attack that was run on it; None of fewer than two attacks.

    Each attack finds only an upper bound of robustness, and the strongest one is another for each image.

    Args:
        rows: Of one level attacked through its own classifier, of one stage, norm and budget; clean ones may be among
            them.
    """
    attacks: set[str] = set()
    right: dict[int, bool] = {}
    for row in rows:
        attacks |= {row["attack"]} - {CLEAN}
        right[row["index"]] = right.get(row["index"], True) and row["correct"]
    return sum(right.values()) / len(right) if len(attacks) > 1 else None


def robustness_measures(records: Sequence[RobustnessRecord]) -> Iterator[tuple[str, Measured]]:
    """By which models are compared: accuracy of each level, clean and under attacks on that level, and the worst case.

    Args:
        records: Of one image and stage, of any budgets.

    Yields:
        The budget in words, and what the image adds to an average.
    """
    groups: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for record in records:
        row = asdict(record)
        if own_level(row):
            tree = record.tree if record.level else ALL
            place = (record.norm, record.eps, tree, record.level, record.level_name)
            groups[place][record.attack] = float(record.correct)
    for (norm, eps, tree, level, level_name), found in groups.items():
        budget = _in_words(norm, eps)
        attacks = sorted(found, key=lambda name: (name != CLEAN, name))
        values = [(name if name == CLEAN else f"under {name}", found[name]) for name in attacks]
        strongest = [name for name in attacks if name != CLEAN]
        if len(strongest) > 1:
            values.append((f"under the worst of {', '.join(strongest)}", min(found.values())))
        yield from ((budget, (Measure(tree, level, level_name, name, "right"), value)) for name, value in values)


def coherence_measures(records: Sequence[RobustnessRecord]) -> Iterator[tuple[str, Measured]]:
    """By which models are compared: whether all levels are right together, clean and under attacks on the leaves.

    Args:
        records: Of one image and stage, of any budgets.

    Yields:
        The budget in words, and what the image adds to HCA and MTA of each tree, see `hrvlm.attacks.coherence`; nothing
        for trees of which it has no rows of all levels. The level is one above the top.
    """
    budgets: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for record in records:
        budgets[record.norm, record.eps].append(asdict(record))
    above = 1 + max((record.level for record in records), default=0)
    for budget, rows in budgets.items():
        for entry in coherence(rows):
            if not entry["attacked_level"]:
                under = "" if entry["attack"] == CLEAN else f" under {entry['attack']}"
                place = (entry["tree"], above, "all levels")
                yield _in_words(*budget), (Measure(*place, f"HCA{under}", "right"), entry["hca"])
                yield _in_words(*budget), (Measure(*place, f"MTA{under}", "share"), entry["mta"])


def _in_words(norm: str, eps: float) -> str:
    return f"{norm} eps={eps * 255:.3g}/255"


def _attack(rows: list[Row]) -> dict[str, Any]:
    distances = sorted(row["distance"] for row in rows if row["distance"] is not None)
    return {
        "accuracy": share(rows),
        "attacked": sum(row["attacked"] for row in rows),
        "broken": sum(row["attacked"] and not row["correct"] for row in rows),
        "median_distance": distances[len(distances) // 2] if distances else None,
        "members": rows[0]["members"],
    }


def _pair(rows: list[Row]) -> dict[str, Any]:
    both = [row for row in rows if row["attacked"] and row["clean_correct"]]
    return {
        **{name: rows[0][name] for name in ("attacked_tree", "attacked_level", "tree", "level", "level_name")},
        "accuracy": share(rows),
        "both": len(both),
        "flipped": sum(not row["correct"] for row in both),
    }


def share(rows: list[Row]) -> float | None:
    """Share of rows that are correct; None of no rows."""
    return sum(row["correct"] for row in rows) / len(rows) if rows else None
