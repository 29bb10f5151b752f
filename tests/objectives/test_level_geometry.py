"""Norms and margins of a level against loops over images and nodes with formulae of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hrvlm.models.heads import CosineHead, Head, PoincareHead
from hrvlm.objectives.level_geometry import attained_margins, level_geometry
from hrvlm.trees import ClassTree, Forest

CURV, TAU, SCALE = 0.7, 0.2, 9.0
HEADS: dict[str, Head] = {
    "poincare": PoincareHead(CURV, 0.4, [0.5, 0.4, 0.3], TAU),
    "cosine": CosineHead(SCALE),
}


def score(kind: str, u: np.ndarray, v: np.ndarray) -> float:
    if kind == "cosine":
        return SCALE * float(u @ v)
    ratio = CURV * np.sum((u - v) ** 2) / ((1 - CURV * u @ u) * (1 - CURV * v @ v))
    return -float(np.arccosh(1 + 2 * ratio) / np.sqrt(CURV) / TAU)


def average(kind: str, points: list[np.ndarray]) -> np.ndarray:
    if kind == "cosine":
        mean = np.mean(points, axis=0)
        return mean / np.linalg.norm(mean)
    klein = [2 * u / (1 + CURV * u @ u) for u in points]
    factors = [1 / np.sqrt(1 - CURV * k @ k) for k in klein]
    mean = sum(f * k for f, k in zip(factors, klein, strict=True)) / sum(factors)
    return mean / (1 + np.sqrt(1 - CURV * mean @ mean))


def limit(kind: str, norm: float) -> float:
    """The score gap of two antipodal texts, seen from one of them."""
    a = np.array([norm, 0.0])
    return score(kind, a, a) - score(kind, a, -a)


def parent(tree: ClassTree, level: int, node: int) -> int:
    return int(tree.parents(level)[node])


def slow(kind: str, tree: ClassTree, level: int, images, texts, labels) -> dict[str, list[float]]:
    """Everything by loops over Python lists."""
    members: dict[int, list[np.ndarray]] = {}
    for point, label in zip(images, labels, strict=True):
        members.setdefault(label, []).append(point)
    points = {node: average(kind, found) for node, found in members.items()}
    above = {label: label for label in set(labels)}
    for step in range(level):
        children: dict[int, list[np.ndarray]] = {}
        for node, point in sorted(points.items()):
            children.setdefault(parent(tree, step, node), []).append(point)
        points = {node: average(kind, found) for node, found in children.items()}
        above = {label: parent(tree, step, node) for label, node in above.items()}
    targets = [above[label] for label in labels]
    rows = list(zip(targets, images, strict=True)) if level == 0 else sorted(points.items(), key=lambda item: item[0])

    def margin(point: np.ndarray, node: int) -> float:
        others = [score(kind, point, text) for index, text in enumerate(texts) if index != node]
        return score(kind, point, texts[node]) - max(others)

    norms = [float(np.linalg.norm(point)) for _, point in rows]
    return {
        "nodes": [node for node, _ in rows],
        "norms": norms,
        "limits": [limit(kind, norm) for norm in norms],
        "margins": [margin(point, node) for node, point in rows],
        "image_norms": [float(np.linalg.norm(point)) for point in images],
        "image_limits": [limit(kind, float(np.linalg.norm(point))) for point in images],
        "image_margins": [margin(point, node) for node, point in zip(targets, images, strict=True)],
        "text_norms": [float(np.linalg.norm(text)) for text in texts],
        "text_limits": [limit(kind, float(np.linalg.norm(text))) for text in texts],
    }


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(("tree_index", "level"), [(0, 0), (0, 1), (0, 2), (1, 1)])
def test_every_number_equals_the_slow_loops(kind: str, tree_index: int, level: int, forest: Forest) -> None:
    generator = torch.Generator().manual_seed(level)
    head, tree = HEADS[kind], forest[tree_index]
    labels = [0, 1, 0, 3, 5, 0, 3]
    images = head.lift_image(torch.randn(7, 5, generator=generator)).detach()
    texts = head.lift_text(torch.randn(len(tree.levels[level].ids), 5, generator=generator), level).detach()
    found = level_geometry(head, tree, level, images, texts, torch.tensor(labels))
    expected = slow(kind, tree, level, list(images.double().numpy()), list(texts.double().numpy()), labels)
    for name, values in expected.items():
        assert getattr(found, name).tolist() == pytest.approx(values, rel=1e-4, abs=1e-4), name
    assert not found.margins.requires_grad


@pytest.mark.parametrize("kind", HEADS)
def test_no_margin_passes_the_limit_of_texts_of_one_norm(kind: str, forest: Forest) -> None:
    generator = torch.Generator().manual_seed(1)
    head, tree = HEADS[kind], forest[0]
    images = head.lift_image(2 * torch.randn(200, 2, generator=generator)).detach()
    directions = torch.nn.functional.normalize(torch.randn(len(tree.leaves), 2, generator=generator), dim=1)
    texts = head.lift_text(2.0 * directions, 0).detach()
    labels = torch.randint(len(tree.leaves), (200,), generator=generator)
    found = level_geometry(head, tree, 0, images, texts, labels)
    assert (found.margins.abs() <= found.limits * (1 + 1e-5)).all()
    assert (found.margins.abs() <= found.text_limits.max() * (1 + 1e-5)).all()


def test_margins_of_two_classes_and_of_one() -> None:
    scores = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    assert attained_margins(scores, torch.tensor([0, 1])).tolist() == [-2.0, 2.0]
    with pytest.raises(ValueError, match="expected scores of at least two classes, got 1"):
        attained_margins(scores[:, :1], torch.tensor([0, 0]))


def test_text_points_of_another_level_are_refused(forest: Forest) -> None:
    with pytest.raises(ValueError, match="expected text points of the 6 nodes of level 0 of deep, got 5"):
        level_geometry(HEADS["cosine"], forest[0], 0, torch.eye(5), torch.eye(5), torch.arange(5))
