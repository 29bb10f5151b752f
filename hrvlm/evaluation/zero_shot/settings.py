"""What `certify.py zero-shot` is told, and the pictures and classes that it names."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hrvlm.attacks import AttackSettings, ThreatModel
from hrvlm.attacks.evaluation import threat_models
from hrvlm.attacks.names import named_attacks
from hrvlm.attacks.threat_model import Norm
from hrvlm.data import ImageCollection, chosen_classes, chosen_templates
from hrvlm.data.sampling import evenly_spread
from hrvlm.evaluation.source_options import SourceOptions, open_source
from hrvlm.evaluation.subject import data_identity
from hrvlm.evaluation.zero_shot.predictions import Effort
from hrvlm.training.launching import StrategyName
from hrvlm.trees.nodes import DEFAULT_TEMPLATE


@dataclass(frozen=True, kw_only=True)
class ZeroShotPlan:
    """Which attacks on which images.

    Attributes:
        attacks: Attacks by name, see `hrvlm.attacks.adapter.attack`; ["clean"] attacks nothing.
        eps: Budgets in pixel units, one or several: 4/255 is 0.01569.
        norm: Norm of the budgets.
        num_images: Size of the fixed subset of each data set, spread evenly; all if null.
        batch_size: Images per pass.
        num_workers: Processes that load pictures ahead; 0 loads them in this one.
        settings: Effort and seed of the attacks.
    """

    attacks: list[str] = field(default_factory=lambda: ["clean"])
    eps: list[float] = field(default_factory=lambda: [1.0 / 255.0])
    norm: Norm = "linf"
    num_images: int | None = None
    batch_size: int = 128
    num_workers: int = 0
    settings: AttackSettings = field(default_factory=AttackSettings)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.num_workers < 0:
            raise ValueError(
                f"expected batch_size >= 1 and num_workers >= 0, got {self.batch_size} and {self.num_workers}"
            )
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"expected num_images >= 1, got {self.num_images}")
        named_attacks(self.attacks)
        threat_models(ThreatModel(self.norm), self.eps)

    @property
    def effort(self) -> Effort:
        """Which attacks are tried, and how."""
        return Effort(
            attacks=named_attacks(self.attacks),
            threat_models=threat_models(ThreatModel(self.norm), self.eps),
            settings=self.settings,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings:
    """What `certify.py zero-shot` needs besides checkpoint and output.

    Attributes:
        data: Sources of labelled pictures, one or several: a folder of class folders, a zero-shot set such as cifar10
            (with root), "emoji:unseen_classes", tar shards, or a manifest; see `hrvlm.data.open_images`.
        split: Split of the emoji, or name of one of the folders in a folder of splits.
        source: How the data are opened, and what they are sorted into.
        plan: Which attacks on which images.
        device: Kind of device, for example "cuda" or "cpu".
        devices: Devices per node, each with a process of its own that takes whole batches.
        num_nodes: Number of nodes, all of which see the output.
        strategy: How the processes of a node start: "ddp" ("auto"), "ddp_spawn" or "ddp_fork".
    """

    data: list[str]
    split: str | None = None
    source: SourceOptions = field(default_factory=SourceOptions)
    plan: ZeroShotPlan = field(default_factory=ZeroShotPlan)
    device: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: StrategyName = "auto"

    def __post_init__(self) -> None:
        if not self.data or len(set(self.data)) < len(self.data):
            raise ValueError(f"expected at least one source of pictures as data, each named once, got {self.data}")


@dataclass(frozen=True)
class ClassifiedData:
    """Pictures, and the classes and prompts that they are sorted by.

    Attributes:
        images: Labels are positions in the class names.
        class_names: The classes in words.
        templates: Prompts with "{}" for the class.
        indices: Which images are evaluated.
    """

    images: ImageCollection
    class_names: Sequence[str]
    templates: Sequence[str]
    indices: Sequence[int]

    def identity(self) -> dict[str, Any]:
        """What rows depend on of it, as JSON values."""
        prompts = json.dumps([list(self.class_names), list(self.templates)]).encode()
        found = data_identity(self.images) | {"num_classes": len(self.class_names)}
        return found | {"prompts": hashlib.sha256(prompts).hexdigest()}


def open_data(settings: ZeroShotSettings, image_size: int) -> list[ClassifiedData]:
    """The pictures that settings name, sorted into their classes.

    Args:
        settings: Which pictures and classes; prompts are those published for a data set where none are stated, and "a
            picture of a {}" where none are published.
        image_size: Side of the pictures where the settings state none.

    Raises:
        ValueError: In one sentence, if a source cannot be read, has pictures without labels or of other classes, or
            classes or templates are not as they have to be.
    """
    found = [_opened(source, settings, image_size) for source in settings.data]
    times = Counter(data.images.name for data in found)
    for source, data in zip(settings.data, found, strict=True):
        if times[data.images.name] > 1:  # two folders called "val", say
            data.images.name = source
    return found


def _opened(source: str, settings: ZeroShotSettings, image_size: int) -> ClassifiedData:
    collection = open_source(source, settings.split, settings.source, image_size=image_size)
    if not collection.labelled:
        raise ValueError(
            f"expected a label for every picture of {collection.name}, where accuracy is asked, got some without: put "
            "them into class folders or a manifest with labels, or certify them with certify.py run, which needs none"
        )
    classes = chosen_classes(settings.source.classes, collection)
    images = collection.sorted_into(classes, leave_out=settings.source.leave_out)
    templates = chosen_templates(settings.source.templates, collection) or images.templates or (DEFAULT_TEMPLATE,)
    names = [classes.names[key] for key in classes.ids]
    return ClassifiedData(images, names, templates, evenly_spread(len(images), settings.plan.num_images))
