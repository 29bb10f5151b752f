"""The model that training starts from, kept beside the one being trained: what PMG-AFT, FARE and others hold on to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hrvlm.models import inference_copy
from hrvlm.objectives.base import ImageTextModel, Objective
from hrvlm.objectives.flat import TeCoAObjective
from hrvlm.objectives.interface import ImageEncoder

DIGEST_BYTES = 32


class Referenced(Objective):
    """What an objective inherits first, to ask the image tower that training started from as well.

    `prepare` copies the tower of the model it is given. The copy is no sub-module: it has no place in `parameters()`,
    in checkpoints or in what distributed training broadcasts, and `train()` does not reach it, so that its batch norms
    and dropout stay in evaluation mode. It follows the objective to another device or dtype.

    A run that is resumed calls `prepare` on the model it is configured with, before the checkpoint's weights are
    loaded, and so holds on to the same reference as the first run. The checkpoint carries a digest of the reference's
    weights: loading it beside another reference is refused.

    Attributes:
        reference_digest: SHA-256 of the reference's weights, uint8 `(32,)`; zeros before `prepare`.
    """

    reference_digest: Tensor

    def __init__(self, **arguments: Any) -> None:
        """Set what the objective takes."""
        super().__init__(**arguments)
        self._reference: list[nn.Module] = []  # in a list, which hides it from nn.Module
        self.register_buffer("reference_digest", torch.zeros(DIGEST_BYTES, dtype=torch.uint8))

    @torch.no_grad()
    def prepare(self, model: ImageTextModel, images: Tensor | None = None) -> None:
        """Copy the image tower, then do as `Objective.prepare`; a second call keeps the first copy."""
        if not self._reference:
            tower = model.frozen_image_tower()
            assert isinstance(tower, nn.Module)
            digest = _digest(tower)
            # A checkpoint loaded before `prepare` has brought the digest of the reference it was trained with.
            _check_digest(self.reference_digest, digest)
            self._reference.append(inference_copy(tower))
            self.reference_digest.copy_(digest)
        super().prepare(model, images)

    def reference(self) -> ImageEncoder:
        """The copy of the image tower.

        Raises:
            RuntimeError: If `prepare` was not called.
        """
        if not self._reference:
            raise RuntimeError(f"expected {type(self).__name__}.prepare(model) before use: it copies the image tower")
        tower: Any = self._reference[0]
        found: ImageEncoder = tower
        return found

    @torch.no_grad()
    def reference_features(self, images: Tensor) -> Tensor:
        """Un-normalised features `(N, D)` of images `(N, 3, H, W)` in [0, 1], in float32 at least, without gradient.

        Raises:
            RuntimeError: If `prepare` was not called.
        """
        features = self.reference().encode_image(images)
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """`nn.Module`'s own way to move or convert tensors, here of the reference as well."""
        for tower in self._reference:
            tower._apply(fn)
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Compare the digest in a checkpoint with that of the reference.

        Raises:
            ValueError: If the checkpoint was trained beside another reference.
        """
        stored = state_dict.get(f"{prefix}reference_digest")
        if self._reference and isinstance(stored, Tensor):
            _check_digest(stored, self.reference_digest)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class ReferencedObjective(Referenced, TeCoAObjective):
    """An objective on leaf classes that also asks the image tower that training started from."""

    ascent_options = frozenset()  # most of them ascend a loss of their own


def _digest(tower: nn.Module) -> Tensor:
    """SHA-256 of names and values of a module's state `(32,)`, on the CPU."""
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _check_digest(stored: Tensor, own: Tensor) -> None:
    if bool(stored.any()) and not torch.equal(stored.cpu(), own.cpu()):
        raise ValueError(
            "expected the model that the checkpoint's run started from, got another: the objective compares with it; "
            "set model, pretrained and seed_everything as in that run"
        )
