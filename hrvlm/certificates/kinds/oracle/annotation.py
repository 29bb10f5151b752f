"""Answers to be labelled by people: drawn like those that are counted, from draw numbers that nothing else uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.kinds.oracle.asking import Answering, AnsweringByImage, answers_at, ready
from hrvlm.certificates.noise.grid import on_grid
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.counts import Procedure
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.certificates.sampling.stream import Execution, Parts, sample_adaptively
from hrvlm.models.pixels import clean_picture

LABELLING_DRAWS = 2**62
"""First draw number of answers to be labelled: far above those of certificates and votes, below the clean image's."""


def noisy_answers(
    generator: Answering | AnsweringByImage,
    data: Any,
    indices: Sequence[int],
    plan: SmoothingPlan,
    *,
    samples: int = 1,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[int, list[str]]]:
    """Answers on noisy copies, under the noise and decoding of certificates but independent of all that these count.

    Noise and the numbers of random decoding are those of the draws `LABELLING_DRAWS`, `LABELLING_DRAWS + 1`, ... of
    each image, so the answers do not depend on batches, and the first ones not on how many there are.

    Args:
        generator: the model.
        data: map-style data set of (image (3, H, W) in [0, 1], label).
        indices: which images, each once.
        plan: noise, seed and precision.
        samples: answers per image, from 1 to 2^32.
        batch_size: noisy copies per call; batches mix images.
        device: where the generator wants its images.

    Yields:
        Each index with the answers on its image, in the order of their draws.

    Raises:
        ValueError: if `samples` lies outside its range.
    """
    if not 1 <= samples <= 2**32:
        raise ValueError(f"expected samples from 1 to 2^32, got {samples}")
    draws = range(LABELLING_DRAWS, LABELLING_DRAWS + samples)
    found: dict[int, dict[int, str]] = defaultdict(dict)
    answering = ready(generator)

    def classify(images: Tensor, parts: Parts) -> Mapping[str, Tensor]:
        addresses = [(sample.index, some) for sample, some in parts]
        each = [(index, draw) for index, some in addresses for draw in some]
        for (index, draw), answer in zip(each, answers_at(answering, images, addresses, plan.seed), strict=True):
            found[index][draw] = answer
        return {"answer": torch.zeros(len(images), dtype=torch.long)}

    def procedure(sample: Sample) -> Procedure[int]:
        yield [(0, draws)]
        return sample.index

    given: dict[str, Any] = {"num_groups": 1, "drawing": plan.drawing, "batch_size": batch_size, "with_draws": True}
    given["execution"] = Execution(device=device, precision=plan.precision)
    images = (_sample(data, index, plan) for index in indices)
    for index in sample_adaptively(classify, images, {"answer": 1}, procedure, **given):
        answers = found.pop(index)
        yield index, [answers[draw] for draw in draws]


def _sample(data: Any, index: int, plan: SmoothingPlan) -> Sample:
    image = clean_picture(data, index)[0]
    return Sample(index=index, image=on_grid(image) if plan.noise == "grid" else image, labels={"answer": -1})
