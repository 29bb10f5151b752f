"""Whether an answer says the same as an anchor, by the angle between sentence embeddings.

Anchors are fixed before the samples that are counted: taken from the clean picture's answer, from the selection samples
or from the user. Answers of the estimation samples must not choose them. A certificate counts labels that are
independent draws of one law; were the samples clustered among themselves, the label of each would depend on all the
others, and a class chosen because it happened to be frequent would then be counted on the very samples that made it so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrvlm.generative.oracles.base import (
    MAX_CHARACTERS,
    ROUNDING,
    Oracle,
    checked_count,
    checked_number,
    checked_texts,
    readable,
)
from hrvlm.generative.oracles.embedders import Embedder

OTHER = "other"
DEFAULT_THRESHOLD = 0.7
_QUOTED_CHARACTERS = 80


class EquivalenceOracle(Oracle):
    """One class per anchor, "other", "unparseable".

    Rule. Of the anchors the one of largest cosine similarity is nearest, of several equally near the first. The answer
    is equivalent to it if the similarity is at least `threshold`, else it is "other". A blank answer, or one that the
    embedder finds nothing in, is unparseable. This is a rule about one answer and fixed anchors, so it need not be
    transitive: two answers equivalent to one anchor may be further apart than the threshold allows.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        threshold: float = DEFAULT_THRESHOLD,
        anchors: Sequence[str] = (),
        name: str = "equivalence",
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        """Embeds the anchors.

        Args:
            embedder: Sentence embedding.
            threshold: Least cosine similarity of equivalent sentences, in [-1, 1]. The default was measured for
                `SentenceEmbedder` on captions; other embedders need their own.
            anchors: Reference answers. Without any the oracle only serves `anchors_of` and `anchored`.
            name: See `Oracle`.
            max_characters: See `Oracle`.

        Raises:
            ValueError: For a threshold out of range, or anchors that are blank, repeated or cannot be embedded.
        """
        self.anchors = checked_texts("anchors", anchors)
        super().__init__(name, [*_class_names(self.anchors), OTHER], max_characters)
        if not isinstance(embedder, Embedder):
            raise ValueError(f"expected embedder with methods embed and describe, got {type(embedder).__name__}")
        self.embedder = embedder
        self.threshold = checked_number("threshold", threshold, -1.0, 1.0)
        self._anchor_vectors = self._embed_anchors() if self.anchors else np.zeros((0, 0))

    @property
    def needs_anchors(self) -> bool:  # type: ignore[override]
        """Whether anchors must be given, by `anchored`, before anything can be labelled."""
        return not self.anchors

    def anchored(self, anchors: Sequence[str]) -> EquivalenceOracle:
        """The same rule with other anchors; the embedder, its cache and the count of failures are shared.

        Args:
            anchors: At least one answer that no estimation sample had a part in choosing.

        Raises:
            ValueError: Without anchors, or for anchors that are blank, repeated or cannot be embedded.
        """
        if not checked_texts("anchors", anchors):
            raise ValueError("expected anchors with at least one answer, got none; an unparseable one cannot be anchor")
        oracle = EquivalenceOracle(
            self.embedder,
            threshold=self.threshold,
            anchors=anchors,
            name=self.name,
            max_characters=self.max_characters,
        )
        oracle._failures = self._failures
        return oracle

    def anchors_of(self, answers: Sequence[str], max_anchors: int | None = None) -> list[str]:
        """Anchors from SELECTION answers: greedy leader clustering.

        Distinct answers are taken from the most to the least frequent; each joins the nearest leader within the
        threshold, or becomes a leader itself. The order of `answers` does not matter.

        Args:
            answers: Answers of selection samples or of clean pictures, never of estimation samples.
            max_anchors: Keeps so many leaders of the largest clusters; None keeps all.

        Returns:
            Leaders, largest cluster first; empty where no answer can be embedded.
        """
        if max_anchors is not None:
            checked_count("max_anchors", max_anchors)
        counts = Counter(text for text in (readable(a, self.max_characters) for a in answers) if text.strip())
        texts = sorted(counts, key=lambda text: (-counts[text], text))
        leaders: dict[str, NDArray[np.float64]] = {}
        sizes: Counter[str] = Counter()
        for text in texts:
            vector = self._vector_or_none(text)
            if vector is None:
                continue
            nearest = self._nearest(vector, np.stack(list(leaders.values()))) if leaders else None
            leader = text if nearest is None else list(leaders)[nearest]
            leaders.setdefault(leader, vector)
            sizes[leader] += counts[text]
        return [text for text, _ in sizes.most_common(max_anchors)]

    def describe(self) -> dict[str, Any]:
        """See `Oracle`; adds the rule."""
        rule = "cosine similarity of at least the threshold to the nearest anchor; ties to the first"
        return super().describe() | {
            "rule": rule,
            "threshold": self.threshold,
            "anchors": list(self.anchors),
            "embedder": self.embedder.describe(),
        }

    def labels(self, answers: Sequence[str]) -> list[int]:
        """See `Oracle.labels`.

        Raises:
            ValueError: Without anchors.
        """
        if self.needs_anchors:
            raise ValueError("expected anchors before answers are labelled, got none; use oracle.anchored([...])")
        return super().labels(answers)

    def _label_texts(self, texts: Sequence[str]) -> list[int | None]:
        vectors = _embedded(self.embedder, texts)
        return [self._label(text, vector) for text, vector in zip(texts, vectors, strict=True)]

    def _label(self, text: str, vector: NDArray[np.float64]) -> int | None:
        if not np.isfinite(vector).all():
            raise RuntimeError("expected a finite embedding, got NaN or infinity")
        if not vector.any():
            return None
        if self._undecided(_similarities(vector, self._anchor_vectors)):
            vector = _embedded(self.embedder, [text])[0]
        nearest = self._nearest(vector, self._anchor_vectors)
        return len(self.anchors) if nearest is None else nearest

    def _nearest(self, vector: NDArray[np.float64], anchors: NDArray[np.float64]) -> int | None:
        """Index of the nearest anchor within the threshold."""
        similarities = _similarities(vector, anchors)
        nearest = int(similarities.argmax())
        return nearest if similarities[nearest] >= self.threshold else None

    def _undecided(self, similarities: NDArray[np.float64]) -> bool:
        """Whether rounding could change the label."""
        *_, second, first = np.sort(np.append(similarities, -np.inf))
        at_threshold = abs(first - self.threshold) < ROUNDING
        return bool(at_threshold or (first >= self.threshold and first - second < ROUNDING))

    def _vector_or_none(self, text: str) -> NDArray[np.float64] | None:
        try:
            vector = _embedded(self.embedder, [text])[0]
        except Exception as error:  # an answer that cannot be embedded is unparseable, so it cannot be an anchor
            self._failures.add(error, 1)
            return None
        return vector if np.isfinite(vector).all() and vector.any() else None

    def _embed_anchors(self) -> NDArray[np.float64]:
        cut = [readable(anchor, self.max_characters) for anchor in self.anchors]
        vectors = np.concatenate([_embedded(self.embedder, [anchor]) for anchor in cut])
        useless = [a for a, v in zip(self.anchors, vectors, strict=True) if not (np.isfinite(v).all() and v.any())]
        if useless:
            raise ValueError(f"expected anchors that the embedder finds something in, got {useless[0]!r}")
        return vectors


def _similarities(vector: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines (M,), summed row by row, so that equal anchors tie exactly."""
    cosines: NDArray[np.float64] = (anchors * vector).sum(axis=1)
    return cosines


def _embedded(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float64]:
    vectors = np.asarray(embedder.embed(texts), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise RuntimeError(f"expected embeddings of shape ({len(texts)}, D), got {vectors.shape}")
    return vectors


def _class_names(anchors: Sequence[str]) -> list[str]:
    """Names that quote the anchors; numbered where there are several, for long ones may look alike when cut."""
    quoted = [f'"{a[:_QUOTED_CHARACTERS]}{"…" if len(a) > _QUOTED_CHARACTERS else ""}"' for a in anchors]
    if len(quoted) == 1:
        return [f"equivalent to {quoted[0]}"]
    return [f"equivalent to {number}: {text}" for number, text in enumerate(quoted, start=1)]
