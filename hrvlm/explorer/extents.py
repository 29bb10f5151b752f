"""How far a change in words goes before a prediction may change, at every level, for one picture.

The rows are those that `certify.py run` writes of a picture without a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.interface import Context, EmbeddedImage
from hrvlm.certificates.kinds.semantic.options import SemanticOptions
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.semantic.report import REPORT
from hrvlm.certificates.kinds.semantic.run import certify
from hrvlm.certificates.run.images import Images
from hrvlm.models import NO_LABEL, HierarchicalClassifier, inference_copy, one_thread
from hrvlm.trees import ClassTree

CHANGE = "change"
"""Name of the change in rows; there is one only."""


@dataclass(frozen=True, kw_only=True)
class LevelExtent:
    """What is certified of a change at a level.

    Attributes:
        name: Of the level, with its tree where several levels have one.
        record: The certificate.
        pieces: (share of the way up to which it reaches, class in words), rising to 1; none if nothing is certified.
        contradictions: (from, to) shares of the way on which the class of the level below lies in another node.
    """

    name: str
    record: SemanticRecord
    pieces: list[tuple[float, str]]
    contradictions: list[tuple[float, float]] = field(default_factory=list)

    @property
    def invariance(self) -> float:
        """Share of the way on which the prediction is that of the picture itself."""
        return self.record.invariance


class EmbeddedPicture:
    """A picture whose embedding is known, so that prompts can be tried one after the other.

    Args:
        classifier: Classifiers of every level.
        image: (3, H, W) in [0, 1].
    """

    def __init__(self, classifier: HierarchicalClassifier, image: Tensor) -> None:
        self._classifier = inference_copy(classifier)
        images = Images(self._classifier, [(image, NO_LABEL)], [0], frozenset(), None, None, None)
        feature = images.feature(0, image)
        self.embedded = EmbeddedImage(0, NO_LABEL, feature, images.named(feature))

    @property
    def noun(self) -> str:
        """The class that is predicted at the leaves, in words: what "{}" stands for in prompts."""
        return self._classifier.forest[0].levels[0].names[self.embedded.named]

    def predictions(self) -> dict[str, str]:
        """Class in words by level in words, of the picture itself; "none" without finite scores."""
        head = self._classifier.head
        with one_thread():
            labels = self._classifier.labels(head.lift_image(self.embedded.feature))
        return {self._classifier.name(key): class_words(self._classifier, key, int(k)) for key, k in labels.items()}

    def records(self, source: str, target: str) -> list[SemanticRecord]:
        """Certificates of the change from one prompt to another, for every level and scorer.

        Raises:
            ValueError: If a prompt has not exactly one "{}", or both are the same to the model.
        """
        change = Attribute(name=CHANGE, source=source.strip(), target=target.strip())
        context = Context(classifier=self._classifier, plan=None, options=SemanticOptions([change], []))
        return next(certify(context, iter([self.embedded])))

    def extents(self, source: str, target: str) -> dict[str, list[LevelExtent]]:
        """The same as bars by scorer, leaves first; see `records`."""
        found: dict[str, list[LevelExtent]] = {}
        records = self.records(source, target)
        for scorer in dict.fromkeys(record.scorer for record in records):
            found[scorer] = level_extents(self._classifier, [r for r in records if r.scorer == scorer])
        return found


def class_words(classifier: HierarchicalClassifier, key: tuple[int, int], label: int) -> str:
    """A class of a level in words; "none" for no label."""
    tree, level = key
    return "none" if label < 0 else classifier.forest[tree].levels[level].names[label]


def level_extents(classifier: HierarchicalClassifier, records: Sequence[SemanticRecord]) -> list[LevelExtent]:
    """Bars of the records of one picture and scorer, in the order of the classifier's levels."""
    by_place = {(record.tree if record.level else "", record.level): record for record in records}
    found = []
    for key in classifier.keys:
        tree = classifier.forest[key.tree]
        record = by_place[(tree.name if key.level else "", key.level)]
        below = by_place[(tree.name if key.level > 1 else "", key.level - 1)] if key.level else None
        against = (
            [] if below is None else contradictions(_shares(below), _shares(record), _parents(tree, key.level - 1))
        )
        pieces = [(share, class_words(classifier, key, label)) for share, label in _shares(record)]
        found.append(LevelExtent(name=classifier.name(key), record=record, pieces=pieces, contradictions=against))
    return found


def contradictions(
    lower: Sequence[tuple[float, int]], upper: Sequence[tuple[float, int]], parents: Sequence[int]
) -> list[tuple[float, float]]:
    """Where on the way a level's class does not lie in the class of the level above.

    Args:
        lower: (share of the way up to which it reaches, class), rising to 1, of a level; none if it certifies nothing.
        upper: The same of the level above.
        parents: Per class of the level the one above it.

    Returns:
        (from, to) shares, rising and apart from each other.
    """
    if not lower or not upper:
        return []
    found: list[tuple[float, float]] = []
    begin = 0.0
    for end in sorted({share for share, _ in (*lower, *upper)}):
        if parents[_class_at(lower, begin)] != _class_at(upper, begin):
            joins = bool(found) and found[-1][1] == begin
            found[-1:] = [(found[-1][0], end)] if joins else [*found[-1:], (begin, end)]
        begin = end
    return found


def guarantee(records: Sequence[SemanticRecord]) -> list[str]:
    """What the records guarantee, in sentences."""
    return REPORT.guarantee(records)


def _class_at(pieces: Sequence[tuple[float, int]], share: float) -> int:
    return next((label for end, label in pieces if share < end), pieces[-1][1])


def _shares(record: SemanticRecord) -> list[tuple[float, int]]:
    return list(REPORT.change(record).intervals)


def _parents(tree: ClassTree, level: int) -> list[int]:
    found: list[int] = tree.parents(level).tolist()
    return found
