from .embedding.affine import AffineScorer
from .embedding.attributes import Attribute, AttributeFamily, load_attributes
from .embedding.partition import SemanticPartition
from .embedding.reasons import Reason
from .embedding.rotation import ImageExtent, image_extent
from .kinds.joint.certify import certify_jointly
from .kinds.joint.claim import at_least, extent_at_radius, needed_count, radius_at_extent
from .kinds.joint.extents import move_points, sample_extents
from .kinds.joint.grid import ExtentGrid
from .kinds.joint.mean_score import MarginRange, MeanBounds, mean_bounds
from .kinds.joint.options import Family, JointQuestions, JointSample, PromptPair
from .kinds.joint.record import JointRecord
from .kinds.oracle.claim import derive_oracle
from .kinds.oracle.errors import OracleError, corrected_lower
from .kinds.oracle.from_counts import OracleTask, audited_records, corrected_records, oracle_records
from .kinds.oracle.record import OracleRecord
from .kinds.profile.certify import Profiler
from .kinds.profile.claim import (
    certifying_count,
    chain_of,
    counts_along,
    deepest_certified,
    node_counts,
    profile_radii,
)
from .kinds.profile.options import ProfileOptions
from .kinds.profile.record import ProfileRecord
from .kinds.registry import RecordWriter, done_keys, merge_rows, read_rows, record_from_row, torn_line
from .kinds.semantic.calibrated_extent import ThresholdScale, calibrated_extent
from .kinds.semantic.certify import semantic_partition, semantic_partitions
from .kinds.semantic.evidence import semantic_evidence
from .kinds.semantic.invariant_extent import InvariantExtent, invariant_extent
from .kinds.semantic.misalignment import (
    coverage_sweep,
    stable_coverage,
    stable_intervals,
    uncertainty_intervals,
)
from .kinds.semantic.pixel_line import SampledLine, pixel_line, sampled_invariance
from .kinds.semantic.proxies import (
    WordingStability,
    arc_alignment,
    proxy_agreement,
    rank_agreement,
    wording_stability,
)
from .kinds.semantic.record import SemanticRecord
from .kinds.semantic.reference_arc import (
    ReferenceArc,
    embedding_line,
    fit_reference_arc,
    reference_partition,
)
from .kinds.semantic.refutation import Violation, check_semantic_dense, check_stable_sampled
from .kinds.smoothing.certify import certify
from .kinds.smoothing.record import SmoothingRecord
from .kinds.smoothing.vote import SmoothedPrediction, smoothed_predict
from .kinds.summary import summarise
from .kinds.verify import Problem, verify_rows
from .noise.gaussian import fill_gaussian, gaussian
from .noise.grid import grid_noise
from .planning.laws import AtomLaw, BetaLaw, MixtureLaw, UniformLaw, pilot_law
from .planning.sample_size import Question, SamplePlan, forecast, plan_samples
from .run.ledger import Ledger
from .sampling.batch_size import automatic_batch_size
from .sampling.batches import Sample
from .sampling.feature_store import FeatureStore
from .sampling.plan import SamplingOptions, SmoothingPlan, Statement
from .sampling.replay import replay
from .statistics.anytime import (
    anytime_lower,
    anytime_upper,
    decision_boundaries,
    log_evidence_above,
    log_evidence_below,
    look_times,
)
from .statistics.binomial import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
    threshold_radius,
)
from .statistics.means import betting_lower, betting_upper, mean_shift_bound, shifted_mean
from .statistics.radii import least_count, operational_threshold, radius_between, two_bound_radius
from .statistics.risk import calibrate_risk

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
    "ThresholdScale",
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
    "calibrate_risk",
    "calibrated_extent",
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
