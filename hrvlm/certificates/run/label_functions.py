"""Label functions of kept noisy features, scored again: new prompts, trees, planes or levels without the image tower.

Every set of prompts, trees and levels is a label function of the noisy image, and so is what is asked of it: procedure,
threshold and alpha; the radii of profiles; the planes, radii and extents of joint certificates. One that was fixed
before any result on the noise was seen is certified from kept features exactly as from fresh ones: its labels, or the
extents of its copies, are counted again, at error alpha, or alpha / K for K label functions that are to hold together.
One that was chosen after looking at results on the same noise is not covered by any alpha; its rows say so, and noise
of another seed is the remedy. A ledger beside the features notes which label functions have been scored, so that a row
cannot pass for one of the first kind by accident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hrvlm.certificates.kinds.interface import LEVELS, SOURCES, account_of
from hrvlm.certificates.kinds.registry import kinds
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.models import HierarchicalClassifier, state_digest
from hrvlm.rows.record import FunctionsChosen
from hrvlm.trees import ClassTree


@dataclass(frozen=True)
class LabelFunction:
    """A label function that a plan scores.

    Attributes:
        digest: tells it from others.
        plan: the part of the plan whose rows come of it.
        spends: whose alpha these rows share.
    """

    digest: str
    plan: CertificationPlan
    spends: str

    def declared(self, chosen: FunctionsChosen) -> LabelFunction:
        """The same, with rows that say how it was chosen."""
        sampling = replace(self.plan.sampling, functions_chosen=chosen)
        return replace(self, plan=replace(self.plan, sampling=sampling))


def label_functions(classifier: HierarchicalClassifier, plan: CertificationPlan) -> list[LabelFunction]:
    """Label functions of a plan: of levels, and of kinds that add to them, such as the radii of profiles.

    Each tells apart all that its rows could be made more favourable with after looking: what is asked, at which alpha.
    The number of label functions that share alpha is left out, as it may grow while they are found.
    """
    labels, asked, found = function_of(classifier), plan.asked, []
    if not asked or any(kind.source != "features" for kind in asked):
        shared = [kind.name for kind in kinds() if kind.spends in (None, LEVELS)]
        found.append(LabelFunction(_digest([labels, account_of(plan)]), plan.only(shared), LEVELS))
    for kind in sorted(asked, key=lambda kind: SOURCES.index(kind.source)):  # as they are certified
        if kind.spends not in (None, LEVELS):
            told = _digest([labels, *(kind.account(plan) or [])])
            found.append(LabelFunction(told, plan.only([kind.name]), str(kind.spends)))
    return found


def passes(functions: Iterable[LabelFunction], plan: CertificationPlan) -> list[CertificationPlan]:
    """Plans that make the rows of all functions of a plan, with one pass for those whose rows were chosen alike."""
    chosen: dict[FunctionsChosen, list[CertificationPlan]] = {}
    for function in functions:
        chosen.setdefault(function.plan.sampling.functions_chosen, []).append(function.plan)
    return [
        replace(plan.only({kind.name for part in parts for kind in part.asked}), sampling=parts[0].sampling)
        for parts in chosen.values()
    ]


def function_of(classifier: HierarchicalClassifier) -> str:
    """Digest of the labels of levels: prompts and tree structure of each. The weights belong to the store."""
    return _digest(_told(classifier))


def described_trees(classifier: HierarchicalClassifier) -> list[dict[str, Any]]:
    """The trees as folders of rows know them, JSON values: name, names of levels, digest of prompts and ancestors."""
    told = _told(classifier)
    return [
        {
            "name": tree.name,
            "levels": [level.name for level in tree.levels],
            "digest": _digest([level[1:] for level in told if level[0] == index]),
        }
        for index, tree in enumerate(classifier.forest)
    ]


def model_identity(classifier: HierarchicalClassifier) -> dict[str, Any]:
    """Digest of the weights of model and head, and the trees, as folders of rows note them."""
    state = classifier.model.state_dict() | classifier.head.state_dict(prefix="head.")
    return {"weights": state_digest(state), "trees": described_trees(classifier)}


def _told(classifier: HierarchicalClassifier) -> list[list[Any]]:
    """Of each level: number of its tree, of itself, its tree's name, prompts, ancestor of every leaf, any decoding."""
    decoding = [] if classifier.decoding == "independent" else [classifier.decoding]
    told = []
    for key, ancestors in classifier.ancestors.items():
        tree = classifier.forest[key.tree]
        told.append([key.tree, key.level, tree.name, _prompts(tree, key.level), ancestors.tolist(), *decoding])
    return told


def _prompts(tree: ClassTree, level: int) -> list[Any]:
    """The prompt of each node; a list of them where it has several."""
    wordings = tree.wordings(level)
    return [list(texts) if len(texts) > 1 else texts[0] for texts in wordings]


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
