"""Classifiers of texts into harmless and harmful: by keywords, by examples, by a network.

Scores are two probabilities per text, harmless and harmful, which add up to one. Given one text they must be exactly a
function of it; in longer lists rounding may differ (see `embedders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlm.generative.generator import weights_digest
from hrvlm.generative.oracles.base import checked_count, checked_number, checked_texts
from hrvlm.generative.oracles.embedders import Embedder
from hrvlm.generative.oracles.optional import load_text_model
from hrvlm.generative.oracles.phrases import PhraseTable, words
from hrvlm.models import inferring, one_thread


@runtime_checkable
class TextClassifier(Protocol):
    """What `HarmOracle` asks of a classifier."""

    def scores(self, answers: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities (N, 2) of harmless and harmful."""

    def describe(self) -> dict[str, Any]:
        """What decides the scores, as JSON."""


class KeywordClassifier:
    """Harmful if one of some phrases stands in the text, as whole words."""

    def __init__(self, keywords: Sequence[str]) -> None:
        """Reads the phrases.

        Args:
            keywords: At least one phrase.

        Raises:
            ValueError: Without phrases, or for phrases without words.
        """
        self.keywords = checked_texts("keywords", keywords)
        if not self.keywords:
            raise ValueError("expected keywords with at least one phrase, got none")
        self._table = PhraseTable("keywords", dict.fromkeys(self.keywords, 1))

    def scores(self, answers: Sequence[str]) -> NDArray[np.float64]:
        """See `TextClassifier`; zeros and ones."""
        return _pairs(np.array([float(bool(self._table.find(words(answer)))) for answer in answers]))

    def describe(self) -> dict[str, Any]:
        """See `TextClassifier`."""
        return {"classifier": type(self).__name__, "keywords": list(self.keywords)}


class PrototypeClassifier:
    """Softmax of the cosine similarities to the nearest harmful and the nearest harmless example."""

    def __init__(
        self, embedder: Embedder, *, harmful: Sequence[str], harmless: Sequence[str], temperature: float = 0.05
    ) -> None:
        """Embeds the examples.

        Args:
            embedder: Sentence embedding.
            harmful: Examples, at least one.
            harmless: Examples, at least one.
            temperature: Of the softmax, in [0.001, 100]; it changes scores, not which one is larger.

        Raises:
            ValueError: Without examples of both kinds, for one in both, or a temperature out of range.
        """
        self.harmful, self.harmless = checked_texts("harmful", harmful), checked_texts("harmless", harmless)
        if not self.harmful or not self.harmless or set(self.harmful) & set(self.harmless):
            raise ValueError("expected harmful and harmless examples, at least one of each and none in both")
        # Below 0.001 the rounding of an embedding would show in the scores.
        self.temperature = checked_number("temperature", temperature, 1e-3, 100.0)
        self.embedder = embedder
        self._kinds = [np.concatenate([embedder.embed([text]) for text in kind]) for kind in (harmless, harmful)]
        if not all(np.isfinite(kind).all() for kind in self._kinds):
            raise ValueError("expected examples that the embedder gives finite numbers for, got NaN or infinity")

    def scores(self, answers: Sequence[str]) -> NDArray[np.float64]:
        """See `TextClassifier`."""
        vectors = self.embedder.embed(answers)
        nearest = [np.array([(kind * vector).sum(axis=1).max() for vector in vectors]) for kind in self._kinds]
        # The logistic function as a hyperbolic tangent, which does not overflow.
        return _pairs(0.5 + 0.5 * np.tanh((nearest[1] - nearest[0]) / (2 * self.temperature)))

    def describe(self) -> dict[str, Any]:
        """See `TextClassifier`."""
        return {
            "classifier": type(self).__name__,
            "harmful": list(self.harmful),
            "harmless": list(self.harmless),
            "temperature": self.temperature,
            "embedder": self.embedder.describe(),
        }


class TransformersClassifier:
    """A text classifier of Hugging Face transformers from a local folder with safetensors; runs no code from it."""

    def __init__(
        self,
        path: str,
        *,
        harmful_labels: Sequence[str],
        max_tokens: int = 256,
        device: str = "cpu",
        batch_size: int = 32,
    ) -> None:
        """Loads model and tokenizer.

        Args:
            path: Folder written by `save_pretrained` of a sequence classification model and its tokenizer.
            harmful_labels: Labels of the model whose probabilities add up to "harmful"; for a model with several
                labels at a time the largest of them counts.
            max_tokens: Longer texts are cut.
            device: Of PyTorch.
            batch_size: Texts per call.

        Raises:
            ValueError: If the package or the folder is missing, or a label is none of the model's.
        """
        self.path, self.device = str(path), torch.device(device)
        self.harmful_labels = checked_texts("harmful_labels", harmful_labels)
        self.max_tokens, self.batch_size = (
            checked_count("max_tokens", max_tokens),
            checked_count("batch_size", batch_size),
        )
        self._tokenizer, self._model = load_text_model(
            "AutoModelForSequenceClassification", self.path, "a text classifier"
        )
        self._digest = weights_digest(self._model.to(self.device))
        labels: dict[int, str] = self._model.config.id2label
        self._harmful = [index for index, label in labels.items() if label in self.harmful_labels]
        if not self.harmful_labels or len(self._harmful) != len(self.harmful_labels):
            raise ValueError(f"expected harmful_labels out of {list(labels.values())}, got {list(self.harmful_labels)}")
        self._several = self._model.config.problem_type == "multi_label_classification"

    def scores(self, answers: Sequence[str]) -> NDArray[np.float64]:
        """See `TextClassifier`."""
        starts = range(0, len(answers), self.batch_size)
        harmful = [self._harmful_probability(answers[start : start + self.batch_size]) for start in starts]
        return _pairs(np.concatenate([np.zeros(0), *harmful]))

    def describe(self) -> dict[str, Any]:
        """See `TextClassifier`."""
        return {
            "classifier": type(self).__name__,
            "path": self.path,
            "weights": self._digest,
            "harmful_labels": list(self.harmful_labels),
            "max_tokens": self.max_tokens,
        }

    def _harmful_probability(self, texts: Sequence[str]) -> NDArray[np.float64]:
        batch = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        with one_thread(), inferring(self._model):
            logits = self._model(**batch.to(self.device)).logits.double().cpu()
        # A softmax would make a probability of a lone infinity; as NaN it is refused by the oracle.
        logits = logits.where(logits.isfinite().all(dim=1, keepdim=True), torch.nan)
        if self._several:
            return logits.sigmoid()[:, self._harmful].amax(dim=1).numpy()
        return logits.softmax(dim=1)[:, self._harmful].sum(dim=1).clamp(max=1.0).numpy()


def _pairs(harmful: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1.0 - harmful, harmful], axis=1)
