"""A model as an objective sees it, which encodes pictures once where several parts of a loss share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from hrvlm.objectives.interface import ImageEncoder, ImageTextModel


class EncodedOnce(nn.Module):
    """A model that answers for another, and keeps what it made of pictures while it is asked to."""

    def __init__(self, model: ImageTextModel) -> None:
        """Stands before a model, an `nn.Module` whose modes and flags stay its own; keeps nothing yet."""
        super().__init__()
        self.model = model
        self._kept: dict[tuple[str, int], tuple[Tensor, Tensor]] | None = None

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised features `(N, D)` of images `(N, 3, H, W)`."""
        return self._once("features", images, self._encode)

    def _encode(self, images: Tensor) -> Tensor:
        return self.model.encode_image(images)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Inside, what was made of a tensor of pictures is kept, so that losses which share it encode it once."""
        if self._kept is not None:  # already, and for longer
            yield
            return
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def _once(self, what: str, images: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        if self._kept is None:
            return make(images)
        # The pictures are kept as well: their identity is theirs for as long as they live.
        if (what, id(images)) not in self._kept:
            self._kept[what, id(images)] = images, make(images)
        return self._kept[what, id(images)][1]

    def frozen_image_tower(self) -> ImageEncoder:
        """The model's."""
        return self.model.frozen_image_tower()

    def text_hidden(self, texts: Sequence[str]) -> Tensor:
        """The model's."""
        return self.model.text_hidden(texts)

    def project_text(self, hidden: Tensor) -> Tensor:
        """The model's."""
        return self.model.project_text(hidden)

    @property
    def logit_scale(self) -> Tensor:
        """The model's."""
        return self.model.logit_scale
