"""Rows under oracles of every error model, some certifying and some not."""

from __future__ import annotations

from typing import Any

from example_records import smoothing

from hrvlm.certificates import OracleError, OracleTask, oracle_records

TASK = OracleTask(
    oracle="action",
    classes=("grasp", "follow", "wait", "unparseable"),
    generator="a small captioner",
    prompt="act",
    decoding={"max_new_tokens": 24, "temperature": 0.7, "top_k": 5, "top_p": 0.9},
)
ERRORS = {
    "given overall": OracleError(model="overall", rate=0.05),
    "given false positive": OracleError(model="false positive", rate=0.02),
    "given conditional": OracleError(model="conditional", rate=0.1, scope="homogeneous"),
    "given audit": OracleError(model="audit", rate=0.03),
    "estimated overall": OracleError(model="overall", errors=1, trials=300),
    "estimated false positive": OracleError(model="false positive", errors=0, trials=100, calibration_share=0.7),
    "estimated conditional": OracleError(model="conditional", errors=2, trials=200, scope="homogeneous"),
    "audited": OracleError(model="audit", errors=1, trials=80),
    "population": OracleError(model="overall", errors=3, trials=1000, scope="population", gamma=0.2),
    "population, given": OracleError(model="false positive", rate=0.01, scope="population", gamma=0.2),
}


def counted(**changes: Any) -> Any:
    """Counts of the labels of one image, of the one oracle that the image is asked about."""
    return smoothing(num_statements=1, alpha_share=0.01, **changes)


def made(error: OracleError | None = None, *, unparseable: int = 3, **changes: Any) -> list[Any]:
    """The rows of one image."""
    answer = "follow the fox " * 20
    return oracle_records(counted(**changes), TASK, unparseable=unparseable, error=error, answer=answer)
