"""The changes of benchmarks/semantic.py: what the pictures show, and the words of the attribute library for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from hrvlm.certificates import AttributeFamily, load_attributes
from hrvlm.data import Appearance
from hrvlm.data.emoji_pack.captions import BACKGROUNDS


@lru_cache(maxsize=1)
def library() -> dict[str, AttributeFamily]:
    """The packaged attribute library."""
    return load_attributes()


@dataclass(frozen=True)
class Change:
    """A change shown in exact steps.

    Attributes:
        family_name: Family of the attribute library.
        word: Word of that family.
        stop: How the last picture of a sequence is shown.
        start: How the first one is shown.
    """

    family_name: str
    word: str
    stop: Appearance
    start: Appearance = field(default_factory=Appearance)

    @property
    def family(self) -> AttributeFamily:
        """The family with its wordings."""
        return library()[self.family_name]

    @property
    def name(self) -> str:
        """What the change is called in results."""
        return f"{self.family_name}: {self.word}"


CHANGES = (
    *(
        Change("background", word, Appearance(background=BACKGROUNDS[word]))
        for word in ("black", "grey", "red", "green", "blue", "yellow")
    ),
    Change("size", "small", Appearance(size=0.5)),
    Change("size", "large", Appearance(size=1.4)),
    Change("illumination", "dark", Appearance(brightness=0.45)),
    Change("illumination", "bright", Appearance(brightness=1.5)),
    Change("style", "black and white", Appearance(greyscale=1.0)),
    Change("style", "oddly coloured", Appearance(hue=180.0)),
    Change("viewpoint", "tilted", Appearance(rotation=35.0)),
)
