"""Which zero-shot sets are evaluated, and how many pictures of what size, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hrvlm.data.zero_shot.dataset import ZeroShotDataset, load, missing_files
from hrvlm.data.zero_shot.registry import SETS


@dataclass(frozen=True, kw_only=True)
class ChosenSets:
    """Zero-shot sets of one folder.

    Attributes:
        root: Folder that holds the sets; see `hrvlm.data.zero_shot.load`.
        sets: Their names, for example [cifar10, dtd]; [all] takes all of them.
        num_images: Size >= 1 of the fixed subset of each set, spread evenly; None takes all.
        image_size: Side of the pictures, in pixels: the pixels in which budgets are stated.

    Raises:
        ValueError: If a set is unknown or named twice, or the subset is empty.
    """

    root: str
    sets: Sequence[str]
    num_images: int | None = 1000
    image_size: int = 224

    def __post_init__(self) -> None:
        names = self.names
        if any(name not in SETS for name in names) or not names or len(set(names)) < len(names):
            known = ", ".join(SETS)
            raise ValueError(f"expected sets as different names of {known}, or [all], got {list(self.sets)}")
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"expected num_images >= 1, got {self.num_images}")

    @property
    def names(self) -> list[str]:
        """Names of all sets."""
        return list(SETS) if list(self.sets) == ["all"] else list(self.sets)

    def load(self) -> list[ZeroShotDataset]:
        """Opens every set.

        Raises:
            ValueError: If sets are missing or not readable; the message names all that are missing.
        """
        missing = {name: files for name in self.names if (files := missing_files(name, self.root))}
        if missing:
            listed = "; ".join(f"{name} needs {', '.join(files)}" for name, files in missing.items())
            raise ValueError(
                f"expected the zero-shot sets {', '.join(missing)} under {self.root}, not found: {listed}; "
                "nothing is downloaded: put them there or leave them out of sets"
            )
        return [load(name, self.root, image_size=self.image_size) for name in self.names]
