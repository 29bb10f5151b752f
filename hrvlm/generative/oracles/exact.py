"""Which class an answer names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hrvlm.generative.oracles.base import MAX_CHARACTERS, Oracle, checked_texts
from hrvlm.generative.oracles.phrases import PhraseTable, words


class ExactOracle(Oracle):
    """The one class that an answer names; answers that name none or several are unparseable.

    A name counts where its words stand in the answer one after the other, in any case. Longer names go first: where
    "apple" and "red apple" are classes, "a red apple" names the second alone. Plurals are other words.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        synonyms: Mapping[str, Sequence[str]] | None = None,
        name: str = "exact",
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        """Builds the table of names.

        Args:
            names: Class names.
            synonyms: Further phrases for some of the names.
            name: See `Oracle`.
            max_characters: See `Oracle`.

        Raises:
            ValueError: Without names, for names without words, or for two that consist of the same words.
        """
        classes = checked_texts("names", names)
        if not classes:
            raise ValueError("expected names with at least one class, got none")
        super().__init__(name, classes, max_characters)
        indices = {text: i for i, text in enumerate(classes)}
        pairs = list(indices.items())
        for text, others in (synonyms or {}).items():
            if text not in indices:
                raise ValueError(f"expected synonyms of classes, got some of {text!r}, which is none of the names")
            pairs += [(phrase, indices[text]) for phrase in checked_texts(f"synonyms of {text!r}", others)]
        self._phrases: dict[str, int] = {}
        for phrase, index in pairs:
            if self._phrases.setdefault(phrase, index) != index:
                raise ValueError(f"expected names and synonyms of one class each, got {phrase!r} for two")
        self._table = PhraseTable("names", self._phrases)

    def describe(self) -> dict[str, Any]:
        """See `Oracle`; adds the phrases that are not class names."""
        others = {phrase: self.classes[i] for phrase, i in self._phrases.items() if phrase != self.classes[i]}
        return super().describe() | {"synonyms": others}

    def _label_texts(self, texts: Sequence[str]) -> list[int | None]:
        return [self._label(text) for text in texts]

    def _label(self, text: str) -> int | None:
        named = {found.key for found in self._table.find(words(text))}
        return named.pop() if len(named) == 1 else None
