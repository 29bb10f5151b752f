"""What every oracle shares: a class for every answer, from that answer alone, whatever the answer is.

Words used here: an answer is what a generative model said of one noisy copy of a picture; an oracle maps it to one of
finitely many classes; the last class is always `UNPARSEABLE`. Unparseable answers are a class of their own and never
dropped, for dropping them would change the law that a certificate counts.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

UNPARSEABLE = "unparseable"
MAX_CHARACTERS = 2000
# Networks round differently when a batch has another shape, by about 1e-7. What is closer than this to a decision is
# computed for the answer alone, so that no label depends on a batch.
ROUNDING = 1e-4


@dataclass
class Failures:
    """Answers that were labelled unparseable because the oracle's own code failed on them.

    Attributes:
        count: Number of such answers so far, repetitions included.
        first: Kind and text of the first failure; None without one.
    """

    count: int = 0
    first: str | None = None

    def add(self, error: Exception, count: int) -> None:
        """Counts answers that an error made unparseable."""
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        self.count, self.first = self.count + count, self.first or message


class Oracle(ABC):
    """A total function from answers to classes.

    `labels` never raises for any list of strings. The label of an answer depends on that answer alone, never on the
    others in the list: otherwise the votes of noisy copies would not be independent and no certificate would hold.

    Attributes:
        name: Says which question the oracle answers; recorded in rows.
        classes: Names of the classes, `UNPARSEABLE` last.
        max_characters: Answers are cut to so many characters before they are read, which bounds the time they take.
    """

    needs_anchors = False

    def __init__(self, name: str, classes: Sequence[str], max_characters: int = MAX_CHARACTERS) -> None:
        """Checks and keeps what all oracles share.

        Args:
            name: See the class.
            classes: Names without `UNPARSEABLE`, which is appended.
            max_characters: At least 1.

        Raises:
            ValueError: For an empty name, class names that are blank, repeated or reserved, or a limit below 1.
        """
        self.name = checked_text("name", name)
        names = checked_texts("classes", classes)
        if UNPARSEABLE in names:
            raise ValueError(f"expected class names other than {UNPARSEABLE!r}, which every oracle has already")
        self.classes: tuple[str, ...] = (*names, UNPARSEABLE)
        self.max_characters = checked_count("max_characters", max_characters)
        self._failures = Failures()

    @property
    def unparseable(self) -> int:
        """Index of the class `UNPARSEABLE`."""
        return len(self.classes) - 1

    @property
    def failures(self) -> Failures:
        """How often the oracle's own code failed since it was made, that of `anchored` ones included."""
        return replace(self._failures)

    def labels(self, answers: Sequence[str]) -> list[int]:
        """Index into `classes` for each answer.

        Args:
            answers: Any strings: empty, endless, in any script.

        Raises:
            ValueError: If `answers` is not a sequence of strings; never because of what a string says.
        """
        if isinstance(answers, str) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"expected answers as a list of strings, got {type(answers).__name__}; write [answer]")
        counts = Counter(readable(answer, self.max_characters) for answer in answers)
        found = self._labels_of_texts([text for text in counts if text.strip()], counts)
        return [found.get(readable(answer, self.max_characters), self.unparseable) for answer in answers]

    def describe(self) -> dict[str, Any]:
        """What decides the labels, as JSON: two oracles of the same description give the same labels."""
        return {
            "oracle": type(self).__name__,
            "name": self.name,
            "classes": list(self.classes),
            "max_characters": self.max_characters,
            "cut": f"answers are cut to their first {self.max_characters} characters",
        }

    @abstractmethod
    def _label_texts(self, texts: Sequence[str]) -> Sequence[int | None]:
        """Labels of distinct texts that are cut and not blank; None stands for unparseable. May raise."""

    def _labels_of_texts(self, texts: list[str], counts: Counter[str]) -> dict[str, int]:
        """One call for all texts; where that fails each text is tried alone, so that one cannot spoil another."""
        if not texts:
            return {}
        try:
            return dict(zip(texts, self._checked(texts), strict=True))
        except Exception:
            return {text: self._label_alone(text, counts[text]) for text in texts}

    def _label_alone(self, text: str, count: int) -> int:
        try:
            return self._checked([text])[0]
        except Exception as error:
            self._failures.add(error, count)
            return self.unparseable

    def _checked(self, texts: list[str]) -> list[int]:
        labels = list(self._label_texts(texts))
        if len(labels) != len(texts):
            raise RuntimeError(f"expected one label for each of {len(texts)} answers, got {len(labels)}")
        found = [self.unparseable if label is None else int(label) for label in labels]
        if not all(0 <= label <= self.unparseable for label in found):
            raise RuntimeError(f"expected labels from 0 to {self.unparseable}, got {found}")
        return found


def readable(answer: str, max_characters: int) -> str:
    """The first characters of an answer, with a question mark for halves of surrogate pairs, which no encoder takes."""
    return answer[:max_characters].encode("utf-8", "replace").decode("utf-8")


def checked_text(argument: str, value: str) -> str:
    """The value, if it is a string with something in it; a ValueError else."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected {argument} as text that is not blank, got {value!r}")
    return value


def checked_texts(argument: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values, if they are distinct strings with something in them; a ValueError else. May be empty."""
    if isinstance(values, str):
        raise ValueError(f"expected {argument} as a list of texts, got the single text {values!r}; write [{values!r}]")
    texts = tuple(checked_text(f"{argument}[{i}]", value) for i, value in enumerate(values))
    repeated = [text for text, count in Counter(texts).items() if count > 1]
    if repeated:
        raise ValueError(f"expected {argument} without repetition, got {json.dumps(repeated[0])} more than once")
    return texts


def checked_count(argument: str, value: int) -> int:
    """The value, if it is a whole number of at least 1; a ValueError else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"expected {argument} as a whole number of at least 1, got {value!r}")
    return value


def checked_number(argument: str, value: float, low: float, high: float) -> float:
    """The value as a float, if it lies in [low, high]; a ValueError else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"expected {argument} in [{low:g}, {high:g}], got {value!r}")
    return float(value)
