from .classes import chosen_classes, chosen_templates
from .collection import ImageCollection
from .kinds import SourceKind, kind_of
from .opening import open_images

__all__ = [
    "ImageCollection",
    "SourceKind",
    "chosen_classes",
    "chosen_templates",
    "kind_of",
    "open_images",
]
