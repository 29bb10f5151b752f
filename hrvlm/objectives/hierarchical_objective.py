"""Hierarchical adversarial fine-tuning: alignment at every level under one universal perturbation.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867). Every part
can be switched; with `head="cosine"` the same levels are aligned in Euclidean space, the ablation of the geometry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from hrvlm.attacks import perturb_jointly
from hrvlm.attacks.threat_model import Norm
from hrvlm.models.heads import CosineHead, Head, PoincareHead
from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.forest_loss import ForestBatch
from hrvlm.objectives.gathering import across_processes, with_mean_gradient
from hrvlm.objectives.groups import BatchGroups, TreeTable, group_batch
from hrvlm.objectives.weighing import TermWeights
from hrvlm.trees import Direction, Forest

Strategy = Literal["universal", "leaf", "per_level"]
STRATEGIES = ("universal", "leaf", "per_level")
Span = Literal["global", "local"]


class HierarchicalObjective(Objective):
    """L = Σ_trees [Σ_l ω_l·CE_l + λ1·vicinity + λ2·(order of text norms + order of image norms)].

    The sum over the trees is the paper's: the leaf level, which all trees share, counts once per tree, each time with
    that tree's hierarchy-aware negatives.
    """

    node_levels: Tensor

    def __init__(
        self,
        *,
        head: Literal["poincare", "cosine"] = "poincare",
        curv: float = 1.0,
        norm_cap: float = 0.98,
        normalise_texts: bool = False,
        temperature: float = 0.12,
        image_scale: float | None = None,
        text_scales: Sequence[float] | None = None,
        logit_scale: float | None = None,
        trainable_scales: bool = True,
        trainable_temperature: bool = True,
        hnsa: Direction = "both",
        lambda_vicinity: float = 0.5,
        lambda_order: float = 1.0,
        lambda_order_image: float | None = None,
        lambda_order_text: float | None = None,
        level_weights: Sequence[float] | None = None,
        image_share: float = 0.0,
        zeta_vicinity: float = 1.0,
        zeta_gap: float = 0.05,
        strategy: Strategy = "universal",
        norm: Norm = "linf",
        eps: float = 1.0 / 255.0,
        steps: int = 3,
        step_size: float = 1.0 / 255.0,
        random_start: bool = True,
        eps_text: float = 2e-4,
        step_size_text: float | None = None,
        average_over: Span = "global",
    ) -> None:
        """Set the parts.

        Args:
            head: "poincare", or "cosine" for the Euclidean ablation, which needs `lambda_order` 0.
            curv: Curvature parameter of the ball.
            norm_cap: Largest norm of a point as a share of the ball's radius.
            normalise_texts: Whether all texts of a level are equally deep in the ball, see `PoincareHead`.
            temperature: Start value of the temperature of the Poincaré head.
            image_scale: Scale of image features; None takes it from features, as with `text_scales`.
            text_scales: Scale of text features per level, leaf first.
            logit_scale: Start value of the cosine head's scale; None takes the model's.
            trainable_scales: Whether scales of the Poincaré head are learned.
            trainable_temperature: Whether the temperature, or the cosine head's scale, is learned.
            hnsa: Levels that hierarchy-aware negatives come from: "both", "up", "down" or "none".
            lambda_vicinity: Weight λ1 >= 0 of the vicinity.
            lambda_order: Weight λ2 >= 0 of the norm order of images and of texts, where these are not given:
            lambda_order_image: Weight of the norm order of images.
            lambda_order_text: Weight of the norm order of texts.
            level_weights: Weights ω of the alignment per level of the deepest tree, leaf first; None for the paper's.
            image_share: Share in [0, 1] of the alignment above the leaves that concerns each image itself instead of
                the averages of groups; 0 is the paper's method.
            zeta_vicinity: Distance within which an image counts as aligned with its class text.
            zeta_gap: Gap of norms wanted between neighbouring levels.
            strategy: "universal": one perturbation raises the loss of all levels; "leaf": of the leaf level only;
                "per_level": one perturbation per level, each used for that level's loss (L+1 times the cost).
            norm: Norm of the image perturbation.
            eps: Budget in pixel units.
            steps: Steps of the ascent.
            step_size: Length of a step in pixel units.
            random_start: Start from a random point of the budget.
            eps_text: Largest entry of the perturbation of projected text features; 0 leaves texts alone.
            step_size_text: Length of its step; `eps_text` if not given.
            average_over: What superclasses are averages of in a distributed run: images of all processes ("global":
                loss, perturbations and gradients are those of one process on the global batch), or of each process
                alone ("local": nothing is exchanged but DDP's gradients).

        Raises:
            ValueError: If a name is unknown, a weight negative, or parts do not fit together.
        """
        super().__init__(norm=norm, eps=eps, steps=steps, step_size=step_size, random_start=random_start)
        if not 0.0 <= image_share <= 1.0:
            raise ValueError(f"expected image_share in [0, 1], got {image_share}: it is a share of the alignment")
        _check_name("head", head, ("poincare", "cosine"))
        _check_name("strategy", strategy, STRATEGIES)
        _check_name("hnsa", hnsa, ("both", "up", "down", "none"))
        _check_name("average_over", average_over, ("global", "local"))
        if not eps_text >= 0.0:
            raise ValueError(f"expected eps_text >= 0, got {eps_text}: 0 leaves texts alone")
        orders = (lambda_order, lambda_order_image, lambda_order_text)
        self.weights = TermWeights.of(level_weights, lambda_vicinity, *orders)
        self.weights.check(head)
        self.head_name, self.strategy, self.hnsa, self.average_over = head, strategy, hnsa, average_over
        self.lambda_vicinity, self.lambda_order = lambda_vicinity, lambda_order
        self.zeta_vicinity, self.zeta_gap = zeta_vicinity, zeta_gap
        self.eps_text, self.image_share = eps_text, image_share
        self.step_size_text = eps_text if step_size_text is None else step_size_text
        self._make_cosine = partial(CosineHead, logit_scale, trainable_temperature)
        self._make_ball = partial(
            PoincareHead,
            curv=curv,
            image_scale=image_scale,
            temperature=temperature,
            norm_cap=norm_cap,
            normalise_texts=normalise_texts,
            trainable_scales=trainable_scales,
            trainable_temperature=trainable_temperature,
        )
        self._text_scales = text_scales

    def make_head(self, num_levels: int) -> Head:
        """A Poincaré head with a text scale per level, or a cosine head."""
        if self.head_name == "cosine":
            return self._make_cosine()
        scales = num_levels if self._text_scales is None else list(self._text_scales)
        if not isinstance(scales, int) and len(scales) != num_levels:
            raise ValueError(f"expected {num_levels} text_scales, one per level of the deepest tree, got {len(scales)}")
        return self._make_ball(text_scales=scales)

    def bind(self, forest: Forest) -> None:
        """Make the head and the index tensors of every tree, see `Objective.bind`."""
        self.weights.check(self.head_name, max(len(tree.levels) for tree in forest))
        super().bind(forest)
        places = self.node_slices()
        tables = []
        for index, tree in enumerate(forest):
            own = [torch.arange(place.start, place.stop) for i, level, place in places if level == 0 or i == index]
            tables.append(TreeTable(tree, self.hnsa, torch.cat(own)))
        self.tables = nn.ModuleList(tables)
        levels = [torch.full((place.stop - place.start,), level) for _, level, place in places]
        self.register_buffer("node_levels", torch.cat(levels), persistent=False)

    def text_points(self, features: Tensor) -> Tensor:
        """Lift text features `(nodes, D)` of all nodes, each with the scale of its level."""
        return self.head.lift_text(features, self.node_levels)

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """Ascend the weighted HITA loss of all levels, of the leaf level, or of each level in turn."""
        with torch.no_grad():
            features = self.text_features(model)
        groups = self._groups(labels)
        start = torch.zeros_like(features) if self.eps_text > 0.0 else None
        fixed = None if start is not None else self.text_points(features)

        def ascend(level: int | None) -> tuple[Tensor, Tensor | None]:
            def loss(pixels: Tensor, delta: Tensor | None) -> Tensor:
                points = self.head.lift_image(model.encode_image(pixels))
                with torch.autocast(points.device.type, enabled=False):
                    texts = fixed if delta is None else self.text_points(features + self._shared(delta))
                    assert texts is not None
                    batch = self._batch(points, texts, groups)
                    # Times the pool: gradients of single images keep one size, whatever the batch, for float16's sake.
                    return batch.attacked_loss(self.weights, level) * len(batch.pool)

            return perturb_jointly(
                loss,
                images,
                start,
                self.threat_model,
                eps_text=self.eps_text,
                steps=self.steps,
                step_size_image=self.step_size,
                step_size_text=self.step_size_text,
                generator=generator,
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
            points = self.head.lift_image(model.encode_image(part.images))
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

    def _batch(self, points: Tensor, texts: Tensor, groups: list[BatchGroups]) -> ForestBatch:
        return ForestBatch(self.head, self._tables(), groups, points, texts, self._pool(points), self.image_share)

    def _pool(self, rows: Tensor) -> Tensor:
        """What groups are made of: rows of all processes, or of this one."""
        return across_processes(rows) if self.average_over == "global" else rows

    def _shared(self, delta: Tensor) -> Tensor:
        """The perturbation of texts: one for all processes, or one for each."""
        return with_mean_gradient(delta) if self.average_over == "global" else delta

    def _groups(self, labels: Tensor) -> list[BatchGroups]:
        pool = self._pool(labels)
        return [group_batch(table, labels, pool) for table in self._tables()]

    def _tables(self) -> list[TreeTable]:
        return list(self.tables)  # type: ignore[arg-type]


def _check_name(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"expected {argument} to be one of {', '.join(known)}, got {value!r}")
