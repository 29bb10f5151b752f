"""Which label functions have been scored on kept noise, and how they were chosen; see `rescoring`."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any, Literal

from hrvlm.certificates.feature_store import FeatureStore
from hrvlm.certificates.record_base import FunctionsChosen

LEDGER = "functions.jsonl"
Spending = Literal["levels", "profile", "joint"]
"""Whose alpha a label function spends: that of levels, of profiles, or of joint certificates."""
SPENDINGS: tuple[Spending, ...] = ("levels", "profile", "joint")


class Ledger:
    """The label functions that have been scored on a store, in order, and how they were chosen.

    Args:
        store: kept features.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._path = store.folder / LEDGER
        self.entries: list[dict[str, Any]] = []
        if self._path.is_file():
            whole = self._path.read_text(encoding="utf-8").rpartition("\n")[0]  # a torn last line was never a result
            for line in whole.splitlines():
                entry = json.loads(line)
                if not self.knows(entry["function"]):
                    self.entries.append(entry)

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

    def note(self, function: str, chosen: FunctionsChosen, label_functions: int, spends: Spending = "levels") -> None:
        """Note a label function before its first result; once."""
        if not self.knows(function):
            entry = {"function": function, "chosen": chosen, "label_functions": label_functions, "spends": spends}
            self.entries.append(entry)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    @property
    def overspent(self) -> int:
        """How many label functions fixed in advance spend more than one alpha together; each may still hold alone.

        Returns:
            Their number, 0 where no alpha is overspent.
        """
        most = 0
        for spends in SPENDINGS:
            sharing = [e for e in self.entries if e["chosen"] == "before" and e.get("spends", "levels") == spends]
            if sum((Fraction(1, entry["label_functions"]) for entry in sharing), Fraction(0)) > 1:
                most = max(most, len(sharing))
        return most
