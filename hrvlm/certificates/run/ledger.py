"""Which label functions have been scored on kept noise, and how they were chosen; see `label_functions`."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from hrvlm.certificates.kinds.interface import LEVELS
from hrvlm.certificates.kinds.registry import kinds
from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.rows.jsonl import cut_torn_line
from hrvlm.rows.record import FunctionsChosen

_BEGIN = '{"function": "'
LEDGER, LEDGER_LOCK = "functions.jsonl", "functions.lock"


def _accounts() -> list[str]:
    """Whose alpha label functions spend: that of levels, or of a kind that adds to them."""
    return list(dict.fromkeys(kind.spends for kind in kinds() if kind.spends is not None))


class Ledger:
    """The label functions that have been scored on a store, in order, and how they were chosen.

    Args:
        store: kept features.

    Raises:
        ValueError: if a line of the file is none that was written here, or features have none.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._path = store.folder / LEDGER
        self.entries: list[dict[str, Any]] = []
        if self._path.is_file():
            *whole, torn = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
            if not torn.startswith(_BEGIN[: len(torn)]):  # a torn last line was never a result
                _entry(torn, f"the last line of {self._path}")
            for number, line in enumerate(whole, start=1):
                entry = _entry(line, f"line {number} of {self._path}")
                if not self.knows(entry["function"]):
                    self.entries.append(entry)
        if not self.entries and any(store.folder.glob("*/*/*.safetensors")):
            raise _unknown("no line", str(self._path))

    def knows(self, function: str) -> bool:
        """Whether a label function is noted."""
        return any(entry["function"] == function for entry in self.entries)

    def chosen(self, function: str, given: FunctionsChosen | None) -> FunctionsChosen:
        """How a label function counts as chosen.

        Args:
            function: digest, see `label_functions`.
            given: what the user declares; None to take what is noted, else "before" on noise without results, "after"
                on noise that has some.

        Raises:
            ValueError: if it was noted as chosen after looking and is declared otherwise.
        """
        noted = next((entry["chosen"] for entry in self.entries if entry["function"] == function), None)
        if noted == "after" and given == "before":
            raise ValueError(
                "expected prompts, profile radii, procedure and alpha fixed before results were seen, got some that "
                "were scored on these features as chosen after looking; use features of another seed"
            )
        if given is not None:
            return given
        found: FunctionsChosen = noted or ("after" if self.entries else "before")
        return found

    def note(self, function: str, chosen: FunctionsChosen, label_functions: int, spends: str = LEVELS) -> None:
        """Note a label function before its first result; once."""
        if not self.knows(function):
            entry = {"function": function, "chosen": chosen, "label_functions": label_functions, "spends": spends}
            self.entries.append(entry)
            if self._path.exists():
                cut_torn_line(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    @property
    def overspent(self) -> int:
        """How many label functions fixed in advance spend more than one alpha together; each may still hold alone.

        Returns:
            Their number, 0 where no alpha is overspent.
        """
        most = 0
        for spends in _accounts():
            sharing = [e for e in self.entries if e["chosen"] == "before" and e.get("spends", LEVELS) == spends]
            if sum((Fraction(1, entry["label_functions"]) for entry in sharing), Fraction(0)) > 1:
                most = max(most, len(sharing))
        return most


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = line
    if (
        isinstance(entry, dict)
        and isinstance(entry.get("function"), str)
        and entry.get("chosen") in ("before", "after")
        and type(entry.get("label_functions")) is int
        and entry["label_functions"] >= 1
        and entry.get("spends", LEVELS) in _accounts()
    ):
        return entry
    raise _unknown(repr(str(entry)[:80]), where)


def _unknown(found: str, where: str) -> ValueError:
    return ValueError(
        f"expected a label function that was scored in {where}, got {found}: put back the file; without it "
        "nobody knows what was chosen before results on this noise were seen, so use features of another seed"
    )
