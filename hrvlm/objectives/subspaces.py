"""How alike two groups of features are, as subspaces.

A group of m features of unit norm, rows of X `(m, D)`, stands for the projector onto its span, with a ridge λ that lets
directions count by their share of the group's second moment: P = Xᵀ(XXᵀ + λI)⁻¹X has the eigenvectors of XᵀX and its
eigenvalues s²/(s² + λ). λ → 0 gives the span itself, which forgets the share, a large λ the second moment alone. Two
groups are alike by the cosine of their projectors, whose square root is the root mean square cosine of their
principal angles where λ → 0 and both groups have as many dimensions; for two single features it is |cosine|.

Nothing here takes a singular value decomposition: its gradient does not exist where singular values coincide.

Shapes: N and K groups of m and n features, D features, any leading dimensions where said.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ridge_basis(features: Tensor, ridge: float) -> Tensor:
    """Q `(..., m, D)` with QᵀQ = P, of groups of features `(..., m, D)`, in float32 at least.

    Args:
        features: Groups of features, of unit norm.
        ridge: λ > 0.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = features.to(torch.promote_types(features.dtype, torch.float32))
        gram = rows @ rows.mT + ridge * torch.eye(rows.shape[-2], dtype=rows.dtype, device=rows.device)
        return torch.linalg.solve_triangular(torch.linalg.cholesky(gram), rows, upper=False)


def similarities(first: Tensor, second: Tensor) -> Tensor:
    """Root of the cosine of projectors between all groups, `(N, m, D)` and `(K, n, D)` bases to `(N, K)` in [0, 1]."""
    with torch.autocast(first.device.type, enabled=False):
        products = torch.einsum("imd,knd->ikmn", first, second).flatten(2)
        return torch.linalg.vector_norm(products, dim=-1) / (_size(first)[:, None] * _size(second)[None]).sqrt()


def own_similarities(first: Tensor, second: Tensor) -> Tensor:
    """The same pair by pair: `(N, m, D)` and `(N, n, D)` bases to `(N,)`."""
    with torch.autocast(first.device.type, enabled=False):
        products = (first @ second.mT).flatten(1)
        return torch.linalg.vector_norm(products, dim=-1) / (_size(first) * _size(second)).sqrt()


def _size(basis: Tensor) -> Tensor:
    """Frobenius norm of the projector, of bases `(N, m, D)`: `(N,)`."""
    return torch.linalg.vector_norm((basis @ basis.mT).flatten(1), dim=-1)
