"""Subspace alignment (AoS): adversarial fine-tuning of groups of samples, not single ones. Built from its abstract.

Source: "Robustifying Zero-Shot Vision Language Models by Subspaces Alignment", Dong et al., ICCV 2025, of which the
abstract alone was read. It determines this much: groups stand for distributions and are represented as subspaces, from
second-order statistics; the groups are an image with its augmentations, their adversarial counterparts, a prompt with
its synonymous prompts, and their adversarial counterparts; image subspaces are aligned with text subspaces, and
adversarial subspaces with clean ones. Its formulas, augmentations, synonyms and weights are not known here, so results
of this objective are not the paper's.

Decided here:
- A subspace is a projector with a ridge, two are alike by the root of the cosine of their projectors (`subspaces`).
- Image with text: cross-entropy over the classes of the scaled likeness between the adversarial image's group and the
  classes' adversarial text groups. With one view and one prompt this is TeCoA's, but for the sign of cosines.
- Adversarial with clean: one less the likeness of the adversarial image's group to the group of the clean image in the
  original model, which is to keep what it could do; the text tower is fixed, so texts need no such term.
- An image's group are fixed views of it; the adversarial counterpart of a view is that view of the adversarial image:
  one perturbation of the image, within the budget, is sought for the whole group, jointly with one of the texts.
- Synonymous prompts fill the words of `templates` with the names of the leaves, beside the tree's own prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel, perturb_jointly
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import CosineHead
from hrvlm.objectives.base import Adversarial, ImageTextModel, Perturbed
from hrvlm.objectives.gathering import with_mean_gradient
from hrvlm.objectives.interface import ImageEncoder
from hrvlm.objectives.reference import ReferencedObjective
from hrvlm.objectives.settings import TextPerturbation
from hrvlm.objectives.subspaces import own_similarities, ridge_basis, similarities
from hrvlm.objectives.views import View, check_views, views
from hrvlm.trees.words import with_name

SYNONYMS = ("a photo of a {}", "an image of a {}", "{}")


class SubspaceAlignmentObjective(ReferencedObjective):
    """Cross-entropy of likenesses between image and text subspaces, and one less that to the original clean ones."""

    def __init__(
        self,
        *,
        clean_weight: float = 1.0,
        ridge: float = 0.1,
        image_views: Sequence[View] = ("mirrored", "enlarged"),
        templates: Sequence[str] = SYNONYMS,
        text_perturbation: TextPerturbation = TextPerturbation(),
        logit_scale: float | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the groups, the weight and the perturbation.

        Args:
            clean_weight: Weight >= 0 of the alignment with the original model's clean subspaces.
            ridge: λ > 0 of the subspaces of features of unit norm; see `hrvlm.objectives.subspaces`.
            image_views: Views of each image besides itself: "mirrored", "enlarged", "darkened". Each costs a pass more.
            templates: Synonymous prompts with {} for a class's name, besides the tree's own prompt of it.
            text_perturbation: How far projected text features are moved, together with the images.
            logit_scale: Fixed scale of cosines and likenesses; None takes the model's.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.

        Raises:
            ValueError: If a number is out of range, a view unknown, or a template without {}.
        """
        super().__init__(logit_scale=logit_scale, threat_model=threat_model, ascent=ascent)
        if ascent.rule == "apgd":
            raise ValueError(
                f"expected ascent.rule sign or momentum with {type(self).__name__}, got apgd: its steps of the texts, "
                "which all processes share, would depend on each process's own images"
            )
        for name, value, fits in (("clean_weight", clean_weight, clean_weight >= 0.0), ("ridge", ridge, ridge > 0.0)):
            if not fits:
                raise ValueError(f"expected {name} {'>' if name == 'ridge' else '>='} 0, got {value}")
        if any(template.count("{}") != 1 for template in templates):
            raise ValueError(f"expected templates with one {{}} each for the class's name, got {list(templates)}")
        self.clean_weight, self.ridge, self.text_perturbation = clean_weight, ridge, text_perturbation
        self.image_views, self.templates = check_views(image_views), tuple(templates)

    def prompts(self) -> list[str]:
        """Texts of all nodes, then the synonymous prompts, leaf by leaf."""
        names = self.forest[0].levels[0].names
        return super().prompts() + [with_name(template, name) for name in names for template in self.templates]

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """One ascent on the whole loss, of the images and of the text features."""
        texts, clean = self.text_groups(model), self._clean_basis(images)

        def loss(pixels: Tensor, delta: Tensor | None) -> Tensor:
            return self._terms(model, pixels, texts, delta, clean, labels)[0]

        budget = self.text_perturbation
        adversarial, delta = perturb_jointly(
            loss,
            images,
            torch.zeros_like(texts) if budget.eps > 0.0 else None,
            self.threat_model,
            eps_text=budget.eps,
            steps=self.ascent.steps,
            step_size_image=self.ascent.step_size,
            step_size_text=budget.step,
            generator=generator,
            rule=self.ascent.step_rule(),
        )
        return Adversarial((Perturbed(adversarial, delta),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over images of both terms."""
        (part,) = adversarial.parts
        texts, clean = self.text_groups(model), self._clean_basis(images)
        terms, aligned, logits = self._terms(model, part.images, texts, part.text_delta, clean, labels)
        loss, kept = terms.mean(), 1.0 - aligned.mean()
        accuracy = (labels_of(logits) == labels).float().mean()
        logs = {"loss": loss, "clean": kept, "adversarial_accuracy": accuracy}
        return loss, {name: number.detach() for name, number in logs.items()}

    @torch.no_grad()
    def text_groups(self, model: ImageTextModel) -> Tensor:
        """Projected, un-normalised text features `(K, 1 + templates, D)` of prompts and synonyms, without gradient."""
        features, leaves = self.text_features(model), len(self.forest.leaves)
        first_synonym = len(features) - leaves * len(self.templates)
        synonyms = features[first_synonym:].unflatten(0, (leaves, len(self.templates)))
        return torch.cat([features[:leaves, None], synonyms], dim=1)

    def _terms(
        self, model: ImageTextModel, images: Tensor, texts: Tensor, delta: Tensor | None, clean: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of each image `(B,)`, likeness to the clean subspace `(B,)`, and logits `(B, K)`."""
        head = self.head
        assert isinstance(head, CosineHead)
        image_basis = self._basis(model, images)
        moved = texts if delta is None else texts + with_mean_gradient(delta)  # one perturbation for all processes
        text_basis = ridge_basis(head.lift_text(moved, 0), self.ridge)
        logits = head.logit_scale * similarities(image_basis, text_basis)
        aligned = own_similarities(image_basis, clean)
        losses = F.cross_entropy(logits, labels, reduction="none") + self.clean_weight * (1.0 - aligned)
        return losses, aligned, logits

    @torch.no_grad()
    def _clean_basis(self, images: Tensor) -> Tensor:
        return self._basis(self.reference(), images)

    def _basis(self, model: ImageEncoder, images: Tensor) -> Tensor:
        """Basis `(B, 1 + views, D)` of each image's group; view by view, for a model may see noise of one batch."""
        shown = views(images, self.image_views).unbind(dim=1)
        features = torch.stack([model.encode_image(view) for view in shown], dim=1)
        return ridge_basis(self.head.lift_image(features), self.ridge)
