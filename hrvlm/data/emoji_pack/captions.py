"""Random looks of a picture, and captions that say some of what is true of it.

Captions are structured, so that it is known which captions of a batch are true of which images: a caption that is true
of an image is never used as its negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrvlm.data.appearance import Appearance

BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.05, 0.05, 0.05),
    "grey": (0.5, 0.5, 0.5),
    "red": (0.85, 0.12, 0.12),
    "orange": (1.0, 0.55, 0.1),
    "yellow": (1.0, 0.92, 0.25),
    "green": (0.15, 0.65, 0.25),
    "blue": (0.15, 0.35, 0.85),
    "purple": (0.5, 0.2, 0.7),
    "pink": (1.0, 0.65, 0.8),
    "brown": (0.45, 0.28, 0.15),
}
SIZES = ("", "small", "large")
LIGHTS = ("", "dark", "bright")
COLOURINGS = ("", "black and white", "oddly coloured")
TILTS = ("", "tilted")
ADJECTIVES = (SIZES, LIGHTS, COLOURINGS, TILTS)
KINDS = ("picture", "picture", "picture", "photo", "drawing", "emoji")
PROMPT_START = "a picture of "
UNSTATED = -1


@dataclass(frozen=True)
class Look:
    """A rendering with the attribute values that words can name.

    Attributes:
        appearance: Exact parameters.
        values: Positions in BACKGROUNDS, SIZES, LIGHTS, COLOURINGS and TILTS.
    """

    appearance: Appearance
    values: tuple[int, int, int, int, int]


def _uniform(generator: np.random.Generator, ranges: tuple[tuple[float, float], ...], value: int) -> float:
    low, high = ranges[value]
    return float(generator.uniform(low, high))


def random_look(generator: np.random.Generator) -> Look:
    """A random rendering; small changes that no word names are always present."""
    background = int(generator.integers(len(BACKGROUNDS)))
    size = int(generator.choice(3, p=(0.8, 0.11, 0.09)))
    light = int(generator.choice(3, p=(0.88, 0.06, 0.06)))
    colouring = int(generator.choice(3, p=(0.89, 0.06, 0.05)))
    tilt = int(generator.choice(2, p=(0.91, 0.09)))
    colour = np.array(list(BACKGROUNDS.values())[background]) + generator.uniform(-0.08, 0.08, 3)
    side = float(generator.choice((-1.0, 1.0)))
    appearance = Appearance(
        size=_uniform(generator, ((0.78, 1.05), (0.45, 0.62), (1.2, 1.45)), size),
        rotation=side * _uniform(generator, ((0.0, 10.0), (20.0, 45.0)), tilt),
        background=tuple(float(channel) for channel in colour.clip(0, 1)),  # type: ignore[arg-type]
        hue=_uniform(generator, ((-10.0, 10.0), (0.0, 0.0), (90.0, 270.0)), colouring),
        greyscale=1.0 if colouring == 1 else _uniform(generator, ((0.0, 0.25),), 0),
        brightness=_uniform(generator, ((0.88, 1.12), (0.35, 0.6), (1.3, 1.6)), light),
        shift_x=float(generator.uniform(-0.09, 0.09)),
        shift_y=float(generator.uniform(-0.09, 0.09)),
    )
    return Look(appearance, (background, size, light, colouring, tilt))


def stated_values(look: Look, generator: np.random.Generator) -> tuple[int, ...]:
    """What a caption says of a look: each attribute that has a word is stated with even chance; UNSTATED else."""
    named = (True, *(value > 0 for value in look.values[1:]))
    stated = generator.random(len(look.values)) < 0.5
    return tuple(
        value if has_word and said else UNSTATED
        for value, has_word, said in zip(look.values, named, stated, strict=True)
    )


def altered_values(look: Look, stated: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    """The stated values with one made wrong: usually the background's colour, else another word for the same attribute.

    Only words that have a contrary can be exchanged; without one the background's colour is stated wrongly.
    """
    counts = (len(BACKGROUNDS), *map(len, ADJECTIVES))
    exchangeable = [i for i, value in enumerate(stated) if i and value > 0 and counts[i] > 2]
    position = 0 if not exchangeable or generator.random() < 0.6 else int(generator.choice(exchangeable))
    lowest = min(position, 1)  # an adjective's value 0 has no word
    others = [value for value in range(lowest, counts[position]) if value != look.values[position]]
    altered = int(generator.choice(others))
    return tuple(altered if i == position else value for i, value in enumerate(stated))


def with_article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return f"{'an' if phrase[:1].lower() in 'aeiou' else 'a'} {phrase}"


def noun_phrase(name: str, prompt: str, generator: np.random.Generator) -> str:
    """The thing as a caption names it: usually as in its prompt, "a picture of a mammal", else by name and article."""
    plain = prompt.removeprefix(PROMPT_START)
    return str(generator.choice((plain, with_article(name), f"the {name}", name), p=(0.6, 0.3, 0.05, 0.05)))


def caption(noun: str, values: tuple[int, ...], generator: np.random.Generator | None = None) -> str:
    """A caption in words, for example "a small picture of a red apple on a blue background".

    Args:
        noun: Class or superclass with its article.
        values: Stated attribute values (see `stated_values`).
        generator: Varies the word "picture"; None keeps it.
    """
    background, *adjectives = values
    kind = "picture" if generator is None else str(generator.choice(KINDS))
    words = [table[value] for table, value in zip(ADJECTIVES, adjectives, strict=True) if value > 0]
    text = f"{with_article(' '.join([*words, kind]))} of {noun}"
    if background == UNSTATED:
        return text
    return f"{text} on {with_article(list(BACKGROUNDS)[background])} background"
