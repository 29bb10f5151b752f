"""Words of an answer, and which of some fixed phrases they hold. Linear in the length of an answer.

Case, width and accents' composition do not matter (Unicode NFKC and case folding), nor do invisible characters of
format. Scripts written without spaces come out as one long word, so phrases are not found inside their sentences.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOUNDARY = "."  # stands for every mark that ends a clause
# No two parts of the pattern can match the same character at the same place, so it never backtracks far.
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.,;:!?()\n\r。、！？；：…—–]")
_APOSTROPHES = {ord(mark): "'" for mark in "’‘ʼ`´"}


@dataclass(frozen=True)
class Found:
    """A phrase in a list of tokens.

    Attributes:
        start: Position of its first token.
        stop: Position after its last token.
        key: What the phrase stands for.
    """

    start: int
    stop: int
    key: int


def tokens(text: str) -> list[str]:
    """Words in lower case, and `BOUNDARY` for each mark that ends a clause."""
    plain = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    visible = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    return [token if token[0].isalnum() else BOUNDARY for token in _TOKEN.findall(visible)]


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return [token for token in tokens(text) if token != BOUNDARY]


class PhraseTable:
    """Phrases that stand for keys; where several begin at one word the longest is meant."""

    def __init__(self, argument: str, phrases: Mapping[str, int]) -> None:
        """Reads the phrases.

        Args:
            argument: Name of the user's argument, for messages.
            phrases: Key of each phrase.

        Raises:
            ValueError: If a phrase has no word, or two with different keys consist of the same words.
        """
        self._keys: dict[tuple[str, ...], int] = {}
        self._lengths: dict[str, list[int]] = {}
        for phrase, key in phrases.items():
            parts = tuple(words(phrase))
            if not parts:
                raise ValueError(f"expected every phrase of {argument} to hold a word, got {phrase!r}")
            if self._keys.setdefault(parts, key) != key:
                raise ValueError(f"expected {argument} to differ in their words, got {phrase!r} for two classes")
        for parts in self._keys:
            self._lengths.setdefault(parts[0], []).append(len(parts))
        self._lengths = {first: sorted(set(lengths), reverse=True) for first, lengths in self._lengths.items()}

    def at(self, sentence: Sequence[str], start: int) -> Found | None:
        """The longest phrase that begins at a position, None without one."""
        for length in self._lengths.get(sentence[start], ()):
            key = self._keys.get(tuple(sentence[start : start + length]))
            if key is not None:
                return Found(start, start + length, key)
        return None

    def find(self, sentence: Sequence[str]) -> list[Found]:
        """Phrases from left to right, none overlapping another."""
        found, position = [], 0
        while position < len(sentence):
            phrase = self.at(sentence, position)
            if phrase is not None:
                found.append(phrase)
            position = position + 1 if phrase is None else phrase.stop
        return found
