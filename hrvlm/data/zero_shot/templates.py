"""Prompt templates of the zero-shot sets, as published: Radford et al. 2021 (arXiv 2103.00020, section 3.1.4).

"{}" stands for the class name. Caltech256 is not among the paper's sets and takes Caltech101's.
"""

from __future__ import annotations

_ARTICLES = ("a", "the")
_PHOTOS = (
    "a photo of {} {{}}.",
    "a blurry photo of {} {{}}.",
    "a black and white photo of {} {{}}.",
    "a low contrast photo of {} {{}}.",
    "a high contrast photo of {} {{}}.",
    "a bad photo of {} {{}}.",
    "a good photo of {} {{}}.",
    "a photo of {} small {{}}.",
    "a photo of {} big {{}}.",
)
_DEPICTIONS = (
    "a photo of {} {{}}.",
    "a painting of {} {{}}.",
    "{} plastic {{}}.",
    "a sculpture of {} {{}}.",
    "a sketch of {} {{}}.",
    "a tattoo of {} {{}}.",
    "{} toy {{}}.",
    "a rendition of {} {{}}.",
    "{} embroidered {{}}.",
    "{} cartoon {{}}.",
    "{} {{}} in a video game.",
    "{} plushie {{}}.",
    "{} origami {{}}.",
    "art of {} {{}}.",
    "graffiti of {} {{}}.",
    "a drawing of {} {{}}.",
    "a doodle of {} {{}}.",
)


def _with_articles(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """All patterns with "a", then all with "the"."""
    return tuple(pattern.format(article) for article in _ARTICLES for pattern in patterns)


CIFAR = _with_articles(_PHOTOS)
CALTECH = _with_articles(_DEPICTIONS)
PLAIN = ("a photo of a {}.", "a photo of the {}.")
TEXTURES = _with_articles(
    tuple(f"a photo of {{}} {{{{}}}} {what}." for what in ("texture", "pattern", "thing", "object"))
)
SATELLITE = (
    "a centered satellite photo of {}.",
    "a centered satellite photo of a {}.",
    "a centered satellite photo of the {}.",
)
AIRCRAFT = ("a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft.")
FLOWERS = ("a photo of a {}, a type of flower.",)
FOOD = ("a photo of {}, a type of food.",)
PETS = ("a photo of a {}, a type of pet.",)
TISSUE = ("this is a photo of {}",)
CARS = (
    *PLAIN,
    "a photo of my {}.",
    "i love my {}!",
    "a photo of my dirty {}.",
    "a photo of my clean {}.",
    "a photo of my new {}.",
    "a photo of my old {}.",
)


def imagenet() -> tuple[str, ...]:
    """The 80 templates for ImageNet, as open_clip ships them."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
