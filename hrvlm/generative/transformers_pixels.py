"""From pixels to a transformers model's own input, through its own image processor, as floating-point tensors.

Noise must arrive as it was drawn. Torchvision-based image processors compute on the tensors they are given, without
clipping or rounding; PIL-based ones go through 8 bits. Which kind a processor is, is not asked but tried out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

STEP = 2.0**-12  # a sixteenth of a step of 8 bits
TOLERANCE = 0.05
MEND = "use a model with a torchvision-based (fast) image processor"


class PixelPath:
    """The way of pictures through an image processor."""

    def __init__(self, image_processor: Any) -> None:
        """Takes the processor with its own settings.

        Processors expect numbers of 0 to 255 and rescale them: they are given the pixels times 255, as real numbers,
        so that padding colours and rescaling factors mean what they meant in training.
        """
        self.processor = image_processor
        self.scale = 255.0 if getattr(image_processor, "do_rescale", False) else 1.0

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Model inputs for images (N, 3, H, W) in pixel units, not clipped; float32, on the images' device."""
        nested = [[image] for image in images * self.scale]
        return dict(self.processor(nested, return_tensors="pt", input_data_format="channels_first"))

    def check(self, size: tuple[int, int] = (32, 32)) -> None:
        """Makes sure that noise survives.

        The input must be as steep over a small step as over a range beyond [0, 1]: rounding spoils the first, clipping
        the second.

        Raises:
            ValueError: If the processor clips or rounds, or gives no tensors.
        """
        try:
            levels = [self._level(value, size) for value in (-0.5, 0.5, 0.5 + STEP, 1.5)]
        except Exception as error:  # processors refuse in many ways what they were not made for
            problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(
                f"expected an image processor that takes floating-point tensors, got {self._name} ({problem}); {MEND}"
            ) from error
        wide, narrow = (levels[3] - levels[0]) / 2, (levels[2] - levels[1]) / STEP
        largest = float(wide.abs().max())
        if largest == 0 or float((wide - narrow).abs().max()) > TOLERANCE * largest:
            raise ValueError(
                f"expected an image processor that neither clips nor rounds pictures, got {self._name}, which does, so "
                f"noise would be changed on its way; {MEND}"
            )

    @property
    def _name(self) -> str:
        return type(self.processor).__name__

    def _level(self, value: float, size: tuple[int, int]) -> Tensor:
        """What a picture of one grey becomes."""
        return self(torch.full((1, 3, *size), value))["pixel_values"].double()
