"""The measured violation rates of calibrated semantic certificates, in the result file of their benchmark."""

from __future__ import annotations

import json
from pathlib import Path

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "semantic_calibration.json"


def test_measured_rates_keep_what_calibration_promises() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["setting"]["splits"] >= 2000
    for name, claims in result["changes"].items():
        assert len(claims) == 6  # three levels, two scorers
        for claim in claims:
            assert claim["raw_violated"] > 0.15, name  # without calibration
            for epsilon in ("0.05", "0.1", "0.2"):
                found = claim[epsilon]
                assert found["violated"] <= float(epsilon) + 2 * found["standard_error"], (name, claim["claim"])
                assert found["confident_failures"] <= 1 - result["setting"]["confidence"], (name, claim["claim"])
                assert 0 < found["share"] < claim["raw_share"], (name, claim["claim"])
