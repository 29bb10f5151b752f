"""Where a certificate expects the picture that shows a share of a change: on the rotation that it certifies."""

from __future__ import annotations

from torch import Tensor

from hrvlm.certificates.embedding.rotation import Rotation, shorter_way
from hrvlm.certificates.kinds.semantic.certify import target_angles
from hrvlm.geometry import sphere


def path_directions(rotation: Rotation, way: Tensor, shares: Tensor) -> Tensor:
    """Unit embeddings `(..., N, D)` at shares `(..., N)` of the ways `(N,)`, signed radians, past N images."""
    return sphere.normalise(rotation.point(rotation.angle + shares * way))


def text_path(features: Tensor, source: Tensor, target: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Unit embeddings at shares of the way from images to the target prompt's angle, the range of `semantic_partition`.

    Args:
        features: `(N, D)` embeddings of the images.
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
        shares: `(N,)` of the way, in [0, 1].

    Returns:
        `(N, D)`, float64 and without gradient; and `(N,)` where they are defined: the prompts span a plane, the
        rotation moves the image, and all is finite.

    Raises:
        ValueError: if shapes do not fit.
    """
    rotation = Rotation.tolerant(features, source, target)
    stop, _ = target_angles(None, rotation)
    path = path_directions(rotation, shorter_way(rotation.angle, stop), shares.to(rotation.angle))
    return path, rotation.spans & ~rotation.flat & path.isfinite().all(dim=-1)
