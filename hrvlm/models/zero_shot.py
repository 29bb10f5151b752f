"""Classifiers made of class names and prompt templates: zero-shot classification with any head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvlm.models._head import Head
from hrvlm.models._modes import inferring
from hrvlm.models.vision_language import VisionLanguageModel
from hrvlm.trees.words import with_name

TEXTS_PER_PASS = 512


def average_templates(features: Tensor) -> Tensor:
    """One text feature per class from those of several templates: the mean of unit vectors, at unit norm again.

    Source: Radford et al. 2021 (arXiv 2103.00020), section 3.1.4 (ensembling over the embedding space).

    Args:
        features: (T, K, D), un-normalised or not; T templates, K classes.

    Returns:
        (K, D) of unit norm.

    Raises:
        ValueError: If the shape is another, or there is no template.
    """
    if features.dim() != 3 or len(features) == 0:
        raise ValueError(f"expected features of shape (templates, classes, width), got {tuple(features.shape)}")
    return F.normalize(F.normalize(features, dim=-1).mean(dim=0), dim=-1)


def filled(templates: Sequence[str], name: str) -> list[str]:
    """The templates with a class name in place of "{}".

    Raises:
        ValueError: If a template has not exactly one "{}".
    """
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise ValueError(f'expected templates with one "{{}}" for the class each, got {wrong[:3] or "none"}')
    return [with_name(template, name) for template in templates]


def averaged_points(model: VisionLanguageModel, head: Head, wordings: Sequence[Sequence[str]]) -> Tensor:
    """One point per class, of leaves: the head's average over the class's prompts.

    Args:
        model: The image-text model.
        head: Initialised head.
        wordings: Prompts of each of K classes, of all as many.

    Returns:
        (K, D).
    """
    per_pass = max(1, TEXTS_PER_PASS // len(wordings[0]))
    found = []
    for start in range(0, len(wordings), per_pass):
        some = wordings[start : start + per_pass]
        prompts = head.lift_text(model.encode_text([text for texts in some for text in texts]), 0)
        # Row k chooses the prompts of class k.
        membership = torch.eye(len(some), device=prompts.device).repeat_interleave(len(wordings[0]), dim=1)
        found.append(head.average(prompts, membership))
    return torch.cat(found)


class ZeroShotClassifier(nn.Module):
    """Scores of images against classes that training need not have seen.

    A class is the head's average over its prompts: for cosines that is `average_templates`, in the Poincaré ball the
    Einstein midpoint of the lifted prompts.
    """

    def __init__(
        self, model: VisionLanguageModel, head: Head, class_names: Sequence[str], templates: Sequence[str]
    ) -> None:
        """Computes the text points once, without gradient; make a new classifier after the weights change.

        Args:
            model: The image-text model.
            head: Initialised head; classes count as leaves.
            class_names: One per class, in the order of the labels.
            templates: With "{}" for the class.

        Raises:
            ValueError: If a template has not exactly one "{}", there is no class, or two are the same to the model.
        """
        super().__init__()
        if not class_names:
            raise ValueError("expected at least one class name, got none")
        self.model, self.head = model, head
        self.text_points: Tensor
        filled(templates, "")  # refuses templates that cannot be filled
        shortest = min(templates, key=len)  # leaves most room for the names
        model.check_prompts([with_name(shortest, name) for name in class_names], "prompts of the classes")
        with inferring(model, head):
            points = averaged_points(model, head, [filled(templates, name) for name in class_names])
        self.register_buffer("text_points", points, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, K) of images (N, 3, H, W) in [0, 1]."""
        return self.head.logits(self.head.lift_image(self.model.encode_image(images)), self.text_points)
