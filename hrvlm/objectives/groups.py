"""The nodes of a tree as index tensors, and the groups that a batch of images forms in it.

Shapes: B images, P >= B images of the pool that groups are averages of (the batch itself, or the global batch of a
distributed run), T nodes of a tree (all levels, leaves first), C classes in the pool, G_l groups of level l in the
pool, R = B + G_1 + … + G_L rows, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hrvlm.attacks.score_losses import ScoreLoss, cross_entropy
from hrvlm.models.heads import Head
from hrvlm.objectives.soft_targets import SoftTargets, soft_cross_entropy, tree_targets
from hrvlm.sending import sent
from hrvlm.trees import ClassTree, Direction


class TreeTable(nn.Module):
    """Index tensors of one tree, as buffers that follow the module's device and stay out of checkpoints.

    Attributes:
        sizes: Number of nodes of each level, leaf first.
        offsets: Index of the first node of each level in the table.
        ancestors: `(L+1, leaves)`, index within its level of the node above each leaf.
        node_level: `(T,)`, level of each node.
        node_parent: `(T,)`, index in the table of each node's parent; −1 at the top level.
        candidates: `(T, T)` bool, nodes that enter the softmax whose target is the row's node.
        columns: `(T,)`, index of each node in the forest's list of nodes (`forest_columns`).
        soft_targets: `(T, T)`, probabilities of all nodes where the row's node is the target; None for hard targets.
    """

    ancestors: Tensor
    node_level: Tensor
    node_parent: Tensor
    candidates: Tensor
    columns: Tensor
    soft_targets: Tensor | None

    def __init__(self, tree: ClassTree, hnsa: Direction, columns: Tensor, soft: SoftTargets | None = None) -> None:
        """Build the tensors of `tree`; `hnsa` says from which neighbouring levels negatives come."""
        super().__init__()
        self.sizes = [len(level.ids) for level in tree.levels]
        self.offsets = [sum(self.sizes[:level]) for level in range(len(self.sizes))]
        parents = [tree.parents(level) + self.offsets[level + 1] for level in range(self.num_levels - 1)]
        parents.append(torch.full((self.sizes[-1],), -1))
        levels = torch.arange(self.num_levels).repeat_interleave(torch.tensor(self.sizes))
        tensors = {"ancestors": tree.ancestors, "node_level": levels, "node_parent": torch.cat(parents)}
        tensors |= {"candidates": candidate_mask(tree, hnsa), "columns": columns}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        self.above_leaves = tree.ancestors  # no buffer: stays on the CPU, where batches are grouped
        self.register_buffer("soft_targets", None if soft is None else tree_targets(tree, soft), persistent=False)

    def row_loss(self) -> ScoreLoss:
        """The loss of rows of scores that is trained on: cross-entropy with hard or soft targets."""
        if self.soft_targets is None:
            return cross_entropy
        return partial(soft_cross_entropy, probabilities=self.soft_targets)

    @property
    def num_levels(self) -> int:
        """Number of levels L+1."""
        return len(self.sizes)

    def leaves_under(self) -> Tensor:
        """Which leaves lie under each node, bool `(T, leaves)`; a leaf lies under itself."""
        levels = [torch.arange(size, device=self.ancestors.device) for size in self.sizes]
        parts = [self.ancestors[level] == nodes[:, None] for level, nodes in enumerate(levels)]
        return torch.cat(parts)


def candidate_mask(tree: ClassTree, hnsa: Direction) -> Tensor:
    """Which nodes compete with each node: its own level, and hierarchy-aware negatives of the neighbouring levels.

    Hierarchy-aware negative set augmentation (HNSA), arXiv 2604.18867: of level l−1 ("down") and l+1 ("up") those nodes
    that share no edge with the node.

    Args:
        tree: The tree, with T nodes over all levels.
        hnsa: "both", "up", "down" or "none".

    Returns:
        Bool `(T, T)`; row = target node, column = candidate. The diagonal is True.
    """
    offsets = [0]
    for level in tree.levels:
        offsets.append(offsets[-1] + len(level.ids))
    mask = torch.zeros(offsets[-1], offsets[-1], dtype=torch.bool)
    for index in range(len(tree.levels)):
        rows = slice(offsets[index], offsets[index + 1])
        mask[rows, rows] = True
        for neighbour, negatives in tree.negatives(index, hnsa).items():
            mask[rows, offsets[neighbour] : offsets[neighbour + 1]] = negatives
    return mask


@dataclass(frozen=True)
class BatchGroups:
    """Rows of a batch in one tree: first its images (level 0), then the groups of level 1, then of level 2 and so on.

    Attributes:
        memberships: Entry 0 is `(C, P)`, the images of each class; entry 1 `(G_1, C)`, the classes of each group of
            level 1; entry l `(G_l, G_{l-1})`. Zeros and ones; nodes without an image in the pool have no row.
        targets: `(R,)`, index of each row's node in the tree's table.
        row_level: `(R,)`, level of each row.
        parents: `(R,)`, row of the group above each row; −1 at the top level.
    """

    memberships: tuple[Tensor, ...]
    targets: Tensor
    row_level: Tensor
    parents: Tensor

    @property
    def num_images(self) -> int:
        """B, the number of rows that are images."""
        return len(self.targets) - sum(len(membership) for membership in self.memberships[1:])

    @property
    def sizes(self) -> list[int]:
        """Rows of each level: B, G_1, …, G_L."""
        return [self.num_images, *(len(membership) for membership in self.memberships[1:])]

    def sent(self, device: torch.device) -> BatchGroups:
        """The same on a device, which is not waited for."""
        memberships = tuple(sent(membership, device) for membership in self.memberships)
        rows = (sent(rows, device) for rows in (self.targets, self.row_level, self.parents))
        return BatchGroups(memberships, *rows)


def group_batch(table: TreeTable, labels: Tensor, pool: Tensor | None = None) -> BatchGroups:
    """Group a batch by the nodes of a tree, on the CPU: how many there are decides about shapes.

    Args:
        table: Index tensors of the tree.
        labels: Leaf classes `(B,)`.
        pool: Leaf classes `(P,)` of the images that groups are averages of, all of `labels` among them; the batch
            itself if not given.

    Returns:
        The groups present in the pool, where the labels are.
    """
    device, labels = labels.device, labels.cpu()
    classes, class_of_member = (labels if pool is None else pool.cpu()).unique(return_inverse=True)
    memberships, targets, parents = [_one_hot(class_of_member, len(classes))], [labels], []
    leaves, below, start = classes, torch.searchsorted(classes, labels), len(labels)
    for level in range(1, table.num_levels):
        nodes, group_of_child = table.above_leaves[level, leaves].unique(return_inverse=True)
        memberships.append(_one_hot(group_of_child, len(nodes)))
        targets.append(table.offsets[level] + nodes)
        # The rows below are images at level 1, and each image finds its group through its class.
        parents.append(start + (group_of_child[below] if level == 1 else group_of_child))
        # Any leaf under a group stands for it when its own parent is looked up.
        leaves = leaves.new_zeros(len(nodes)).scatter_(0, group_of_child, leaves)
        start += len(nodes)
    parents.append(torch.full_like(targets[-1], -1))
    sizes = torch.tensor([len(target) for target in targets])
    levels = torch.arange(table.num_levels).repeat_interleave(sizes)
    return BatchGroups(tuple(memberships), torch.cat(targets), levels, torch.cat(parents)).sent(device)


def _one_hot(group: Tensor, count: int) -> Tensor:
    """Membership `(count, members)` of zeros and ones from the group of each member."""
    return (group == torch.arange(count, device=group.device)[:, None]).float()


def group_points(head: Head, image_points: Tensor, groups: BatchGroups, pool: Tensor | None = None) -> Tensor:
    """Points of all rows: images, and the recursive averages of their groups (HypAvg, arXiv 2604.18867).

    A class is the average of its images, a group of level 1 the average of its classes in the pool, a group of level l
    the average of its groups of level l−1: every child counts once, however many images it has.

    Args:
        head: Decides what an average is.
        image_points: `(B, D)`, or `(B, m, D)` of m copies of the images, which form groups apart.
        groups: Groups of the batch.
        pool: `(P, D)`, points of the images that groups are averages of; `image_points` if not given.

    Returns:
        Points `(R, D)`, or `(R, m, D)`, with gradients to the images and the pool.
    """
    if image_points.ndim == 3:
        pools = [None] * image_points.shape[1] if pool is None else pool.unbind(1)
        pairs = zip(image_points.unbind(1), pools, strict=True)
        return torch.stack([group_points(head, points, groups, own) for points, own in pairs], dim=1)
    rows, points = [image_points], head.average(image_points if pool is None else pool, groups.memberships[0])
    for membership in groups.memberships[1:]:
        points = head.average(points, membership)
        rows.append(points)
    return torch.cat(rows)
