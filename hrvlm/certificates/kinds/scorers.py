"""The affine scorers of a model's levels, of which all that no image changes is made once."""

from __future__ import annotations

from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.kinds.classifiers import Classifiers
from hrvlm.models import LevelKey


class LevelScorers:
    """The scorers of levels at images.

    Args:
        classifiers: of the model, whose weights stay as they are.

    Attributes:
        classifiers: likewise.
    """

    def __init__(self, classifiers: Classifiers) -> None:
        self.classifiers = classifiers
        self._known: dict[tuple[str, LevelKey], AffineScorer] = {}

    def __call__(self, kind: str, key: LevelKey, points: Tensor) -> AffineScorer:
        """That of a level at points `(N, D)`; its biases may belong to just these."""
        return self._with(kind, key, *self._affine(kind, key, points))

    def of_image(self, kind: str, key: LevelKey, point: Tensor) -> AffineScorer:
        """That of a level at the one image whose point `(1, D)` is given, for any points of its norm."""
        weight, bias = self._affine(kind, key, point)
        return self._with(kind, key, weight, bias.reshape(-1, len(weight))[0])

    def _affine(self, kind: str, key: LevelKey, points: Tensor) -> tuple[Tensor, Tensor]:
        classifier = self.classifiers[kind]
        return classifier.head.affine(points, classifier.text_points(key))

    def _with(self, kind: str, key: LevelKey, weight: Tensor, bias: Tensor) -> AffineScorer:
        known = self._known.get((kind, key))
        if known is None or not weight.equal(known.weight):
            known = self._known[kind, key] = AffineScorer(weight, bias)
        return known.with_bias(bias)
