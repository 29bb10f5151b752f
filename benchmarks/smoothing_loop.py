"""What the smoothing loop is compared with: a plain loop over images, and the encoder alone.

The loop was written anew from the pseudocode of CERTIFY in "Certified Adversarial Robustness via Randomized Smoothing",
Cohen et al., ICML 2019 (arXiv 1902.02918), in the manner of the code published with it: one image at a time, fixed
numbers of samples, noise by `torch.randn_like` on batches of copies of that one image, each followed by its forward
pass and its count. 1,000 copies are the default there, 400 what its published commands ask for. The model is as
open_clip builds it, behind a layer that normalises; or, to tell the loops from the towers, with the weights laid out as
this project lays them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates import clopper_pearson_lower, smoothing_radius
from hrvlm.models import HierarchicalClassifier, labels_of

BATCH_SIZES = (1000, 400)
Scores = Callable[[Tensor], Tensor]


def as_built(classifier: HierarchicalClassifier) -> Scores:
    """Leaf scores of a copy of the model as open_clip builds it: weights and activations one channel after another."""
    model, head = classifier.model, classifier.head
    visual = copy.deepcopy(model.clip.visual).to(memory_format=torch.contiguous_format)
    points = classifier.text_points(classifier.keys[0])
    return lambda images: head.logits(head.lift_image(visual((images - model.mean) / model.std)), points)


def counts_under_noise(
    scores: Scores, image: Tensor, num: int, sigma: float, batch: int, num_classes: int
) -> NDArray[np.int64]:
    """How often each class was best for noisy copies of one image `(C, H, W)`."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for _ in range(math.ceil(num / batch)):
        size = min(batch, num)
        num -= size
        copies = image.repeat((size, 1, 1, 1))
        labels = labels_of(scores(copies + torch.randn_like(copies) * sigma)).cpu().numpy()
        counts += np.bincount(labels[labels >= 0], minlength=num_classes)
    return counts


@torch.no_grad()
def certify_one(
    scores: Scores, image: Tensor, *, n0: int, n: int, sigma: float, alpha: float, batch: int, num_classes: int
) -> tuple[int, float]:
    """Class and radius of one image; -1 and 0 where it abstains."""
    best = int(counts_under_noise(scores, image, n0, sigma, batch, num_classes).argmax())
    count = int(counts_under_noise(scores, image, n, sigma, batch, num_classes)[best])
    if float(clopper_pearson_lower(count, n, alpha)) <= 0.5:
        return -1, 0.0
    return best, float(smoothing_radius(count, n, alpha, sigma))


@torch.no_grad()
def encode_all(encode: Scores, batches: Sequence[Tensor]) -> None:
    """The encoder alone on noisy batches that lie in memory."""
    for batch in batches:
        encode(batch)
