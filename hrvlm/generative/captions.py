"""What is true of a packaged emoji, said in whole sentences: descriptions, and commands to a robot.

Two prompts have one grammar each:

- "describe": `a [small|large] NAME on a COLOUR background`, for example "a red apple on a white background"; of an
  empty picture "nothing on a white background".
- "act": `VERB the NAME`, for example "pick up the red apple", with a verb for each Unicode group; "wait" of what no
  verb is for, and of an empty picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from hrvlm.data.emoji_pack.captions import BACKGROUNDS, SIZES, with_article
from hrvlm.data.emoji_pack.pack import EmojiClass, all_classes

PROMPTS = ("describe", "act")
NO_ACTION = "wait"
NOTHING = "nothing"
# Which Unicode groups a verb is for; the last one takes no object.
ACTIONS: dict[str, tuple[str, ...]] = {
    "pick up": ("food-drink",),
    "follow": ("animals-nature",),
    "greet": ("people-body",),
    "go to": ("travel-places",),
    "grasp": ("objects",),
    "watch": ("activities",),
    NO_ACTION: ("smileys-emotion", "component", "symbols", "flags"),
}
_HEAD_ENDS = re.compile(r" (?:with|without|of|in|on|at|over|behind|showing) ")
_SINGULAR_ENDINGS = ("ss", "us", "is", "os")


def check_prompt(prompt: str) -> str:
    """The prompt, if there is a grammar for it.

    Raises:
        ValueError: If it is neither "describe" nor "act".
    """
    if prompt not in PROMPTS:
        raise ValueError(f"expected prompt as one of {', '.join(PROMPTS)}, got {prompt!r}")
    return prompt


def verb_of(group: str) -> str:
    """The verb for a Unicode group.

    Raises:
        ValueError: If no verb is for the group.
    """
    for verb, groups in ACTIONS.items():
        if group in groups:
            return verb
    known = sorted(group for groups in ACTIONS.values() for group in groups)
    raise ValueError(f"expected group as one of {', '.join(known)}, got {group!r}")


def command(entry: EmojiClass | None) -> str:
    """What the robot shall do about a thing; "wait" about None, an empty picture."""
    verb = NO_ACTION if entry is None else verb_of(entry.group)
    return verb if entry is None or verb == NO_ACTION else f"{verb} the {entry.name}"


def description(entry: EmojiClass | None, background: str = "white", size: str = "") -> str:
    """A thing on a background.

    Args:
        entry: The thing; None for an empty picture.
        background: Name of its colour, of `BACKGROUNDS`.
        size: "", "small" or "large".

    Raises:
        ValueError: If there is no such colour or size.
    """
    if background not in BACKGROUNDS:
        raise ValueError(f"expected background as one of {', '.join(BACKGROUNDS)}, got {background!r}")
    if size not in SIZES:
        raise ValueError(f"expected size as one of {SIZES}, got {size!r}")
    noun = NOTHING if entry is None else _counted(entry.name, size)
    return f"{noun} on {with_article(background)} background"


def _counted(name: str, size: str) -> str:
    """The name with its size, and with an article unless it is a plural: "french fries", "a small bus"."""
    head = _HEAD_ENDS.split(name)[0]
    phrase = f"{size} {name}".strip()
    plural = head.endswith("s") and not head.endswith(_SINGULAR_ENDINGS)
    return phrase if plural else with_article(phrase)


def answer(entry: EmojiClass | None, prompt: str, *, background: str = "white", size: str = "") -> str:
    """The true answer to a prompt.

    Args:
        entry: The thing; None for an empty picture.
        prompt: "describe" or "act".
        background: See `description`.
        size: See `description`.

    Raises:
        ValueError: For an unknown prompt, background or size.
    """
    check_prompt(prompt)
    return command(entry) if prompt == "act" else description(entry, background, size)


@lru_cache(maxsize=1)
def _entries() -> dict[str, EmojiClass]:
    return {entry.name: entry for entry in all_classes()}


def entry_of(class_name: str) -> EmojiClass:
    """A class by its Unicode name.

    Raises:
        ValueError: If the pack has no such class.
    """
    if class_name not in _entries():
        raise ValueError(f"expected the name of a packaged emoji such as 'red apple', got {class_name!r}")
    return _entries()[class_name]


def reference_answers(class_name: str, prompt: str, *, background: str = "white", size: str = "") -> tuple[str, ...]:
    """All true answers to a prompt about a picture of a class, as drawn, on white unless told otherwise.

    Args:
        class_name: Unicode name, as in the `class_names` of the emoji data.
        prompt: "describe" or "act".
        background: Name of the background's colour.
        size: "", "small" or "large".

    Raises:
        ValueError: For an unknown class, prompt, background or size.
    """
    return (answer(entry_of(class_name), prompt, background=background, size=size),)


def sentences(entries: Sequence[EmojiClass]) -> Iterator[str]:
    """Sentences that together hold every word of the grammar for these classes."""
    yield from (answer(None, prompt) for prompt in PROMPTS)
    yield from (description(entry) for entry in entries)
    yield from (command(entry) for entry in entries)
    yield from (description(entries[0], background, size) for background in BACKGROUNDS for size in SIZES)
