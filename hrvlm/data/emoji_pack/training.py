"""Training sets over the packaged emoji: random looks, with or without captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.appearance import Appearance, render
from hrvlm.data.emoji_pack.captions import Look, altered_values, caption, noun_phrase, random_look, stated_values
from hrvlm.data.emoji_pack.dataset import EmojiDataset
from hrvlm.data.restyling import random_style, restyle
from hrvlm.data.sampling import Address, address_generator
from hrvlm.trees import Forest

PLAIN = Look(Appearance(), (0, 0, 0, 0, 0))


class AugmentedEmoji(Dataset[dict[str, Any]]):
    """Pictures in random looks: samples {"image", "label", "index"}.

    An item is asked for by its address, so augmentation is the same for any number of workers and after a resume.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        seed: int = 0,
        plain_share: float = 0.25,
        noise_share: float = 0.0,
        noise: float = 0.0,
        restyled_share: float = 0.0,
    ) -> None:
        """Chooses the amount of augmentation.

        Args:
            split: See `emoji`.
            seed: Seed of the looks.
            plain_share: Share of pictures shown as drawn, on white. In [0, 1].
            noise_share: Share of pictures with Gaussian noise. In [0, 1].
            noise: Largest standard deviation of that noise, in pixel units.
            restyled_share: Share of pictures redrawn in a random style (see `restyling`). In [0, 1].

        Raises:
            ValueError: If a share is not in [0, 1] or the noise is negative.
        """
        _check_share("plain_share", plain_share)
        _check_share("noise_share", noise_share)
        _check_share("restyled_share", restyled_share)
        if not noise >= 0:
            raise ValueError(f"expected noise >= 0, got {noise}")
        self.data = EmojiDataset(split)
        self.class_names = self.data.class_names
        self.seed, self.plain_share, self.noise_share, self.noise = seed, plain_share, noise_share, noise
        self.restyled_share = restyled_share

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, address: Address) -> dict[str, Any]:
        return self.__getitems__([address])[0]

    def __getitems__(self, addresses: Sequence[Address]) -> list[dict[str, Any]]:
        """A whole batch, rendered at once (the data loader calls this)."""
        generators = [address_generator(self.seed, address) for address in addresses]
        looks = [PLAIN if g.random() < self.plain_share else random_look(g) for g in generators]
        tiles = self._restyled(self.data.tiles([address.index for address in addresses]), generators)
        images = render(tiles, [look.appearance for look in looks])
        return [
            self._sample(address, self._noisy(image, generator), look, generator)
            for address, image, look, generator in zip(addresses, images, looks, generators, strict=True)
        ]

    def _restyled(self, tiles: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        if not self.restyled_share:
            return tiles
        chosen = [i for i, generator in enumerate(generators) if generator.random() < self.restyled_share]
        if chosen:
            tiles[chosen] = restyle(tiles[chosen], [random_style(generators[i]) for i in chosen])
        return tiles

    def _noisy(self, image: Tensor, generator: np.random.Generator) -> Tensor:
        if generator.random() >= self.noise_share:
            return image
        sigma = generator.uniform(0, self.noise)
        noise = generator.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
        return (image + torch.from_numpy(noise)).clamp(0, 1)

    def _sample(self, address: Address, image: Tensor, look: Look, generator: np.random.Generator) -> dict[str, Any]:
        return {"image": image, "label": self.data.items[address.index][0], "index": address.index}


class CaptionedEmoji(AugmentedEmoji):
    """Adds to each picture a caption that names its class or a superclass, and some of its attributes.

    Samples further hold "caption" (text), "node" (the named node, numbered through all levels of all trees; see
    `truth_table`), "values" (all attribute values) and "stated" (those that the caption states).
    """

    def __init__(self, forest: Forest, *, superclass_share: float = 0.3, **augmentation: Any) -> None:
        """Restricts the forest to the split's classes.

        Args:
            forest: Trees over (at least) these classes.
            superclass_share: Share of captions that name a superclass, spread evenly over the levels above the leaves.
            **augmentation: See `AugmentedEmoji`.

        Raises:
            ValueError: If superclass_share is not in [0, 1]; see also `AugmentedEmoji`.
        """
        _check_share("superclass_share", superclass_share)
        super().__init__(**augmentation)
        self.superclass_share = superclass_share
        forest = forest.restrict(self.class_names)
        chosen = [(forest.trees[0], 0), *((tree, level.index) for tree in forest for level in tree.levels[1:])]
        self.prompts = [tree.prompts(level) for tree, level in chosen]
        self._names = [tree.levels[level].names for tree, level in chosen]
        self.ancestors: list[list[int]] = [tree.ancestors[level].tolist() for tree, level in chosen]
        self._offsets = np.cumsum([0, *map(len, self.prompts)]).tolist()

    def truth_table(self) -> Tensor:
        """Which classes a node covers: bool (nodes, classes)."""
        table = torch.zeros(self._offsets[-1], len(self.class_names), dtype=torch.bool)
        for offset, ancestors in zip(self._offsets, self.ancestors, strict=False):
            table[torch.tensor(ancestors) + offset, torch.arange(len(ancestors))] = True
        return table

    def _sample(self, address: Address, image: Tensor, look: Look, generator: np.random.Generator) -> dict[str, Any]:
        sample = super()._sample(address, image, look, generator)
        above = len(self.prompts) - 1
        level = int(generator.integers(1, above + 1)) if generator.random() < self.superclass_share and above else 0
        node = self.ancestors[level][sample["label"]]
        stated = stated_values(look, generator)
        noun = noun_phrase(self._names[level][node], self.prompts[level][node], generator)
        altered = altered_values(look, stated, generator)
        sample |= {"node": node + self._offsets[level], "caption": caption(noun, stated, generator)}
        sample |= {"values": torch.tensor(look.values), "stated": torch.tensor(stated)}
        return sample | {"altered": torch.tensor(altered), "altered_caption": caption(noun, altered, generator)}


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"expected {name} in [0, 1], got {share}")
