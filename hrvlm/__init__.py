"""hrvlm: adversarially robust vision-language models at every level of class trees, with certificates."""

from hrvlm import data, geometry, models, trees
from hrvlm.models import load_model
from hrvlm.trees import load_forest, load_tree

__version__ = "0.1.0"

__all__ = ["data", "geometry", "load_forest", "load_model", "load_tree", "models", "trees"]
