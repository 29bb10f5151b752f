"""Rows of every kind, some certifying and some not."""

from __future__ import annotations

from typing import Any

import torch

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.certificates import (
    AffineScorer,
    SemanticRecord,
    SmoothingRecord,
    clopper_pearson_lower,
    semantic_partition,
    smoothing_radius,
)
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.profile.record import SEPARATE_CHAIN, ProfileRecord

Row = dict[str, Any]
NOISE = {
    "sigma": 0.25, "noise_space": "pixels", "alpha": 0.01, "alpha_share": 0.005, "num_statements": 2, "n0": 10,
    "n": 100, "seed": 0, "float_mode": "float32", "threshold": 0.5, "votes": None, "vote_error": None,
    "precision": "float32",
}  # fmt: skip


def smoothing_row(*, index: int = 0, level: int = 0, count: int = 95, label: int = 1, **changes: Any) -> Row:
    lower = clopper_pearson_lower(count, 100, 0.005)
    return SmoothingRecord(
        index=index, label=label, tree="t", level=level, level_name=f"level {level}", prediction=1, correct=label == 1,
        reason=None if lower > 0.5 else "not above 1/2", selection_count=9, count=count, invalid=0, lower=lower,
        radius=smoothing_radius(count, 100, 0.005, 0.25), abstain=lower <= 0.5, **(NOISE | changes),
    ).to_row()  # fmt: skip


def semantic_rows(count: int = 6, *, scorer: str = "cosine", attribute: str = "small", level: int = 0) -> list[Row]:
    generator = torch.Generator().manual_seed(level + 7 * len(attribute))
    unit = torch.nn.functional.normalize
    features, texts, prompts = (
        unit(torch.randn(k, 8, generator=generator, dtype=torch.float64), dim=1) for k in (count, 4, 2)
    )
    partition = semantic_partition(AffineScorer.cosine(texts), features, *prompts)
    described = {"tree": "t", "level": level, "level_name": f"level {level}", "scorer": scorer, "attribute": attribute}
    words = {"source_prompt": "a fox", "target_prompt": f"a {attribute} fox", "stable": [(0.0, 0.5), (0.1, 0.25)]}
    return [
        SemanticRecord.of_partition(partition, i, label=1, index=i, **described, **words).to_row() for i in range(count)
    ]


def joint_row(index: int = 0) -> Row:
    return JointRecord(
        index=index, label=1, tree="t", level=0, level_name="level 0", prediction=1, correct=True, reason=None,
        scorer="cosine", attribute="small", source_prompt="a fox", target_prompt="a small fox", move="turn", steps=4,
        selection_count=9, count=95, histogram=((2, 5), (4, 90)), at_radii=((0.1, 0.7), (0.4, None)),
        at_extents=((0.2, 0.15),), abstain=False, **NOISE,
    ).to_row()  # fmt: skip


def profile_row(index: int = 0, radii: tuple[float, float] = (0.1, 0.3)) -> Row:
    return ProfileRecord(
        index=index, label=1, tree="t", level=0, level_name="level 0", prediction=1, correct=True, reason=None,
        label_functions=1, functions_chosen="before", invalid=0, budget="all radii", split=SEPARATE_CHAIN,
        level_names=("level 0", "level 1"), chain=(1, 0), node_names=("fox", "animal"), labels=(1, 0), counts=(80, 95),
        lower=(0.7, 0.9), radii=radii, asked=(), deepest=(), **NOISE,
    ).to_row()  # fmt: skip


def robustness_rows() -> list[Row]:
    """Two images, two levels: clean, and PGD aimed at each of the levels."""
    rows = []
    for attack, source in [("clean", None), ("pgd20", 0), ("pgd20", 1)]:
        for index in range(2):
            for level in range(2):
                correct = attack == "clean" or (index == 1 and level != source)
                rows.append(RobustnessRecord(
                    stage=None, index=index, tree="t", level=level, level_name=f"level {level}", num_classes=4,
                    attack=attack, attacked_tree=None if source is None else "t", attacked_level=source,
                    attacked=source is not None, norm="linf", eps=4 / 255, label=1, prediction=int(correct),
                    correct=correct, clean_correct=True, broken_by=None, distance=None,
                    members=None if source is None else "pgd20",
                ).to_row())  # fmt: skip
    return rows


def all_rows() -> list[Row]:
    """Certificates of all four kinds."""
    smoothing = [smoothing_row(index=i, level=k, count=c) for k in range(2) for i, c in enumerate([99, 40, 95])]
    return [*smoothing, *semantic_rows(), joint_row(), profile_row()]
