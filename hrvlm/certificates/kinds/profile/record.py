"""The certified profile of an image in one tree, as a frozen record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hrvlm.certificates.kinds.profile.claim import Budget
from hrvlm.certificates.kinds.sampled import ClassifiedFields
from hrvlm.certificates.statistics.claim import FLOAT_MODES
from hrvlm.rows.fields import BOUND, CLASS, COUNT, NAME, NOT_NEGATIVE, at_least, between, one_of
from hrvlm.rows.record import Key, Record, Row, not_covered

SEPARATE_CHAIN = "chain by separate selection samples"
SAME_CHAIN = "chain by the counted samples, at half alpha"
FREE_CHAIN = "chain by the counted samples, covered by the count that a fixed radius needs"
CHAINS = (SEPARATE_CHAIN, SAME_CHAIN, FREE_CHAIN)
_LISTS = ("level_names", "chain", "node_names", "labels", "counts", "lower", "radii", "asked", "deepest")


@dataclass(frozen=True, kw_only=True)
class ProfileRecord(ClassifiedFields, Record):
    """For every radius the deepest ancestor that the smoothed leaf classifier is certified to stay below.

    Lists run over the levels of the chain, leaves first; the root is left out, it holds at any radius. `level` is 0 and
    `label`, `prediction` and `correct` are about the leaf of the chain.

    Attributes:
        alpha: error probability for the profiles of the image together, and of all label functions that share it.
        alpha_share: the part of alpha spent on this profile.
        num_statements: profiles of the image that share alpha, one per tree.
        n0: selection samples; 0 where the counted ones choose the chain.
        n: counted samples.
        invalid: those without a valid label (no finite scores); they count for no node.
        budget: "all radii": `lower` and `radii` hold for all levels at once, at alpha_share / levels each, so a radius
            may be chosen after looking; "fixed radii": `deepest` holds for all radii of `asked` at once.
        split: how the chain was chosen.
        level_names: names of the levels.
        chain: node of each level, -1 where there is none.
        node_names: their names.
        labels: true node of each level; -1 at all of them where the image has no label.
        counts: samples with a label below each node.
        lower: lower bounds on the probabilities of the nodes, 0 for none, as up to 1/2 where the counted samples chose
            the chain; empty with fixed radii.
        radii: certified L2 radius of each node, 0 for none; empty with fixed radii.
        asked: radii fixed in advance, rising; empty with all radii.
        deepest: deepest certified level at each of them, -1 for the root alone; empty with all radii.
        float_mode: arithmetic of the noise.
        threshold: probability that a node keeps within the radius.
    """

    kind: ClassVar[str] = "profile"
    added: ClassVar[frozenset[str]] = frozenset({"noise_shared", "invalid_selection"})
    limits: ClassVar[Mapping[str, Any]] = {
        "level": at_least(0, 1), "split": one_of(CHAINS), "level_names": tuple[NAME, ...], "chain": tuple[CLASS, ...],
        "labels": tuple[CLASS, ...], "counts": tuple[COUNT, ...], "lower": tuple[BOUND, ...],
        "radii": tuple[NOT_NEGATIVE, ...], "asked": tuple[NOT_NEGATIVE, ...], "deepest": tuple[CLASS, ...],
        "float_mode": one_of(FLOAT_MODES.values()), "threshold": between(0.5, 1.0, open_high=True),
    }  # fmt: skip
    order: ClassVar[tuple[str, ...]] = (
        "sigma", "noise_space", "alpha", "alpha_share", "num_statements", "label_functions", "functions_chosen", "n0",
        "n", "invalid", "budget", "split", "level_names", "chain", "node_names", "labels", "counts", "lower", "radii",
        "asked", "deepest", "seed", "float_mode", "threshold", "votes", "vote_error", "precision", "noise_shared",
        "invalid_selection",
    )  # fmt: skip

    budget: Budget
    level_names: tuple[str, ...]
    chain: tuple[int, ...]
    node_names: tuple[str, ...]
    labels: tuple[int, ...]
    counts: tuple[int, ...]
    lower: tuple[float, ...]
    radii: tuple[float, ...]
    asked: tuple[float, ...]
    deepest: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in _LISTS:
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema, see `Record.to_row`; tuples become lists."""
        row = super().to_row()
        if not all(math.isfinite(number) for name in ("lower", "radii", "asked") for number in row[name]):
            raise ValueError(f"expected finite numbers in the profile of image {self.index}")
        return row | {name: list(row[name]) for name in _LISTS}

    @property
    def key(self) -> Key:
        """One profile per image and tree."""
        return (self.kind, self.index, self.tree)

    def deepest_at(self, radius: float) -> int:
        """Deepest level certified at an L2 radius, -1 for the root alone.

        With fixed radii, what is certified at the next larger one that was asked.
        """
        if self.budget == "all radii":
            return next((level for level, r in enumerate(self.radii) if r > 0 and r >= radius), -1)
        return next((level for r, level in zip(self.asked, self.deepest, strict=True) if r >= radius), -1)

    @property
    def steps(self) -> tuple[tuple[float, int], ...]:
        """The profile: (radius, level), each level being the deepest one certified up to that radius; rising."""
        if self.budget == "fixed radii":
            return tuple(zip(self.asked, self.deepest, strict=True))
        found: list[tuple[float, int]] = []
        for level, radius in enumerate(self.radii):
            if radius > (found[-1][0] if found else 0.0):
                found.append((radius, level))
        return tuple(found)

    @property
    def statement(self) -> str:
        """The claim in words."""
        where = f"image {self.index}, tree {self.tree!r}"
        steps = [(radius, level) for radius, level in self.steps if level >= 0]
        if not steps:
            return f"{where}: abstains ({self.reason}); nothing below the root is certified."
        pieces = "; ".join(f"up to {r!r} below {self.level_names[i]} {self.node_names[i]!r}" for r, i in steps)
        keeps = "the majority" if self.threshold == 0.5 else f"a share above {self.threshold:g}"
        together = f"for {self.num_statements} trees and {self.label_functions} label functions together"
        return (
            f"{where}: under Gaussian noise (sigma {self.sigma:g}, {self.noise_space}) {keeps} of the leaf "
            f"classifier's answers stays, at every point within an L2 distance of the image, {pieces}; false anywhere "
            f"with probability at most {self.alpha:g} over the noise, {together}."
            f"{not_covered(self.functions_chosen, self.noise_shared)}"
        )
