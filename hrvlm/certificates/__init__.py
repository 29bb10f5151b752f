"""Certificates: pure functions on tensors and arrays, and the records they are kept in."""

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
)
from hrvlm.certificates.intervals import Reason, SemanticPartition
from hrvlm.certificates.misalignment import stable_coverage, stable_intervals
from hrvlm.certificates.noise import fill_gaussian, gaussian
from hrvlm.certificates.rotation import ImageExtent, image_extent
from hrvlm.certificates.semantic import InvariantExtent, invariant_extent, semantic_partition, semantic_partitions

__all__ = [
    "AffineScorer",
    "ImageExtent",
    "InvariantExtent",
    "Reason",
    "SemanticPartition",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "fill_gaussian",
    "gaussian",
    "image_extent",
    "invariant_extent",
    "minimal_samples",
    "radius_ceiling",
    "semantic_partition",
    "semantic_partitions",
    "smoothing_radius",
    "stable_coverage",
    "stable_intervals",
]
