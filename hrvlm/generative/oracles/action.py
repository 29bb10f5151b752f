"""Which command an answer gives: the class is the verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hrvlm.generative.captions import ACTIONS
from hrvlm.generative.oracles.base import MAX_CHARACTERS, Oracle, checked_texts
from hrvlm.generative.oracles.phrases import BOUNDARY, Found, PhraseTable, tokens

NO_ACTION = "no action"
# After these words a command may begin, as it may at the start of a clause.
_LEADS = "and then or but please to should must will would can could shall i you we it robot now just"
_NEGATIONS = "not never no cannot without avoid dont don't can't won't shouldn't mustn't wouldn't couldn't isn't"
LEADS = frozenset(_LEADS.split(" "))
NEGATIONS = frozenset(_NEGATIONS.split(" "))


class CommandOracle(Oracle):
    """The command that an answer gives to a robot: one class per verb, "no action", "unparseable".

    Rule. A verb counts where a command can begin: at the start of a clause (start of the answer, after punctuation) or
    after a word of `LEADS`; verbs of several words ("pick up") count anywhere, as no object is called that. So "grasp
    the watch" is "grasp". An answer that gives commands of two classes, none, or one after a negation in its clause
    ("do not follow the fox") is unparseable. Other inflections ("picking up") are read if `synonyms` lists them.
    """

    def __init__(
        self,
        verbs: Sequence[str] | Mapping[str, Any] | None = None,
        *,
        no_action: Sequence[str] = ("wait", "no action", "do nothing"),
        synonyms: Mapping[str, Sequence[str]] | None = None,
        name: str = "command",
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        """Builds the grammar.

        Args:
            verbs: Verbs, one class each; of a mapping its keys. None takes the verbs of the packaged emoji commands.
            no_action: Phrases that command nothing; they share the class "no action" and are left out of `verbs`.
            synonyms: Further phrases of a verb, or of "no action".
            name: See `Oracle`.
            max_characters: See `Oracle`.

        Raises:
            ValueError: Without a verb, for phrases without words or of two classes, or synonyms of unknown verbs.
        """
        idle = checked_texts("no_action", no_action)
        given = ACTIONS if verbs is None else verbs
        named = checked_texts("verbs", given if isinstance(given, str) else list(given))
        active = [verb for verb in named if verb not in idle]
        if not active:
            raise ValueError("expected verbs with at least one verb besides those of no_action, got none")
        super().__init__(name, [*active, NO_ACTION], max_characters)
        self._phrases = {verb: i for i, verb in enumerate(active)} | dict.fromkeys(idle, len(active))
        for verb, others in (synonyms or {}).items():
            if verb not in self.classes[:-1]:
                raise ValueError(f"expected synonyms of {list(self.classes[:-1])}, got some of {verb!r}")
            for phrase in checked_texts(f"synonyms of {verb!r}", others):
                if self._phrases.setdefault(phrase, self.classes.index(verb)) != self.classes.index(verb):
                    raise ValueError(f"expected synonyms of one class each, got {phrase!r} for two")
        self._table = PhraseTable("verbs", self._phrases)

    def describe(self) -> dict[str, Any]:
        """See `Oracle`; adds the phrases with the class of each."""
        return super().describe() | {"phrases": {phrase: self.classes[i] for phrase, i in self._phrases.items()}}

    def _label_texts(self, texts: Sequence[str]) -> list[int | None]:
        return [self._label(tokens(text)) for text in texts]

    def _label(self, sentence: Sequence[str]) -> int | None:
        commands = self._commands(sentence)
        if commands is None or len(set(commands)) != 1:
            return None
        return commands[0]

    def _commands(self, sentence: Sequence[str]) -> list[int] | None:
        """Classes commanded, in order; None if one of them is negated."""
        commands: list[int] = []
        may_begin, negated, position = True, False, 0
        while position < len(sentence):
            word = sentence[position]
            found = self._table.at(sentence, position)
            if found is not None and (may_begin or _unmistakable(found)):
                if negated:
                    return None
                commands.append(found.key)
                may_begin, position = False, found.stop
                continue
            # A negation acts on a command to come, so it is forgotten where the clause ends.
            negated = word != BOUNDARY and (negated or (word in NEGATIONS and (may_begin or not commands)))
            may_begin = word == BOUNDARY or word in LEADS or (may_begin and word in NEGATIONS)
            position += 1
        return commands


def _unmistakable(found: Found) -> bool:
    return found.stop - found.start > 1
