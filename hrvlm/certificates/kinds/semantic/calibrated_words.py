"""What a calibrated claim guarantees, and what it assumes, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hrvlm.certificates.kinds.semantic.record import SemanticRecord


def calibrated_words(records: Sequence[SemanticRecord]) -> list[str]:
    """The guarantee of the calibrated stretches of some rows, with its assumptions; none where there are no such."""
    claims = set().union(*{record.calibrated for record in records})
    if not claims:
        return []
    populations = sorted({record.population for record in records if record.population})
    rates = ", ".join(f"{rate:g}" for rate in sorted({claim.epsilon for claim in claims}))
    forms = sorted({claim.form for claim in claims})
    confident = [f"{100 * float(form):g}%" for form in forms if form != "marginal"]
    further = (
        f"; with a confidence of {' or '.join(confident)} over calibrations, of further images" if confident else ""
    )
    words = [
        f"Calibrated, about pictures, for: {'; '.join(populations)}. On the calibrated stretch no picture of the "
        f"change has another label, but for a share of at most epsilon ({rates}) of the images: marginal, on average "
        f"over calibrations and the next image{further}."
    ]
    words.append(
        "It assumes that calibration and certified images are exchangeable and named alike in prompts, and that the "
        "change is shown as in calibration, at its steps only; it is a statement over images, not about one, each "
        "claim at its own epsilon unless claims are joint; under another artist, camera or change it is void."
    )
    none = sorted({(claim.epsilon, claim.form) for claim in claims if claim.threshold is None})
    if none:
        rates = ", ".join(f"{epsilon:g} ({form})" for epsilon, form in none)
        words.append(
            f"Of some claims no threshold was valid at {rates}: too few calibration images for such a rate, or "
            "pictures that contradict whatever is claimed. Nothing is claimed there: the stretch is 0."
        )
    return words
