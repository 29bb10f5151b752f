"""How well prompts stand for pictures of a change: agreement of orders, stability of wording, alignment of paths.

A certificate is exact about embeddings; whether the rotation that prompts specify is the change that pictures show is
an empirical matter, measured here as in "Semantic Robustness Certification for Vision-Language Models", Yang et al.,
ICML 2026 (arXiv 2606.18839).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.rotation import Rotation, shorter_way
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation, target_angles
from hrvlm.certificates.kinds.semantic.reference_arc import ReferenceArc
from hrvlm.geometry import sphere


def rank_agreement(first: Tensor, second: Tensor) -> Tensor:
    """Spearman correlation `(...)` of values `(..., M)`, ties sharing ranks; not a number where one order is no order.

    That is where all values are equal, M < 2, or a value is not finite: there no agreement can be stated.
    """
    ordered = torch.ones(first.shape[:-1], dtype=torch.bool)
    for values in (first, second):
        ordered &= (values != values[..., :1]).any(dim=-1) & values.isfinite().all(dim=-1)
    found = torch.full(ordered.shape, math.nan, dtype=torch.float64)
    pairs = zip(first[ordered].double().numpy(), second[ordered].double().numpy(), strict=True)
    found[ordered] = torch.tensor([spearmanr(*pair).statistic for pair in pairs], dtype=torch.float64)
    return found


def proxy_agreement(
    source_prompts: Tensor, target_prompts: Tensor, source_images: Tensor, target_images: Tensor
) -> Tensor:
    """Whether the words of a family are as far from the source, in order, as the pictures that show them.

    Args:
        source_prompts: `(N, D)` embeddings of the prompts without the attribute, one per image's class.
        target_prompts: `(N, M, D)` embeddings of the prompts with each of M words.
        source_images: `(N, D)` embeddings of the pictures without it.
        target_images: `(N, M, D)` embeddings of the same pictures showing each of the words.

    Returns:
        Spearman correlations `(N,)` over the M words of the two angles to the source, see `rank_agreement`.
    """
    return rank_agreement(_angles(source_prompts, target_prompts), _angles(source_images, target_images))


def _angles(origin: Tensor, others: Tensor) -> Tensor:
    """Angles `(N, M)`, in [0, pi], from directions `(N, D)` to `(N, M, D)`."""
    first, second = sphere.normalise(origin.double())[:, None], sphere.normalise(others.double())
    return 2 * torch.atan2((first - second).norm(dim=-1), (first + second).norm(dim=-1))


@dataclass(frozen=True, eq=False)
class WordingStability:
    """How a certificate depends on the wording of the prompts.

    Attributes:
        invariance: `(W, N)` invariance under each of W wordings.
        spread: `(N,)` largest less smallest invariance; 0 where wording does not matter.
        alignment: `(W, W)` mean cosine between the transformations of two wordings, at equal shares of their ranges.
    """

    invariance: Tensor
    spread: Tensor
    alignment: Tensor


def wording_stability(
    scorer: AffineScorer, features: Tensor, prompts: Sequence[tuple[Tensor, Tensor]], *, samples: int = 9
) -> WordingStability:
    """Partition the same images under several wordings of one change.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        prompts: source and target embeddings of each wording, as in `semantic_partition`.
        samples: shares of the range at which transformations are compared.

    Raises:
        ValueError: if there is no wording.
    """
    if not prompts:
        raise ValueError("expected at least one wording in prompts, got none")
    scorer.check_points(features)
    rotations = [Rotation.tolerant(features, *pair) for pair in prompts]
    invariance = torch.stack([along_rotation(scorer, rotation).invariance for rotation in rotations])
    paths = torch.stack([_path(rotation, None, samples) for rotation in rotations])
    alignment = torch.einsum("vtnd,wtnd->vw", paths, paths) / max(1, paths[0, :, :, 0].numel())
    return WordingStability(invariance, invariance.amax(dim=0) - invariance.amin(dim=0), alignment)


def _path(rotation: Rotation, extent: Extent, samples: int) -> Tensor:
    """Directions `(samples, N, D)` along a rotation at equal shares of its range, both ends included."""
    stop, _ = target_angles(extent, rotation)
    shares = torch.linspace(0, 1, samples, dtype=torch.float64, device=stop.device)[:, None]
    return sphere.normalise(rotation.point(rotation.angle + shares * shorter_way(rotation.angle, stop)))


def arc_alignment(
    features: Tensor,
    source: Tensor,
    target: Tensor,
    arc: ReferenceArc,
    *,
    target_extent: Extent = None,
    samples: int = 33,
) -> Tensor:
    """Mean cosine `(N,)` between the transformation and the reference arc, at equal shares of their ranges.

    Args:
        features: `(N, D)` embeddings of the pictures at which the arcs start.
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
        arc: what `fit_reference_arc` returns for the same pictures.
        target_extent: as in `semantic_partition`.
        samples: shares compared.
    """
    path = _path(Rotation.tolerant(features, source, target), target_extent, samples)
    reference = _path(arc.rotation, arc.stop, samples)
    return (path * reference).sum(dim=-1).mean(dim=0).clamp(-1, 1)
