"""Accuracy for benchmarks/training.py: right or wrong per picture, level and attack.

Pictures that are wrong clean, or that an earlier attack broke, are done. PGD-20 sees all others of a split; APGD-CE and
APGD-T at few targets and half their usual steps see those of a subset that PGD-20 left standing, and "apgd" is the
worst case of the three; APGD-T at all its targets, FAB-T and Square see those of a smaller subset that are still
standing, and "autoattack" is the worst case of all. Each level is attacked through its own classifier, and all pictures
that are left share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from training_methods import EPS, Sizes
from training_runs import Subject

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan, evaluate_robustness
from hrvlm.attacks.records import CLEAN, RobustnessRecord
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, LevelKey

LEAF, TOGETHER = "leaf", "all levels"
PGD, APGD, AUTOATTACK = "pgd20", "apgd", "autoattack"
FOLLOWING = {APGD: ("apgd-ce", "apgd-t"), AUTOATTACK: ("apgd-t", "fab-t", "square")}


def level_name(classifier: HierarchicalClassifier, key: LevelKey) -> str:
    """A level in the results: "leaf", or its name in the Unicode tree."""
    return classifier.forest[key.tree].levels[key.level].name if key.level else LEAF


def first_lines(subject: Subject, split: str, sizes: Sizes) -> list[dict[str, Any]]:
    """Results of a split clean and under PGD-20, of each level, and of all levels together under PGD-20 at the leaf."""
    classifier, data = subject.on(split)
    nested = narrowed([len(data)], sizes.pgd)
    records = _records(classifier, data, subset(nested), PGD, sizes, transfer=True)
    found = []
    for attack in (CLEAN, PGD):
        seen = [record for record in records if record.attack == attack]
        for key in classifier.keys:
            own = [r for r in seen if r.level == key.level and r.attacked_level in (None, key.level)]
            signs = {record.index: record.correct for record in own}
            found.append(_line(split, attack, level_name(classifier, key), nested, signs))
        together: dict[int, bool] = {}
        for record in seen:
            if not record.attacked_level:
                together[record.index] = together.get(record.index, True) and record.correct
        found.append(_line(split, attack, TOGETHER, nested, together))
    return found


def following_lines(subject: Subject, attack: str, before: list[dict[str, Any]], sizes: Sizes) -> list[dict[str, Any]]:
    """Results under "apgd" or "autoattack", on some of the pictures that were attacked before.

    Args:
        subject: The model.
        attack: Which.
        before: Results of the attack before on one split, a line per level.
        sizes: How many pictures.
    """
    split = before[0]["split"]
    classifier, data = subject.on(split)
    standing = {line["level"]: signs(line) for line in before}
    nested = narrowed(before[0]["subset"], getattr(sizes, attack))
    if attack == APGD:
        effort = replace(sizes.attack, max_targets=sizes.apgd_targets, apgd_steps=sizes.apgd_steps)
        sizes = replace(sizes, attack=effort)
    found = []
    for key in classifier.keys:
        level = level_name(classifier, key)
        right = {index: standing[level][index] for index in subset(nested)}
        for member in FOLLOWING[attack]:
            left = [index for index in right if right[index]]
            records = _records(classifier, data, left, member, sizes, levels=[key])
            right |= {record.index: record.correct for record in records if record.attack == member}
        found.append(_line(split, attack, level, nested, right))
    return found


def _records(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    attack: str,
    sizes: Sizes,
    *,
    transfer: bool = False,
    levels: list[LevelKey] | None = None,
) -> list[RobustnessRecord]:
    """Rows of one attack, and clean ones."""
    plan = RobustnessPlan(attacks=[attack], threat_model=ThreatModel(eps=EPS), transfer=transfer, settings=sizes.attack)
    batches = evaluate_robustness(classifier, data, indices, plan, levels=levels)
    return [record for batch in batches for record in batch]


def _line(split: str, attack: str, level: str, nested: list[int], right: dict[int, bool]) -> dict[str, Any]:
    """A result: which pictures are right, as a digit each, in the order of their indices in the data set."""
    digits = "".join(str(int(right[index])) for index in subset(nested))
    return {"split": split, "attack": attack, "level": level, "subset": nested, "right": digits}


def narrowed(nested: list[int], count: int | None) -> list[int]:
    """The sizes of nested subsets with one more, of at most so many pictures."""
    return [*nested, nested[-1] if count is None else min(count, nested[-1])]


def subset(nested: Sequence[int]) -> list[int]:
    """Indices of pictures: of so many in a split so many, evenly spread, and of these so many, and so on."""
    found = list(range(nested[0]))
    for count in nested[1:]:
        found = [found[place] for place in evenly_spread(len(found), count)]
    return found


def signs(line: dict[str, Any]) -> dict[int, bool]:
    """Right or wrong by index."""
    return {index: digit == "1" for index, digit in zip(subset(line["subset"]), line["right"], strict=True)}
