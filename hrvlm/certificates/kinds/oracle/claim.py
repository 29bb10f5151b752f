"""From counts of an oracle's labels to the composite and the semantic claim; the one place where both are derived."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hrvlm.certificates.kinds.oracle.errors import OracleError
from hrvlm.certificates.kinds.oracle.record import ORACLE_METHODS, OracleRecord
from hrvlm.certificates.statistics.binomial import threshold_radius
from hrvlm.certificates.statistics.claim import HOPELESS, NO_LABEL, NOT_ABOVE, NOT_MAJORITY, derive

TOO_WRONG = "what the oracle's error leaves of the lower bound is not above the threshold"
MEANINGLESS = "the predicted class is 'unparseable', of which an ideal oracle says nothing"


@dataclass(frozen=True)
class OracleClaim:
    """What counts and an oracle's error give.

    Attributes:
        lower_oracle: bound in [0, 1) on the probability of the class as the oracle labels.
        rate_upper: bound on the oracle's error rate, see `OracleError.rate_upper`; None for the composite claim.
        lower: bound on the probability that is claimed.
        radius: certified L2 radius; 0 where nothing is certified.
    """

    lower_oracle: float
    rate_upper: float | None
    lower: float
    radius: float


def derive_oracle(
    method: str,
    split: str,
    *,
    count: int,
    n: int,
    alpha: float,
    sigma: float,
    threshold: float = 0.5,
    error: OracleError | None = None,
    alpha_calibration: float = 0.0,
) -> OracleClaim:
    """Bounds and radius of a claim; it is false with probability at most alpha + alpha_calibration.

    The union bound needs no independence of the two, and a correction only shrinks the events in which the composite
    claim fails, so a class chosen by the counted samples costs the semantic claim no more than the composite one.

    Args:
        method: "clopper-pearson" or "anytime", see `claims.derive`.
        split: how the class was chosen, one of `claims.SPLITS`.
        count: samples that the oracle gave the class.
        n: all samples; 0 if none were drawn.
        alpha: error probability of the count, in (0, 1).
        sigma: standard deviation of the noise.
        threshold: probability that the class must keep.
        error: of the oracle, for the semantic claim; None for the composite one.
        alpha_calibration: error probability of the oracle's rate; 0 for one that is given.

    Raises:
        ValueError: if the method is another, or a number lies outside its range.
    """
    if method not in ORACLE_METHODS:
        raise ValueError(f"expected a method among {list(ORACLE_METHODS)} for an oracle's labels, got {method!r}")
    claim = derive(method, split, count=count, runner_up=None, n=n, alpha=alpha, sigma=sigma, threshold=threshold)
    if error is None:
        return OracleClaim(claim.lower, None, claim.lower, claim.radius)
    lower = error.corrected(claim.lower, alpha_calibration)
    radius = float(threshold_radius(lower, sigma, threshold=threshold))
    return OracleClaim(claim.lower, error.rate_upper(alpha_calibration), lower, radius)


def claim_of(record: OracleRecord, error: OracleError | None) -> OracleClaim:
    """What the counts of a row give under an oracle error, None for the composite claim.

    An ideal oracle says nothing of the class "unparseable", so semantically nothing is claimed of it.
    """
    found = derive_oracle(
        record.method,
        record.split,
        count=record.count,
        n=record.n,
        alpha=record.alpha_share,
        sigma=record.sigma,
        threshold=record.threshold,
        error=error,
        alpha_calibration=0.0 if error is None else record.alpha_calibration,
    )
    if record.prediction < 0 or (error is not None and record.prediction == record.num_classes - 1):
        return replace(found, lower=0.0, radius=0.0)
    return found


def reason_of(record: OracleRecord, error: OracleError | None, found: OracleClaim) -> str:
    """Why a row abstains."""
    if record.prediction < 0:
        return NO_LABEL
    if record.n == 0:
        return HOPELESS
    if error is not None and record.prediction == record.num_classes - 1:
        return MEANINGLESS
    if found.lower_oracle > record.threshold:
        return TOO_WRONG
    return NOT_MAJORITY if record.threshold == 0.5 else NOT_ABOVE
