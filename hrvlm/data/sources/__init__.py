"""Pictures from anywhere behind one interface, and the classes that they are sorted into."""

from hrvlm.data.manifest import Columns
from hrvlm.data.sources.classes import chosen_classes, chosen_templates
from hrvlm.data.sources.collection import ImageCollection
from hrvlm.data.sources.kinds import SourceKind, kind_of
from hrvlm.data.sources.opening import open_images

__all__ = [
    "Columns",
    "ImageCollection",
    "SourceKind",
    "chosen_classes",
    "chosen_templates",
    "kind_of",
    "open_images",
]
