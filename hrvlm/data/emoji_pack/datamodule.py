"""The packaged emoji for Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrvlm.data.base import ImageDataModule
from hrvlm.data.emoji_pack.dataset import EmojiDataset, emoji
from hrvlm.data.emoji_pack.splits import SEEN_CLASS_SPLITS
from hrvlm.data.emoji_pack.training import AugmentedEmoji, CaptionedEmoji
from hrvlm.trees import load_forest


class EmojiDataModule(ImageDataModule):
    """Trains on five artists and the seen classes; evaluates on any split."""

    def __init__(
        self,
        *,
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        plain_share: float = 0.25,
        noise_share: float = 0.0,
        noise: float = 0.0,
        restyled_share: float = 0.0,
        caption_trees: Sequence[str] = (),
        superclass_share: float = 0.3,
        validation_split: str = "validation",
    ) -> None:
        """Chooses batches and augmentation.

        Args:
            batch_size: Pictures per process and step.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            seed: Seed of order and looks.
            plain_share: Share of training pictures shown as drawn, on white.
            noise_share: Share of training pictures with Gaussian noise.
            noise: Largest standard deviation of that noise, in pixel units.
            restyled_share: Share of training pictures redrawn in a random style.
            caption_trees: Tree files; if given, training samples carry captions (see `CaptionedEmoji`).
            superclass_share: Share of captions that name a superclass.
            validation_split: Split that `fit` validates on: one with the training classes.

        Raises:
            ValueError: If the validation split is unknown or has other classes.
        """
        if validation_split not in SEEN_CLASS_SPLITS:
            raise ValueError(f"expected validation_split of {SEEN_CLASS_SPLITS}, got {validation_split!r}")
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.augmentation: dict[str, Any] = {
            "seed": seed,
            "plain_share": plain_share,
            "noise_share": noise_share,
            "noise": noise,
            "restyled_share": restyled_share,
        }
        self.caption_trees, self.superclass_share = list(caption_trees), superclass_share
        self.validation_split = validation_split

    @property
    def class_ids(self) -> list[str]:
        """Names of the seen classes; the leaves of the trees."""
        return EmojiDataset("train").class_names

    def build_training(self) -> AugmentedEmoji:
        """Training pictures in random looks, with captions if trees for them were given."""
        if not self.caption_trees:
            return AugmentedEmoji(**self.augmentation)
        forest = load_forest(self.caption_trees)
        return CaptionedEmoji(forest, superclass_share=self.superclass_share, **self.augmentation)

    def evaluation_set(self, split: str | None = None) -> EmojiDataset:
        """Pictures of a split as drawn, on white; the validation split if None."""
        return emoji(split or self.validation_split)
