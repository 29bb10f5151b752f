from .chosen import ChosenSets
from .dataset import ZeroShotDataset, load, missing_files
from .registry import SETS, ZeroShotSet

__all__ = ["SETS", "ChosenSets", "ZeroShotDataset", "ZeroShotSet", "load", "missing_files"]
