"""Certificates: pure functions on tensors and arrays, and the records they are kept in."""

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
)
from hrvlm.certificates.checks import Violation, check_semantic_dense, check_stable_sampled
from hrvlm.certificates.extent import InvariantExtent, invariant_extent
from hrvlm.certificates.intervals import Reason, SemanticPartition
from hrvlm.certificates.misalignment import stable_coverage, stable_intervals
from hrvlm.certificates.noise import fill_gaussian, gaussian
from hrvlm.certificates.records import SemanticRecord, SmoothingRecord, record_from_row
from hrvlm.certificates.rotation import ImageExtent, image_extent
from hrvlm.certificates.rows import RecordWriter, done_keys, merge_rows, read_rows, torn_line
from hrvlm.certificates.sampling import Sample
from hrvlm.certificates.semantic import semantic_partition, semantic_partitions
from hrvlm.certificates.smoothing import SmoothingPlan, Statement, certify
from hrvlm.certificates.summary import summarise
from hrvlm.certificates.verify import Problem, verify_rows
from hrvlm.certificates.voting import SmoothedPrediction, smoothed_predict

__all__ = [
    "AffineScorer",
    "ImageExtent",
    "InvariantExtent",
    "Problem",
    "Reason",
    "RecordWriter",
    "Sample",
    "SemanticPartition",
    "SemanticRecord",
    "SmoothedPrediction",
    "SmoothingPlan",
    "SmoothingRecord",
    "Statement",
    "Violation",
    "certify",
    "check_semantic_dense",
    "check_stable_sampled",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "done_keys",
    "fill_gaussian",
    "gaussian",
    "image_extent",
    "invariant_extent",
    "merge_rows",
    "minimal_samples",
    "radius_ceiling",
    "read_rows",
    "record_from_row",
    "semantic_partition",
    "semantic_partitions",
    "smoothed_predict",
    "smoothing_radius",
    "stable_coverage",
    "stable_intervals",
    "summarise",
    "torn_line",
    "verify_rows",
]
