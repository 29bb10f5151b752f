"""Forests of any size, and the hierarchical objective on features alone: what the objective itself costs.

The "images" of these measurements are image features already, so that no image tower hides the objective's time and
memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from hrvlm.objectives import Adversarial, HierarchicalObjective, Perturbed
from hrvlm.trees import ClassTree, Forest, Node, TreeInfo

SHRINK = 0.4  # nodes of a level over nodes of the level below


def generated_tree(leaves: int, levels: int, seed: int) -> ClassTree:
    """A random tree: every level holds about 0.4 times the nodes of the one below, at least two."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [max(round(leaves * SHRINK**level), 2) for level in range(levels)]
    nodes = []
    for level, size in enumerate(sizes):
        parents = torch.zeros(size, dtype=torch.long)
        if level + 1 < levels:
            above = sizes[level + 1]  # every node above gets a child, the rest go anywhere
            parents = torch.cat([torch.arange(above), torch.randint(above, (size - above,), generator=generator)])
            parents = parents[torch.randperm(size, generator=generator)]
        for index, parent in enumerate(parents.tolist()):
            above_id = f"{level + 1}_{parent}" if level + 1 < levels else None
            nodes.append(Node(f"{level}_{index}", f"node {level} {index}", above_id))
    return ClassTree.from_nodes(nodes, TreeInfo(name=f"generated {seed}"))


def generated_forest(trees: int, leaves: int, levels: int) -> Forest:
    """Random trees over the same leaves."""
    names = [f"0_{index}" for index in range(leaves)]
    return Forest([generated_tree(leaves, levels, seed).restrict(names) for seed in range(trees)])


class Features(nn.Module):
    """The part of an image-text model that is left when images are features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.projection = nn.Linear(width, width, bias=False)
        self.logit_scale = torch.tensor(10.0)

    def encode_image(self, images: Tensor) -> Tensor:
        """The features themselves."""
        return images

    def text_hidden(self, texts: Sequence[str]) -> Tensor:
        """Random numbers for every text."""
        return torch.randn(len(texts), self.width, generator=torch.Generator().manual_seed(1))

    def project_text(self, hidden: Tensor) -> Tensor:
        """The trained projection."""
        projected: Tensor = self.projection(hidden)
        return projected


class ObjectiveAlone:
    """Loss and gradient of the hierarchical objective on random features."""

    def __init__(self, forest: Forest, batch: int, width: int) -> None:
        torch.manual_seed(0)
        self.model, self.objective = Features(width), HierarchicalObjective()
        self.objective.bind(forest)
        self.features = torch.randn(batch, width).requires_grad_()
        self.labels = torch.randint(len(forest.leaves), (batch,))
        self.objective.prepare(self.model, self.features.detach())

    def __call__(self) -> Tensor:
        """One loss with its gradients to image features, text projection and head."""
        adversarial = Adversarial((Perturbed(self.features),))
        loss, _ = self.objective.loss(self.model, adversarial, self.features, self.labels)
        loss.backward()
        self.features.grad = None
        return loss.detach()

    @property
    def nodes(self) -> int:
        """Nodes of the forest."""
        return len(self.objective.text_hidden)


def peak_memory(measured: ObjectiveAlone) -> int:
    """Largest sum of bytes of tensors that were allocated and not yet freed during one call, over what was there."""
    measured()  # gradients of parameters are there from now on
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        measured()
    results = profiled.profiler.kineto_results
    changes = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    live = peak = 0
    for _, change in changes:
        live += change
        peak = max(peak, live)
    return peak
