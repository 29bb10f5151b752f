"""Random starts that belong to images: the same whatever else is in the batch, on any number of processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class PerImageGenerator(torch.Generator):
    """A generator with a stream of its own for each image of a batch; drawn from itself, it is the whole batch's.

    Attributes:
        streams: One generator per image, in the order of the batch; their states go on from draw to draw.
    """

    streams: list[torch.Generator]

    def __new__(
        cls, seeds: Sequence[int], device: torch.device | str = "cpu", batch_seed: int = 0
    ) -> PerImageGenerator:
        """Seeds the streams.

        Args:
            seeds: One non-negative number below 2**63 per image.
            device: Where numbers are drawn. Streams of different kinds of devices differ.
            batch_seed: Of what is drawn once for the batch, alike on all processes; below 2**63.
        """
        made = super().__new__(cls, device=torch.device(device))  # type: ignore[call-arg]
        made.manual_seed(batch_seed)
        made.streams = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        return made
