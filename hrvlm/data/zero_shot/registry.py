"""The zero-shot sets: torchvision's class, its arguments, the files it needs, class names and templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from hrvlm.data.listing import PictureFolder
from hrvlm.data.zero_shot import class_names as names
from hrvlm.data.zero_shot import templates

_PCAM = "pcam/camelyonpatch_level_2_split_test_{}.h5"


def _imagenet(root: str) -> PictureFolder:
    """ImageNet's validation images. torchvision's `ImageNet` would unpack archives and needs a file that it makes."""
    return PictureFolder(Path(root) / "imagenet" / "val")


def _eurosat(root: str) -> PictureFolder:
    """As torchvision's `EuroSAT`, without what is hidden."""
    return PictureFolder(Path(root) / "eurosat" / "2750")


def _made_by(name: str, module: str = "torchvision.datasets") -> Callable[..., Any]:
    """A class, imported when one of its kind is made: the names of the sets alone do not wait for torchvision."""
    return lambda *arguments, **keywords: getattr(import_module(module), name)(*arguments, **keywords)


@dataclass(frozen=True)
class ZeroShotSet:
    """One data set; its test split, or all of it where it has none.

    Attributes:
        title: What people call it.
        make: Called with the root and `arguments`; gives a map-style data set of (PIL image, label).
        files: What has to lie under the root.
        class_names: Names from the made data set.
        templates: Prompts, "{}" stands for the class name; called so that nothing is imported before it is needed.
        arguments: Of `make`: mostly the split.
        package: What is needed beyond hrvlm's own dependencies, as (module, extra).
    """

    title: str
    make: Callable[..., Any]
    files: tuple[str, ...]
    class_names: Callable[[Any], list[str]]
    templates: Callable[[], tuple[str, ...]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    package: tuple[str, str] | None = None


def _fixed(texts: tuple[str, ...]) -> Callable[[], tuple[str, ...]]:
    return lambda: texts


_TEST = {"split": "test"}
_CIFAR10 = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
_STL10 = ("train_X.bin", "train_y.bin", "unlabeled_X.bin", "test_X.bin", "test_y.bin", "class_names.txt")
_CARS = ("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat", "cars_test")
_AIRCRAFT = ("variants.txt", "images_variant_test.txt", "images")


def _in(folder: str, files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder}/{file}" for file in files)


SETS: dict[str, ZeroShotSet] = {
    "caltech101": ZeroShotSet(
        "Caltech101", _made_by("Caltech101"), ("caltech101/101_ObjectCategories/BACKGROUND_Google",),
        names.caltech101, _fixed(templates.CALTECH),
    ),
    "caltech256": ZeroShotSet(
        "Caltech256", _made_by("Caltech256"), ("caltech256/256_ObjectCategories",),
        names.caltech256, _fixed(templates.CALTECH),
    ),
    "cifar10": ZeroShotSet(
        "CIFAR-10", _made_by("CIFAR10"), _in("cifar-10-batches-py", _CIFAR10),
        names.spoken, _fixed(templates.CIFAR), {"train": False},
    ),
    "cifar100": ZeroShotSet(
        "CIFAR-100", _made_by("CIFAR100"), _in("cifar-100-python", ("train", "test", "meta")),
        names.spoken, _fixed(templates.CIFAR), {"train": False},
    ),
    "dtd": ZeroShotSet(
        "DTD", _made_by("DTD"), _in("dtd/dtd", ("images", "labels/test1.txt")),
        names.spoken, _fixed(templates.TEXTURES), _TEST,
    ),
    "eurosat": ZeroShotSet("EuroSAT", _eurosat, ("eurosat/2750",), names.eurosat, _fixed(templates.SATELLITE)),
    "fgvc_aircraft": ZeroShotSet(
        "FGVC-Aircraft", _made_by("FGVCAircraft"), _in("fgvc-aircraft-2013b/data", _AIRCRAFT),
        names.own, _fixed(templates.AIRCRAFT), _TEST,
    ),
    "flowers102": ZeroShotSet(
        "Flowers102", _made_by("Flowers102"), _in("flowers-102", ("jpg", "imagelabels.mat", "setid.mat")),
        names.flowers, _fixed(templates.FLOWERS), _TEST,
    ),
    "food101": ZeroShotSet(
        "Food101", _made_by("Food101"), _in("food-101", ("images", "meta/test.json")),
        names.spoken, _fixed(templates.FOOD), _TEST,
    ),
    "imagenet": ZeroShotSet("ImageNet", _imagenet, ("imagenet/val",), names.imagenet, templates.imagenet),
    "oxford_pets": ZeroShotSet(
        "Oxford-IIIT Pets", _made_by("Pets", "hrvlm.data.zero_shot.pets"),
        _in("oxford-iiit-pet", ("images", "annotations/test.txt")),
        names.own, _fixed(templates.PETS), _TEST,
    ),
    "pcam": ZeroShotSet(
        "PCAM", _made_by("PCAM"), (_PCAM.format("x"), _PCAM.format("y")),
        names.pcam, _fixed(templates.TISSUE), _TEST, ("h5py", "pcam"),
    ),
    "stanford_cars": ZeroShotSet(
        "Stanford Cars", _made_by("StanfordCars"), _in("stanford_cars", _CARS),
        names.own, _fixed(templates.CARS), _TEST,
    ),
    "stl10": ZeroShotSet(
        "STL10", _made_by("STL10"), _in("stl10_binary", _STL10), names.spoken, _fixed(templates.PLAIN), _TEST
    ),
    "sun397": ZeroShotSet(
        "SUN397", _made_by("SUN397"), ("SUN397/ClassName.txt",), names.spoken, _fixed(templates.PLAIN)
    ),
}  # fmt: skip
