"""Node tables and batch groups against loops over images and nodes."""

from __future__ import annotations

import pytest
import torch

from hrvlm.geometry import poincare
from hrvlm.models.heads import CosineHead, PoincareHead
from hrvlm.objectives.groups import TreeTable, candidate_mask, group_batch, group_points
from hrvlm.trees import ClassTree


def parent_links(tree: ClassTree) -> dict[tuple[int, str], str]:
    """(level, node) -> node one level up, read off the rows of leaves."""
    return {
        (level, below): above
        for level in range(len(tree.rows) - 1)
        for below, above in zip(tree.rows[level], tree.rows[level + 1], strict=True)
    }


def names(tree: ClassTree) -> list[tuple[int, str]]:
    """All nodes in the order of the table."""
    return [(level.index, node) for level in tree.levels for node in level.ids]


@pytest.mark.parametrize("which", ["deep_tree", "flat_tree"])
def test_table_lists_every_node_with_its_level_and_parent(which: str, request: pytest.FixtureRequest) -> None:
    tree = request.getfixturevalue(which)
    nodes, links = names(tree), parent_links(tree)
    table = TreeTable(tree, "both", torch.arange(len(nodes)))
    for index, (level, node) in enumerate(nodes):
        assert int(table.node_level[index]) == level
        parent = int(table.node_parent[index])
        assert (nodes[parent] if parent >= 0 else None) == (
            (level + 1, links[level, node]) if (level, node) in links else None
        )
    assert not table.state_dict()


@pytest.mark.parametrize("hnsa", ["both", "up", "down", "none"])
@pytest.mark.parametrize("which", ["deep_tree", "flat_tree"])
def test_candidates_are_the_own_level_and_unrelated_neighbours(which: str, hnsa: str, request) -> None:
    tree = request.getfixturevalue(which)
    nodes, links = names(tree), parent_links(tree)
    mask = candidate_mask(tree, hnsa)  # type: ignore[arg-type]
    for row, (level, node) in enumerate(nodes):
        for column, (other_level, other) in enumerate(nodes):
            if other_level == level:
                expected = True
            elif other_level == level + 1:
                expected = hnsa in ("both", "up") and links[level, node] != other
            elif other_level == level - 1:
                expected = hnsa in ("both", "down") and links[other_level, other] != node
            else:
                expected = False
            assert bool(mask[row, column]) == expected, (node, other)


def ball_points(count: int, dim: int = 5) -> torch.Tensor:
    return poincare.exp_map0(
        torch.randn(count, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64), 1.0
    )


@pytest.mark.parametrize("which", ["deep_tree", "flat_tree"])
@pytest.mark.parametrize("labels", [[0, 1, 0, 3, 5, 0, 3], [4], [5, 5], [3, 2, 1, 0, 5, 4]])
def test_group_points_are_recursive_averages_of_the_children_present(which: str, labels: list[int], request) -> None:
    tree: ClassTree = request.getfixturevalue(which)
    head = PoincareHead(image_scale=1.0, text_scales=[1.0])
    table = TreeTable(tree, "both", torch.arange(len(names(tree))))
    points = ball_points(len(labels)).requires_grad_()
    groups = group_batch(table, torch.tensor(labels))
    rows = group_points(head, points, groups)

    def average(members: list[torch.Tensor]) -> torch.Tensor:
        return poincare.einstein_midpoint(torch.stack(members), 1.0)

    links = parent_links(tree)
    below = {
        tree.leaves[leaf]: average([point for point, label in zip(points, labels, strict=True) if label == leaf])
        for leaf in sorted(set(labels))
    }
    expected, targets = list(points), [(0, tree.leaves[label]) for label in labels]
    for level in range(1, len(tree.levels)):
        present = [node for node in tree.levels[level].ids if any(links[level - 1, child] == node for child in below)]
        current = {
            node: average([point for child, point in below.items() if links[level - 1, child] == node])
            for node in present
        }
        expected += [current[node] for node in present]
        targets += [(level, node) for node in present]
        below = current
    torch.testing.assert_close(rows, torch.stack(expected))
    assert [names(tree)[target] for target in groups.targets.tolist()] == targets
    assert groups.row_level.tolist() == [level for level, _ in targets]
    for row, (level, node) in enumerate(targets):
        parent = int(groups.parents[row])
        assert (targets[parent] if parent >= 0 else None) == (
            (level + 1, links[level, node]) if (level, node) in links else None
        )
    weights = torch.randn(rows.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    got, wanted = (
        torch.autograd.grad((weights * r).sum(), points, retain_graph=True)[0] for r in (rows, torch.stack(expected))
    )
    torch.testing.assert_close(got, wanted)


def test_every_child_counts_once_however_many_images_it_has(flat_tree: ClassTree) -> None:
    head = CosineHead(1.0)
    table = TreeTable(flat_tree, "both", torch.arange(9))
    a, b = torch.eye(2)
    once = group_points(head, torch.stack([a, b]), group_batch(table, torch.tensor([0, 1])))[-1]
    often = group_points(head, torch.stack([a, a, a, b]), group_batch(table, torch.tensor([0, 0, 0, 1])))[-1]
    torch.testing.assert_close(once, often)
    torch.testing.assert_close(once, (a + b) / 2**0.5)
