"""What rows under oracles guarantee, in words made from the rows."""

from __future__ import annotations

from collections.abc import Sequence

from hrvlm.certificates.kinds.oracle.record import SPENT_ONCE, SPENT_PER_CLASS, OracleRecord

COMPOSITE = (
    "Composite: the label that oracle {oracle} itself gives to the answers keeps the stated class at every point "
    "closer than the stated L2 radius to the image. The oracle is part of the classifier, be it right or wrong."
)
SEMANTIC = (
    "Semantic: the label that an ideal oracle would give in place of {oracle} keeps the stated class within the stated "
    "radius. Taken off at the image, before the bound is carried to its neighbourhood, is {assumed}."
)


def oracle_sentences(records: Sequence[OracleRecord]) -> list[str]:
    """One sentence per oracle and claim, and what holds for all of them together."""
    first = records[0]
    oracles = len({record.oracle for record in records})
    said = [
        f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise, the "
        f"decoding and the labelled outputs, for both claims of {oracles} oracle{'s' * (oracles > 1)} together:"
    ]
    for record in {(r.oracle, r.claim, r.assumed): r for r in records}.values():
        said.append(_sentence(record))
    shared = [r for r in records if r.alpha_calibration > 0 and r.scope in ("homogeneous", "population")]
    for spent in dict.fromkeys(SPENT_ONCE if r.error_model == "overall" else SPENT_PER_CLASS for r in shared):
        said.append(f"The calibration is shared by many images, and its part of alpha is {spent}.")
    if any(record.temperature > 0 for record in records):
        said.append(
            "Decoding is random and drawn anew for each sample: certified is the modal label over noise and decoding, "
            "not any single generation."
        )
    return said


def _sentence(record: OracleRecord) -> str:
    if record.claim == "composite":
        return COMPOSITE.format(oracle=repr(record.oracle))
    said = SEMANTIC.format(oracle=repr(record.oracle), assumed=record.assumed)
    if record.gamma is None:
        return said
    return f"{said} Here at least {100 * (1 - record.gamma):g}% of the population's images; it is of no image alone."
