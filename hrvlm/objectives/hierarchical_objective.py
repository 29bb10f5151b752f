"""Hierarchical adversarial fine-tuning: alignment at every level under one universal perturbation.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867). Every part
can be switched; with the cosine head the same levels are aligned in Euclidean space, the ablation of the geometry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hrvlm.attacks import Ascent, ThreatModel, perturb_jointly
from hrvlm.models.heads import Head
from hrvlm.objectives.base import PERTURBATION, Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.forest_loss import ForestBatch
from hrvlm.objectives.gathering import across_processes, with_mean_gradient, with_mean_value
from hrvlm.objectives.groups import BatchGroups, TreeTable, group_batch
from hrvlm.objectives.level_scores import LevelScores, tree_scores
from hrvlm.objectives.noisy_model import copies_of_points
from hrvlm.objectives.settings import HeadSettings, LossWeights, TextPerturbation
from hrvlm.objectives.turns import Turn, check_turns, drawn_start, turns
from hrvlm.old_keys import old_keys
from hrvlm.trees import Direction, Forest

Strategy = Literal["universal", "leaf", "per_level", "alternating"]
STRATEGIES = ("universal", "leaf", "per_level", "alternating")
Span = Literal["global", "local"]
HEAD = (
    "curv", "norm_cap", "normalise_texts", "temperature", "image_scale", "text_scales", "logit_scale",
    "trainable_scales", "trainable_temperature",
)  # fmt: skip
FORMER = PERTURBATION | {"head": "head.kind"} | {name: f"head.{name}" for name in HEAD}
FORMER |= {f"lambda_{name}": f"weights.{name}" for name in ("vicinity", "order", "order_image", "order_text")}
FORMER |= {"level_weights": "weights.levels", "image_share": "weights.image_share"}
FORMER |= {"eps_text": "text_perturbation.eps", "step_size_text": "text_perturbation.step_size"}


@old_keys(**FORMER)
class HierarchicalObjective(Objective):
    """L = Σ_trees [Σ_l ω_l·CE_l + λ1·vicinity + λ2·(order of text norms + order of image norms)].

    The sum over the trees is the paper's: the leaf level, which all trees share, counts once per tree, each time with
    that tree's hierarchy-aware negatives.

    Behind m noises (`NoisyModel`) this is SmoothAdv's objective (arXiv 1906.04584) at every set of nodes: one
    perturbation is sought through all of them, and probabilities are averaged over them before the logarithm.
    """

    smooths = True
    ascent_options = frozenset({"loss", "trees_per_step"})
    node_levels: Tensor

    def __init__(
        self,
        *,
        head: HeadSettings = HeadSettings(),
        weights: LossWeights = LossWeights(),
        hnsa: Direction = "both",
        zeta_vicinity: float = 1.0,
        zeta_gap: float = 0.05,
        strategy: Strategy = "universal",
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
        text_perturbation: TextPerturbation = TextPerturbation(),
        average_over: Span = "global",
    ) -> None:
        """Set the parts.

        Args:
            head: Kind and start values of the head; "cosine" is the Euclidean ablation.
            weights: Weights of the terms of the loss.
            hnsa: Levels that hierarchy-aware negatives come from: "both", "up", "down" or "none".
            zeta_vicinity: Distance within which an image counts as aligned with its class text.
            zeta_gap: Gap of norms wanted between neighbouring levels.
            strategy: "universal": one perturbation raises the loss of all levels; "leaf": of the leaf level only;
                "per_level": one perturbation per level, each used for that level's loss (L+1 times the cost);
                "alternating": one perturbation, each step of which raises the loss of one level, in turn.
            threat_model: Norm and budget of the image perturbation.
            ascent: How it is sought.
            text_perturbation: Budget and step of the perturbation of projected text features.
            average_over: What superclasses are averages of in a distributed run: images of all processes ("global":
                loss, perturbations and gradients are those of one process on the global batch), or of each process
                alone ("local": nothing is exchanged but DDP's gradients).

        Raises:
            ValueError: If a name is unknown, or parts do not fit together.
        """
        super().__init__(threat_model=threat_model, ascent=ascent)
        _check_name("strategy", strategy, STRATEGIES)
        _check_name("hnsa", hnsa, ("both", "up", "down", "none"))
        _check_name("average_over", average_over, ("global", "local"))
        self.head_settings, self.weights = head, weights.terms()
        self.image_share, self.leaf_sum_share = weights.image_share, weights.leaf_sum_share
        self.weights.check(head.kind)
        self.strategy, self.hnsa, self.average_over = strategy, hnsa, average_over
        self.soft_targets = weights.soft_targets
        check_turns(ascent, alternate=strategy == "alternating")
        self.zeta_vicinity, self.zeta_gap = zeta_vicinity, zeta_gap
        self.text_perturbation = text_perturbation

    def make_head(self, num_levels: int) -> Head:
        """A Poincaré head with a text scale per level, or a cosine head."""
        return self.head_settings.make(num_levels)

    def bind(self, forest: Forest) -> None:
        """Make the head and the index tensors of every tree, see `Objective.bind`."""
        self.weights.check(self.head_settings.kind, max(len(tree.levels) for tree in forest))
        super().bind(forest)
        places = self.node_slices()
        tables = []
        for index, tree in enumerate(forest):
            own = [torch.arange(place.start, place.stop) for i, level, place in places if level == 0 or i == index]
            tables.append(TreeTable(tree, self.hnsa, torch.cat(own), self.soft_targets))
        self.tables = nn.ModuleList(tables)
        levels = [torch.full((place.stop - place.start,), level) for _, level, place in places]
        self.register_buffer("node_levels", torch.cat(levels), persistent=False)

    def text_points(self, features: Tensor) -> Tensor:
        """Lift text features `(nodes, D)` of all nodes, each with the scale of its level."""
        return self.head.lift_text(features, self.node_levels)

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """Ascend the weighted alignment loss of all levels, of the leaf level, or of each level in turn."""
        with torch.no_grad():
            features = self.text_features(model)
        groups = self._groups(labels)
        start = torch.zeros_like(features) if self.text_perturbation.eps > 0.0 else None
        fixed = None if start is not None else self.text_points(features)
        whose = self._turns(generator)

        def ascend(level: int | None) -> tuple[Tensor, Tensor | None]:
            steps = iter(whose)

            def loss(pixels: Tensor, delta: Tensor | None) -> Tensor:
                turn = next(steps)
                points = self._points(model, pixels)
                with torch.autocast(points.device.type, enabled=False):
                    texts = fixed if delta is None else self.text_points(features + self._shared(delta))
                    assert texts is not None
                    batch = self._batch(points, texts, groups, turn.trees)
                    raised = batch.attacked_loss(self.weights, turn.level if level is None else level)
                    # Times the pool: gradients of single images keep one size, whatever the batch, for float16's sake.
                    return self._compared(raised * len(batch.pool))

            return perturb_jointly(
                loss,
                images,
                start,
                self.threat_model,
                eps_text=self.text_perturbation.eps,
                steps=self.ascent.steps,
                step_size_image=self.ascent.step_size,
                step_size_text=self.text_perturbation.step,
                generator=generator,
                rule=self.ascent.step_rule(),
            )

        if self.strategy == "per_level":
            levels = range(max(table.num_levels for table in self._tables()))
            return Adversarial(tuple(Perturbed(*ascend(level), level) for level in levels))
        return Adversarial((Perturbed(*ascend(0 if self.strategy == "leaf" else None)),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total loss on the adversarial images and texts, see the class; clean images play no part.

        In a distributed run it is this process's share: the mean over the processes is the loss of the global batch.
        """
        features = self.text_features(model)
        total, logs = features.new_zeros(()), defaultdict[str, list[Tensor]](list)
        groups = self._groups(labels)
        for part in adversarial.parts:
            points = self._points(model, part.images)
            with torch.autocast(points.device.type, enabled=False):
                texts = self.text_points(features if part.text_delta is None else features + part.text_delta)
                batch = self._batch(points, texts, groups)
                zetas = {"zeta_vicinity": self.zeta_vicinity, "zeta_gap": self.zeta_gap}
                value, found = batch.loss(self.weights, part.level, **zetas)
                total = total + value
            for name, number in (item for tree in found for item in tree.items()):
                logs[name].append(number)
        # Means over the trees that have the level.
        return total, {"loss": total.detach()} | {name: torch.stack(values).mean() for name, values in logs.items()}

    def level_scores(
        self, model: ImageTextModel, points: Tensor, labels: Tensor, level: int | None = None
    ) -> Iterator[LevelScores]:
        """Answers at every level of every tree, or at one, see `Objective.level_scores`."""
        texts = self.text_points(self.text_features(model))
        for table in self._tables():
            weights = self.weights.of_levels(table.num_levels, level, points)
            own = texts.index_select(0, table.columns)
            yield from tree_scores(self.head, table, points, own, labels, weights, self.leaf_sum_share)

    def _points(self, model: ImageTextModel, pixels: Tensor) -> Tensor:
        """Points `(B, m, D)` of pictures under each of their noises, `(B, D)` where there is one at most."""
        points = copies_of_points(self.head, model, pixels)
        return points.squeeze(1) if points.shape[1] == 1 else points

    def _batch(
        self, points: Tensor, texts: Tensor, groups: list[BatchGroups], trees: Sequence[int] | None = None
    ) -> ForestBatch:
        """The loss of the chosen trees, or of all."""
        chosen = range(len(groups)) if trees is None else trees
        tables, groups = [self._tables()[tree] for tree in chosen], [groups[tree] for tree in chosen]
        how = (self.image_share, self.leaf_sum_share), self.ascent.score_loss()
        return ForestBatch(self.head, tables, groups, points, texts, self._pool(points), *how)

    def _turns(self, generator: torch.Generator | None) -> list[Turn]:
        """What each gradient raises; drawn from only where something takes turns, so that all else stays as it was."""
        alternate, trees = self.strategy == "alternating", self.ascent.trees_per_step
        start = drawn_start(generator) if alternate or trees is not None else 0
        levels = [table.num_levels for table in self._tables()]
        count = self.ascent.steps if generator is None else self.ascent.gradients  # further starts are random
        return turns(count, levels, alternate=alternate, trees_per_step=trees, start=start)

    def _compared(self, value: Tensor) -> Tensor:
        """A loss whose size decides about steps, which all processes have to take alike."""
        return with_mean_value(value) if self.ascent.rule == "apgd" and self.average_over == "global" else value

    def _pool(self, rows: Tensor) -> Tensor:
        """What groups are made of: rows of all processes, or of this one."""
        return across_processes(rows) if self.average_over == "global" else rows

    def _shared(self, delta: Tensor) -> Tensor:
        """The perturbation of texts: one for all processes, or one for each."""
        return with_mean_gradient(delta) if self.average_over == "global" else delta

    def _groups(self, labels: Tensor) -> list[BatchGroups]:
        pool, own = self._pool(labels), labels.cpu()  # once, not for each tree: the device is waited for
        pool = own if pool is labels else pool.cpu()
        return [group_batch(table, own, pool).sent(labels.device) for table in self._tables()]

    def _tables(self) -> list[TreeTable]:
        return list(self.tables)  # type: ignore[arg-type]


def _check_name(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"expected {argument} to be one of {', '.join(known)}, got {value!r}")
