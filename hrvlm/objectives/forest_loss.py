"""The hierarchical loss summed over the trees of a forest, one tree at a time (see `piecewise`).

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867): terms of
each tree are summed over the trees.

Shapes: B images, P >= B images of the pool that groups are averages of, nodes of the whole forest, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from hrvlm.attacks.score_losses import ScoreLoss, cross_entropy
from hrvlm.models.heads import Head
from hrvlm.objectives.groups import BatchGroups, TreeTable, group_points
from hrvlm.objectives.hierarchical import aligned_rows, hita_terms, leaf_term, tree_terms
from hrvlm.objectives.piecewise import sum_parts
from hrvlm.objectives.weighing import TermWeights, numbers

TreePart = Callable[[TreeTable, BatchGroups, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class ForestBatch:
    """What the losses of all trees of a forest share for one batch.

    Attributes:
        head: Scores, distances, averages and norms.
        tables: Index tensors of each tree.
        groups: Groups of the batch in each tree.
        points: Points of the images `(B, D)`, or `(B, m, D)` of m copies of them under noises of their own.
        texts: Points of all nodes `(nodes, D)`, each in the columns that its trees' tables name.
        pool: Points `(P, D)`, or `(P, m, D)`, of the images that groups are averages of; `points` itself where they are
            the same.
        shares: Of images and of sums over leaves, see `hierarchical.hita_terms`.
        raised: What a perturbation raises of rows of scores.
    """

    head: Head
    tables: Sequence[TreeTable]
    groups: Sequence[BatchGroups]
    points: Tensor
    texts: Tensor
    pool: Tensor
    shares: tuple[float, float] = (0.0, 0.0)
    raised: ScoreLoss = cross_entropy

    def attacked_loss(self, weights: TermWeights, level: int | None) -> Tensor:
        """Weighted alignment loss of all levels, or of one, summed over the trees: what a perturbation raises."""

        def part(table: TreeTable, group: BatchGroups, points: Tensor, texts: Tensor, pool: Tensor | None) -> Tensor:
            chosen = weights.of_levels(table.num_levels, level, points)
            if level == 0:
                return chosen[0] * leaf_term(points, texts, self.head, group, table, self.raised)
            averaged = aligned_rows(group, table, self.shares[0]) > len(points)
            rows = group_points(self.head, points, group, pool) if averaged else points
            terms = hita_terms(rows, texts, self.head, group, table, loss=self.raised, **self._shares)
            return (chosen * terms).sum()

        return self._sum(part)

    def loss(
        self, weights: TermWeights, level: int | None, *, zeta_vicinity: float, zeta_gap: float
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """All weighted terms of all levels, or of one, summed over the trees, with gradients.

        Returns:
            The sum, and each tree's numbers to log.
        """
        logs = []

        def part(table: TreeTable, group: BatchGroups, points: Tensor, texts: Tensor, pool: Tensor | None) -> Tensor:
            terms = tree_terms(
                points,
                texts,
                self.head,
                group,
                table,
                zeta_vicinity=zeta_vicinity,
                zeta_gap=zeta_gap,
                pool=pool,
                **self._shares,
            )
            logs.append(numbers(terms, level))
            return weights.total(terms, level)

        return self._sum(part), logs

    @property
    def _shares(self) -> dict[str, float]:
        return {"image_share": self.shares[0], "leaf_sum_share": self.shares[1]}

    def _sum(self, part: TreePart) -> Tensor:
        """Sum of the part over the trees, given each tree's own texts."""

        def of_tree(table: TreeTable, group: BatchGroups) -> Callable[..., Tensor]:
            def value(points: Tensor, texts: Tensor, pool: Tensor | None = None) -> Tensor:
                return part(table, group, points, texts.index_select(0, table.columns), pool)

            return value

        parts = [of_tree(table, group) for table, group in zip(self.tables, self.groups, strict=True)]
        shared = (self.points, self.texts) if self.pool is self.points else (self.points, self.texts, self.pool)
        return sum_parts(parts, shared, self.head.parameters())
