"""The zero-shot classification sets that torchvision reads, with class names and prompt templates."""

from hrvlm.data.zero_shot.chosen import ChosenSets
from hrvlm.data.zero_shot.dataset import ZeroShotDataset, load, missing_files
from hrvlm.data.zero_shot.registry import SETS, ZeroShotSet

__all__ = ["SETS", "ChosenSets", "ZeroShotDataset", "ZeroShotSet", "load", "missing_files"]
