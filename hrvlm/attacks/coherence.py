"""Whether the levels of a tree are right together, clean and under each attack, from robustness rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hrvlm.attacks.records import CLEAN
from hrvlm.trees.coherence import hierarchical_consistent_accuracy, mean_treecut_accuracy

Row = Mapping[str, Any]
Aim = tuple[str, str | None, int | None]
Node = tuple[int, int]  # right and predicted


def coherence(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Accuracy over all levels of each tree, per attack and attacked level.

    Args:
        rows: Of one stage, norm and budget.

    Returns:
        An entry per tree of at least two levels and attack ("clean" first), as attack, attacked_tree, attacked_level
        and tree, over the "images" of which every level was evaluated: "hca" and "mta" (see `hrvlm.trees.coherence`),
        and the shares of images whose leaf is right while a superclass is wrong ("leaf_alone"), and whose superclasses
        are all right while the leaf is wrong ("superclasses_alone").
    """
    found: dict[Aim, dict[tuple[str, int], dict[int, Node]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        aim = (row["attack"], row.get("attacked_tree"), row.get("attacked_level"))
        place = (row["tree"] if row["level"] else "", row["level"])  # the leaves belong to every tree
        found[aim][place][row["index"]] = (row["label"], row["prediction"])
    ordered = sorted(found.items(), key=lambda item: item[0][0] != CLEAN)
    trees = list(dict.fromkeys(tree for levels in found.values() for tree, level in levels if level))
    return [entry for aim, levels in ordered for tree in trees for entry in _entry(aim, tree, levels, found)]


def _entry(
    aim: Aim,
    tree: str,
    levels: Mapping[tuple[str, int], Mapping[int, Node]],
    found: Mapping[Aim, Mapping[tuple[str, int], Any]],
) -> Iterator[dict[str, Any]]:
    """The entry of a tree under an attack, if there are images of which every level was evaluated."""
    heights = {level for other in found.values() for name, level in other if name == tree or level == 0}
    places = [("" if level == 0 else tree, level) for level in sorted(heights)]
    whole = set.intersection(*(set(levels.get(place, ())) for place in places))
    if not whole or 0 not in heights:
        return
    pairs = [[levels[place][index] for place in places] for index in sorted(whole)]
    labels = [[right for right, _ in pair] for pair in pairs]
    predictions = [[given for _, given in pair] for pair in pairs]
    leaf = [pair[0][0] == pair[0][1] for pair in pairs]
    above = [all(right == given for right, given in pair[1:]) for pair in pairs]
    yield {
        "attack": aim[0],
        "attacked_tree": aim[1],
        "attacked_level": aim[2],
        "tree": tree,
        "images": len(pairs),
        "hca": hierarchical_consistent_accuracy(labels, predictions),
        "mta": mean_treecut_accuracy(labels, predictions),
        "leaf_alone": sum(low and not high for low, high in zip(leaf, above, strict=True)) / len(pairs),
        "superclasses_alone": sum(high and not low for low, high in zip(leaf, above, strict=True)) / len(pairs),
    }
