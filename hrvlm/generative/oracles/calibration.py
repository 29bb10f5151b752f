"""How often an oracle is wrong, counted on labelled answers.

A calibration file has one JSON object per line: an answer of the model, the class that the ideal oracle would give it
(read by a person, or by a far better judge), and, for calibration at one picture, the index of that picture.

    {"answer": "follow the red fox", "label": "follow"}
    {"answer": "a fox", "label": "no action", "index": 17}

For the counts to bound anything, the answers must be drawn from the law the certificate is about (noise and decoding
included) and none may be an estimation sample of a certificate that uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrvlm import shipped
from hrvlm.generative.oracles.base import Oracle
from hrvlm.trees.bounded_text import load_json, read_text

ERROR_MODELS = ("overall", "false positive", "conditional", "audit")


@dataclass(frozen=True)
class CalibrationPair:
    """An answer and the class that the ideal oracle gives it.

    Attributes:
        answer: What the model said.
        label: Name of a class.
        index: Picture it was said of, if the file says so.
    """

    answer: str
    label: str
    index: int | None = None


@dataclass(frozen=True)
class CalibrationCounts:
    """Errors of an oracle per class. Each pair (errors, trials) is binomial with the rate the error model names.

    Attributes:
        model: "overall" to "audit".
        classes: Classes of the oracle, "unparseable" last.
        errors: Errors for each class.
        trials: Pairs out of which they are counted; 0 where nothing is known of a class.
    """

    model: str
    classes: tuple[str, ...]
    errors: tuple[int, ...]
    trials: tuple[int, ...]

    def of(self, name: str) -> tuple[int, int]:
        """(errors, trials) for a class.

        Raises:
            ValueError: If the oracle has no such class.
        """
        if name not in self.classes:
            raise ValueError(f"expected a class out of {list(self.classes)}, got {name!r}")
        position = self.classes.index(name)
        return self.errors[position], self.trials[position]


def read_calibration(path: str | Path, classes: Sequence[str] | None = None) -> list[CalibrationPair]:
    """Reads a calibration file, strictly: a line that is not understood is an error, for leaving it out would bias.

    Args:
        path: File of JSON lines in UTF-8.
        classes: Where given, labels must be among them.

    Raises:
        ValueError: With file and line, if the file is missing, empty or not as described above.
    """
    try:
        text = read_text(shipped.find(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a calibration file of JSON lines in UTF-8 at {path}: {error}") from error
    lines = text.removesuffix("\n").split("\n")
    if lines == [""]:
        raise ValueError(f"expected at least one labelled answer in {path}, got an empty file")
    return [_pair(line, f"{path}, line {number}", classes) for number, line in enumerate(lines, start=1)]


def calibration_counts(oracle: Oracle, pairs: Sequence[CalibrationPair], model: str) -> CalibrationCounts:
    """Counts how often the oracle O differs from the ideal one O*, as an error model asks.

    - "overall", P(O != O*): all errors, out of all pairs; the same number for each class.
    - "false positive", P(O = c and O* != c): answers taken for c by mistake, out of all pairs.
    - "conditional", P(O = c | O* != c): the same errors, out of the pairs that are not c.
    - "audit", P(O* != c | O = c): the same errors, out of the pairs that the oracle calls c.

    Args:
        oracle: The oracle in use.
        pairs: Labelled answers.
        model: One of `ERROR_MODELS`.

    Raises:
        ValueError: For another model, no pairs, or labels that are no classes of the oracle.
    """
    if model not in ERROR_MODELS:
        raise ValueError(f"expected model as one of {', '.join(ERROR_MODELS)}, got {model!r}")
    strange = sorted({pair.label for pair in pairs} - set(oracle.classes))
    if not pairs or strange:
        raise ValueError(f"expected pairs labelled with {list(oracle.classes)}, got {strange or 'no pairs'}")
    used = oracle.labels([pair.answer for pair in pairs])
    ideal = [oracle.classes.index(pair.label) for pair in pairs]
    indices = range(len(oracle.classes))
    wrong = [sum(o == c != i for o, i in zip(used, ideal, strict=True)) for c in indices]
    everything = [len(pairs)] * len(oracle.classes)
    errors, trials = {
        "overall": ([sum(wrong)] * len(oracle.classes), everything),
        "false positive": (wrong, everything),
        "conditional": (wrong, [len(pairs) - ideal.count(c) for c in indices]),
        "audit": (wrong, [used.count(c) for c in indices]),
    }[model]
    return CalibrationCounts(model, oracle.classes, tuple(errors), tuple(trials))


def _pair(line: str, place: str, classes: Sequence[str] | None) -> CalibrationPair:
    try:
        entry = load_json(line)
    except ValueError as error:
        raise ValueError(f"expected one JSON object in {place}: {error}") from error
    if not isinstance(entry, dict):
        raise ValueError(f"expected one JSON object in {place}, got {type(entry).__name__}")
    unknown, lacking = sorted(set(entry) - {"answer", "label", "index"}), sorted({"answer", "label"} - set(entry))
    if unknown or lacking:
        raise ValueError(
            f"expected keys answer, label and perhaps index in {place}; unknown {unknown}, lacking {lacking}"
        )
    if not isinstance(entry["answer"], str) or not isinstance(entry["label"], str):
        raise ValueError(f"expected answer and label as texts in {place}")
    if not entry["label"].strip():
        raise ValueError(
            f"expected a label in {place}, got an empty one: write the class of the ideal oracle into every line"
        )
    if classes is not None and entry["label"] not in classes:
        raise ValueError(f"expected label out of {list(classes)} in {place}, got {entry['label']!r}")
    index = entry.get("index", None)
    if "index" in entry and (isinstance(index, bool) or not isinstance(index, int) or index < 0):
        raise ValueError(f"expected index as a whole number of at least 0 in {place}, got {index!r}")
    return CalibrationPair(entry["answer"], entry["label"], index)
