"""Certificates: pure functions on tensors and arrays, and the records they are kept in."""

from typing import TYPE_CHECKING, Any

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.arcs import ReferenceArc, embedding_line, fit_reference_arc, reference_partition
from hrvlm.certificates.attributes import Attribute, AttributeFamily, load_attributes
from hrvlm.certificates.batches import Sample
from hrvlm.certificates.batching import automatic_batch_size
from hrvlm.certificates.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
    threshold_radius,
)
from hrvlm.certificates.checks import Violation, check_semantic_dense, check_stable_sampled
from hrvlm.certificates.extent import InvariantExtent, invariant_extent
from hrvlm.certificates.feature_store import FeatureStore
from hrvlm.certificates.grid_noise import grid_noise
from hrvlm.certificates.intervals import Reason, SemanticPartition
from hrvlm.certificates.joint import Family, JointQuestions, JointSample, PromptPair, certify_jointly
from hrvlm.certificates.joint_claims import at_least, extent_at_radius, needed_count, radius_at_extent
from hrvlm.certificates.joint_mean import MarginRange, MeanBounds, mean_bounds
from hrvlm.certificates.joint_records import JointRecord
from hrvlm.certificates.laws import AtomLaw, BetaLaw, MixtureLaw, UniformLaw, pilot_law
from hrvlm.certificates.ledger import Ledger
from hrvlm.certificates.lines import SampledLine, pixel_line, sampled_invariance
from hrvlm.certificates.mean_bounds import betting_lower, betting_upper, mean_shift_bound, shifted_mean
from hrvlm.certificates.misalignment import coverage_sweep, stable_coverage, stable_intervals, uncertainty_intervals
from hrvlm.certificates.noise import fill_gaussian, gaussian
from hrvlm.certificates.oracle_claims import derive_oracle
from hrvlm.certificates.oracle_errors import OracleError, corrected_lower
from hrvlm.certificates.oracle_records import OracleRecord
from hrvlm.certificates.oracle_rows import OracleTask, audited_records, corrected_records, oracle_records
from hrvlm.certificates.planning import Question, SamplePlan, forecast, plan_samples
from hrvlm.certificates.profile import (
    certifying_count,
    chain_of,
    counts_along,
    deepest_certified,
    node_counts,
    profile_radii,
)
from hrvlm.certificates.profile_records import ProfileRecord
from hrvlm.certificates.profiling import ProfileOptions, Profiler
from hrvlm.certificates.proxies import (
    WordingStability,
    arc_alignment,
    proxy_agreement,
    rank_agreement,
    wording_stability,
)
from hrvlm.certificates.radii import least_count, operational_threshold, radius_between, two_bound_radius
from hrvlm.certificates.records import SemanticRecord, SmoothingRecord, record_from_row
from hrvlm.certificates.rotation import ImageExtent, image_extent
from hrvlm.certificates.rows import RecordWriter, done_keys, merge_rows, read_rows, torn_line
from hrvlm.certificates.sample_extents import ExtentGrid, move_points, sample_extents
from hrvlm.certificates.semantic import semantic_partition, semantic_partitions
from hrvlm.certificates.semantic_evidence import semantic_evidence
from hrvlm.certificates.sequential import (
    anytime_lower,
    anytime_upper,
    decision_boundaries,
    log_evidence_above,
    log_evidence_below,
    look_times,
)
from hrvlm.certificates.smoothing import SmoothingPlan, Statement, certify
from hrvlm.certificates.smoothing_plan import SamplingOptions
from hrvlm.certificates.summary import summarise
from hrvlm.certificates.verify import Problem, verify_rows
from hrvlm.certificates.voting import SmoothedPrediction, smoothed_predict

if TYPE_CHECKING:
    from hrvlm.certificates.rescoring import replay

__all__ = [
    "AffineScorer",
    "AtomLaw",
    "Attribute",
    "AttributeFamily",
    "BetaLaw",
    "ExtentGrid",
    "Family",
    "FeatureStore",
    "ImageExtent",
    "InvariantExtent",
    "JointQuestions",
    "JointRecord",
    "JointSample",
    "Ledger",
    "MarginRange",
    "MeanBounds",
    "MixtureLaw",
    "OracleError",
    "OracleRecord",
    "OracleTask",
    "Problem",
    "ProfileOptions",
    "ProfileRecord",
    "Profiler",
    "PromptPair",
    "Question",
    "Reason",
    "RecordWriter",
    "ReferenceArc",
    "Sample",
    "SamplePlan",
    "SampledLine",
    "SamplingOptions",
    "SemanticPartition",
    "SemanticRecord",
    "SmoothedPrediction",
    "SmoothingPlan",
    "SmoothingRecord",
    "Statement",
    "UniformLaw",
    "Violation",
    "WordingStability",
    "anytime_lower",
    "anytime_upper",
    "arc_alignment",
    "at_least",
    "audited_records",
    "automatic_batch_size",
    "betting_lower",
    "betting_upper",
    "certify",
    "certify_jointly",
    "certifying_count",
    "chain_of",
    "check_semantic_dense",
    "check_stable_sampled",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "corrected_lower",
    "corrected_records",
    "counts_along",
    "coverage_sweep",
    "decision_boundaries",
    "deepest_certified",
    "derive_oracle",
    "done_keys",
    "embedding_line",
    "extent_at_radius",
    "fill_gaussian",
    "fit_reference_arc",
    "forecast",
    "gaussian",
    "grid_noise",
    "image_extent",
    "invariant_extent",
    "least_count",
    "load_attributes",
    "log_evidence_above",
    "log_evidence_below",
    "look_times",
    "mean_bounds",
    "mean_shift_bound",
    "merge_rows",
    "minimal_samples",
    "move_points",
    "needed_count",
    "node_counts",
    "operational_threshold",
    "oracle_records",
    "pilot_law",
    "pixel_line",
    "plan_samples",
    "profile_radii",
    "proxy_agreement",
    "radius_at_extent",
    "radius_between",
    "radius_ceiling",
    "rank_agreement",
    "read_rows",
    "record_from_row",
    "reference_partition",
    "replay",
    "sample_extents",
    "sampled_invariance",
    "semantic_evidence",
    "semantic_partition",
    "semantic_partitions",
    "shifted_mean",
    "smoothed_predict",
    "smoothing_radius",
    "stable_coverage",
    "stable_intervals",
    "summarise",
    "threshold_radius",
    "torn_line",
    "two_bound_radius",
    "uncertainty_intervals",
    "verify_rows",
    "wording_stability",
]


def __getattr__(name: str) -> Any:
    """Imports rescoring when it is asked for: it needs models, which take seconds; all else here does not."""
    if name == "replay":
        from hrvlm.certificates import rescoring

        return getattr(rescoring, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
