"""A small convolutional denoiser: it predicts the noise and takes it off.

Sources: Zhang et al., "Beyond a Gaussian Denoiser", 2017 (arXiv 1608.03981), for the residual; Zhang et al., "FFDNet",
2018 (arXiv 1710.04026), for working on an image folded to half its sides.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FOLD = 2
LARGEST = 4096  # of width and depth: thousands of times what a denoiser needs


class ConvolutionalDenoiser(nn.Module):
    """Images with noise to images without, of any size; untrained it leaves images as they are."""

    def __init__(self, *, width: int = 32, blocks: int = 4) -> None:
        """Builds the layers.

        Args:
            width: Channels >= 1 inside.
            blocks: Residual blocks >= 0 of two convolutions.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__()
        for name, value, least in (("width", width, 1), ("blocks", blocks, 0)):
            if type(value) is not int or not least <= value <= LARGEST:
                raise ValueError(f"expected {name} of the denoiser in [{least}, {LARGEST}], got {value!r}")
        self.settings = {"width": width, "blocks": blocks}
        folded = 3 * FOLD**2
        self.first = nn.Conv2d(folded, width, 3, padding=1)
        self.blocks = nn.ModuleList(_block(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, folded, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(N, 3, H, W)` without the noise; values may leave [0, 1] a little, as nothing is clipped."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % FOLD, 0, -height % FOLD), mode="replicate")
        hidden = self.first(F.pixel_unshuffle(padded, FOLD))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        noise = F.pixel_shuffle(self.last(F.gelu(hidden)), FOLD)
        return images - noise[..., :height, :width].to(torch.promote_types(images.dtype, torch.float32))


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
    )
