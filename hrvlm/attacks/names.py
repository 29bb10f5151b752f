"""The attacks by name, and what they may be told: what options and rows need of them, which is no attack itself.

Where the names come from is said in `hrvlm.attacks.ensemble`, which makes the attacks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hrvlm.attacks.perturbation import MAX_STEPS, check_steps
from hrvlm.attacks.records import CLEAN

AUTOATTACK = ("apgd-ce", "apgd-t", "fab-t", "square")
ENSEMBLES = {"autoattack": AUTOATTACK, "apgd": AUTOATTACK[:2]}
NAMED = ("cw", *ENSEMBLES, *AUTOATTACK)
OTHER_NAMES = {"aa": "autoattack"}
STEPS = re.compile(r"(pgd|margin)([1-9]\d{0,99})")
"""Attacks of any number of steps."""
_PARTING = re.compile(r"(leaf-kept|superclass-kept)([1-9]\d{0,99})")


@dataclass(frozen=True, kw_only=True)
class AttackSettings:
    """What attacks may be told besides name and budget; the defaults are those of their papers.

    Attributes:
        seed: Seed of all random numbers that attacks draw.
        cw_steps: Iterations of CW.
        cw_c: Weights of CW's margin against the squared l2 distance, tried in this order on the images left standing
            (torchattacks has no search for it, and one alone fails where scores are on another scale).
        cw_learning_rate: Of CW's Adam, in tanh space.
        apgd_steps: Iterations of APGD, per target where it has targets.
        fab_steps: Iterations of FAB per target.
        square_queries: Queries of Square.
        max_targets: How many classes APGD-T and FAB-T aim at, the likeliest first; fewer where there are fewer.
    """

    seed: int = 0
    cw_steps: int = 50
    cw_c: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0, 1000.0])
    cw_learning_rate: float = 0.01
    apgd_steps: int = 100
    fab_steps: int = 100
    square_queries: int = 5000
    max_targets: int = 9

    def __post_init__(self) -> None:
        for name in ("cw_steps", "apgd_steps", "fab_steps", "square_queries", "max_targets"):
            if not 1 <= getattr(self, name) <= MAX_STEPS:
                raise ValueError(
                    f"expected {name} in [1, {MAX_STEPS:,}] in the attack settings, got {getattr(self, name)}"
                )
        if not self.cw_c or not all(0.0 < value < math.inf for value in (*self.cw_c, self.cw_learning_rate)):
            raise ValueError(
                "expected cw_c (at least one) and cw_learning_rate > 0 and finite in the attack settings, "
                f"got {self.cw_c} and {self.cw_learning_rate}"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"expected a seed from 0 to 2**63 - 1 in the attack settings, got {self.seed}")


def named_attacks(names: Sequence[str]) -> list[str]:
    """Attacks by the names that rows have for them, without "clean": clean images are evaluated whatever is named.

    Args:
        names: See `check_attacks`; "aa" is AutoAttack, and "clean" may be among them, or be all.

    Raises:
        ValueError: With what there is.
    """
    found = [OTHER_NAMES.get(name, name) for name in names]
    if found == [CLEAN]:
        return []
    attacks = [name for name in found if name != CLEAN]
    check_attacks(attacks if found.count(CLEAN) < 2 else found)
    return attacks


def check_attacks(names: Sequence[str]) -> None:
    """Refuses unknown and repeated attacks.

    Raises:
        ValueError: With what there is.
    """
    for name in names:
        match = STEPS.fullmatch(name) or parting(name)
        if name not in NAMED and not match:
            raise ValueError(
                f'expected attacks among "pgd20", "margin20", "leaf-kept20", "superclass-kept20" (any number of steps)'
                f", {', '.join(NAMED)}, got {name!r}"
            )
        if match:
            check_steps(int(match[2]))
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected at least one attack, each named once, got {list(names)}")


def parting(name: str) -> re.Match[str] | None:
    """What is kept, and in how many steps, if a name is that of an attack on coherence; see `attacks.contradiction`."""
    return _PARTING.fullmatch(name)
