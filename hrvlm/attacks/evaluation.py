"""Accuracy of every level's classifier, clean and under attacks aimed at any level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

from torch import Tensor

from hrvlm.attacks.adapter import AttackOutcome, attack
from hrvlm.attacks.contradiction import aim_of, attack_level
from hrvlm.attacks.names import AttackSettings, named_attacks
from hrvlm.attacks.records import CLEAN, RobustnessKey, RobustnessRecord
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.data.items import images_and_labels
from hrvlm.data.sampling import evenly_spread
from hrvlm.models import HierarchicalClassifier, LevelKey, inferring
from hrvlm.old_keys import old_keys

Predictions = dict[LevelKey, Tensor]


@old_keys(norm="threat_model.norm", eps="threat_model.eps")
@dataclass(frozen=True, kw_only=True)
class RobustnessPlan:
    """Which attacks on which images.

    Attributes:
        attacks: Names, see `hrvlm.attacks.adapter.attack`; "aa" is AutoAttack, ["clean"] attacks nothing,
            "leaf-kept20" and "superclass-kept20" set levels against the leaves, see `hrvlm.attacks.contradiction`.
        threat_model: Norm and budget in pixel units: 4/255 is 0.01569.
        budgets: Several budgets eps in place of the threat model's, each as in a run of its own; null takes that one.
        num_images: Size of the fixed subset, spread evenly over the split; None takes every image.
        batch_size: Images per pass; CW and AutoAttack draw and stop by batch, so their results depend on it slightly.
        transfer: Whether each attack is judged at every level, or only at the level it was aimed at.
        settings: Effort and seed of the attacks.
    """

    attacks: list[str] = field(default_factory=lambda: ["pgd20"])
    threat_model: ThreatModel = field(default_factory=ThreatModel)
    budgets: list[float] | None = None
    num_images: int | None = None
    batch_size: int = 128
    transfer: bool = True
    settings: AttackSettings = field(default_factory=AttackSettings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attacks", named_attacks(self.attacks))
        self.threat_model.check_unit()
        threat_models(self.threat_model, self.budgets)
        if self.batch_size < 1 or (self.num_images is not None and self.num_images < 1):
            raise ValueError(f"expected batch_size and num_images >= 1, got {self.batch_size}, {self.num_images}")

    @property
    def threat_models(self) -> list[ThreatModel]:
        """One per budget."""
        return threat_models(self.threat_model, self.budgets)

    def indices(self, size: int) -> list[int]:
        """Data set indices of the subset: fixed, sorted, evenly spread."""
        return evenly_spread(size, self.num_images)


def threat_models(threat_model: ThreatModel, budgets: Sequence[float] | None) -> list[ThreatModel]:
    """The threat model with each of several budgets.

    Args:
        threat_model: Norm, bounds, and the budget where no others are given.
        budgets: Different budgets eps in pixel units; None for that of the threat model.

    Raises:
        ValueError: If one is given twice, none is, or one is out of range.
    """
    if budgets is None:
        return [threat_model]
    if not budgets or len(set(budgets)) < len(budgets):
        raise ValueError(f"expected different budgets eps, at least one, got {list(budgets)}: name each once")
    return [replace(threat_model, eps=eps) for eps in budgets]


def evaluate_robustness(
    classifier: HierarchicalClassifier,
    data: Any,
    indices: Sequence[int],
    plan: RobustnessPlan,
    *,
    stage: str | None = None,
    levels: Sequence[LevelKey] | None = None,
    done: Set[RobustnessKey] = frozenset(),
    progress: Callable[[int], None] = lambda images: None,
) -> Iterator[list[RobustnessRecord]]:
    """Clean and attacked predictions of some images of a data set.

    Args:
        classifier: What is attacked, at each of its levels in turn.
        data: Map-style data set of (image (3, H, W) in [0, 1], leaf label).
        indices: Which images; they are attacked in batches in this order.
        plan: Which attacks.
        stage: For the rows.
        levels: Which levels are attacked; None attacks each.
        done: Keys of the rows that a previous run has written; a batch is attacked again if one of its rows is missing.
        progress: Called with a number of images after each attack on each level, see `count_attacks`.

    Yields:
        The rows of one batch, attack and attacked level at a time, so that they can be written and flushed.
    """
    for start in range(0, len(indices), plan.batch_size):
        batch = _Batch(classifier, data, indices[start : start + plan.batch_size], plan, stage)
        yield batch.missing(batch.clean_records(), done)
        for threat_model, name, key in product(plan.threat_models, plan.attacks, levels or classifier.keys):
            if not batch.keys(name, key, threat_model) <= done:
                yield batch.missing(batch.attacked_records(name, key, threat_model), done)
            progress(len(batch.indices))


def count_attacks(
    classifier: HierarchicalClassifier, num_images: int, plan: RobustnessPlan, levels: Sequence[LevelKey] | None = None
) -> int:
    """To how much `evaluate_robustness` reports progress in sum."""
    return num_images * len(levels or classifier.keys) * len(plan.attacks) * len(plan.threat_models)


class _Batch:
    """A batch of images and what is known of them clean."""

    def __init__(
        self,
        classifier: HierarchicalClassifier,
        data: Any,
        indices: Sequence[int],
        plan: RobustnessPlan,
        stage: str | None,
    ) -> None:
        self.classifier, self.indices, self.plan, self.stage = classifier, list(indices), plan, stage
        device = classifier.text_points(classifier.keys[0]).device
        self.images, self.labels = (tensor.to(device) for tensor in images_and_labels(data, indices))
        self.clean = self._predict(self.images)

    def _predict(self, images: Tensor) -> Predictions:
        with inferring(self.classifier):
            return self.classifier.predict(images)

    def _evaluated(self, attacked: LevelKey) -> Sequence[LevelKey]:
        return self.classifier.keys if self.plan.transfer else [attacked]

    def keys(self, name: str, attacked: LevelKey, budget: ThreatModel) -> set[RobustnessKey]:
        """Keys of all rows of an attack on a level within a budget; an attack on coherence has none for the leaves."""
        if aim_of(name) is not None and attacked.level == 0:
            return set()
        source = (self.classifier.forest[attacked.tree].name, attacked.level)
        targets = [(self.classifier.forest[key.tree].name, key.level) for key in self._evaluated(attacked)]
        return {(self.stage, index, name, *source, *target, budget.eps) for index in self.indices for target in targets}

    def clean_records(self) -> list[RobustnessRecord]:
        """A row per budget, image and level: rows of a budget are those of a run with it alone."""
        return [
            record
            for budget, key in product(self.plan.threat_models, self.classifier.keys)
            for record in self._records(CLEAN, key, self.clean, budget)
        ]

    def attacked_records(self, name: str, attacked: LevelKey, budget: ThreatModel) -> list[RobustnessRecord]:
        """Attacks a level within a budget; a row per image and evaluated level."""
        given = (self.classifier, self.images, self.labels, attacked, budget)
        outcome = attack_level(*given, name, self.plan.settings)
        found = self._predict(outcome.images)
        return [
            record
            for key in self._evaluated(attacked)
            for record in self._records(name, key, found, budget, attacked=attacked, outcome=outcome)
        ]

    def _records(
        self,
        name: str,
        key: LevelKey,
        predictions: Predictions,
        budget: ThreatModel,
        *,
        attacked: LevelKey | None = None,
        outcome: AttackOutcome | None = None,
    ) -> Iterator[RobustnessRecord]:
        forest = self.classifier.forest
        level = forest[key.tree].levels[key.level]
        labels = self.classifier.target(self.labels, key).tolist()
        found, clean = predictions[key].tolist(), self.clean[key].tolist()
        distances = None if outcome is None else outcome.distance.tolist()
        for position, index in enumerate(self.indices):
            distance = None if distances is None else distances[position]
            yield RobustnessRecord(
                stage=self.stage,
                index=index,
                tree=forest[key.tree].name,
                level=key.level,
                level_name=level.name,
                num_classes=len(level.ids),
                attack=name,
                attacked_tree=None if attacked is None else forest[attacked.tree].name,
                attacked_level=None if attacked is None else attacked.level,
                attacked=outcome is not None and bool(outcome.attacked[position]),
                norm=budget.norm,
                eps=budget.eps,
                label=labels[position],
                prediction=found[position],
                correct=found[position] == labels[position],
                clean_correct=clean[position] == labels[position],
                broken_by=None if outcome is None else outcome.broken_by[position],
                distance=None if distance is None or distance != distance else distance,
                members=None if outcome is None else ", ".join(outcome.members),
            )

    @staticmethod
    def missing(records: list[RobustnessRecord], done: Set[RobustnessKey]) -> list[RobustnessRecord]:
        """Those not yet written."""
        return [record for record in records if record.key not in done]


def attacked_predictions(
    classifier: HierarchicalClassifier,
    images: Tensor,
    labels: Tensor,
    key: LevelKey,
    threat_model: ThreatModel,
    *,
    steps: int = 20,
) -> Tensor:
    """Labels (N,) that a level's classifier gives to images attacked by PGD against that classifier.

    The attack starts at the clean images, so that the result does not depend on batching; an image that is
    misclassified at the clean image keeps that label.

    Args:
        classifier: On pixels.
        images: (N, 3, H, W) in [0, 1].
        labels: Leaf labels (N,).
        key: The level that is attacked and evaluated.
        threat_model: Norm and budget.
        steps: Of PGD, with step size 2.5·eps/steps.
    """
    targets = classifier.target(labels, key)
    outcome = attack(partial(classifier.logits, key=key), images, targets, threat_model, f"pgd{steps}")
    with inferring(classifier):
        return classifier.predict(outcome.images, [key])[key]
