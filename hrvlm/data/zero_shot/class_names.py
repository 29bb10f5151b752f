"""Class names in words, from what each set's files call its classes.

The tables hold only what a rule cannot give; they follow the names of Radford et al. 2021 (arXiv 2103.00020).
"""

from __future__ import annotations

import re
from typing import Any

from hrvlm.data.names import imagenet_names

PCAM = ["lymph node", "lymph node containing metastatic tumor tissue"]
EUROSAT = {
    "AnnualCrop": "annual crop land",
    "Forest": "forest",
    "HerbaceousVegetation": "brushland or shrubland",
    "Highway": "highway or road",
    "Industrial": "industrial buildings or commercial buildings",
    "Pasture": "pasture land",
    "PermanentCrop": "permanent crop land",
    "Residential": "residential buildings or homes or apartments",
    "River": "river",
    "SeaLake": "lake or sea",
}
CALTECH101 = {
    "Faces": "off-center face",
    "Faces_easy": "centered face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "car_side": "side of a car",
    "cougar_body": "body of a cougar cat",
    "cougar_face": "face of a cougar cat",
    "crocodile_head": "head of a crocodile",
    "flamingo_head": "head of a flamingo",
    "snoopy": "snoopy (cartoon beagle)",
    "yin_yang": "yin and yang symbol",
}
FLOWERS = {"globe-flower": "globe flower", "pink-yellow dahlia?": "pink and yellow dahlia", "ball moss": "air plant"}


def plain(name: str) -> str:
    """A class name as words: "aquarium_fish" becomes "aquarium fish", "apse/indoor" "apse indoor"."""
    return " ".join(re.split(r"[_/\s]+", name)).strip()


def own(data: Any) -> list[str]:
    """Names as the files have them, where "/" and "_" may belong to them ("F/A-18")."""
    return list(data.classes)


def spoken(data: Any) -> list[str]:
    """Names from the files, as words."""
    return [plain(name) for name in data.classes]


def caltech101(data: Any) -> list[str]:
    """Folder names as words, or from the table."""
    return [CALTECH101.get(name, plain(name).lower()) for name in data.categories]


def caltech256(data: Any) -> list[str]:
    """Folder names such as "251.airplanes-101" without number and origin."""
    return [re.sub(r"^\d+\.|-101$", "", name).replace("-", " ") for name in data.categories]


def flowers(data: Any) -> list[str]:
    """Torchvision's list, but for a few entries."""
    return [FLOWERS.get(name, name) for name in type(data).classes]


def eurosat(data: Any) -> list[str]:
    """Land uses in words; an unknown folder by its name."""
    return [EUROSAT.get(name, plain(name)) for name in data.classes]


def pcam(data: Any) -> list[str]:
    """With and without tumour tissue."""
    return list(PCAM)


def imagenet(data: Any) -> list[str]:
    """Names by synset id, so that a folder with fewer classes has the right ones; an unknown id stands for itself."""
    names = imagenet_names()
    return [names.get(synset, synset) for synset in data.classes]
