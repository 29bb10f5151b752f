"""The measured violation rates of calibrated semantic certificates, in the result file of their benchmark."""

from __future__ import annotations

import json
from pathlib import Path

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "semantic_calibration.json"


def test_measured_rates_keep_what_calibration_promises() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["setting"]["splits"] >= 2000
    changes = [(name, claims) for model in result["models"].values() for name, claims in model["changes"].items()]
    assert len(changes) >= 2
    for name, claims in changes:
        assert len(claims) == 6  # three levels, two scorers
        assert claims[0]["raw_violated"] > 0.15, name  # leaves, without calibration
        for claim in claims:
            for epsilon in ("0.05", "0.1", "0.2"):
                found = claim[epsilon]
                assert found["violated"] <= float(epsilon) + 2 * found["standard_error"], (name, claim["claim"])
                assert found["confident_failures"] <= 1 - result["setting"]["confidence"], (name, claim["claim"])
                assert found["share"] > 0, (name, claim["claim"])
                if claim["raw_violated"] > float(epsilon):  # else the raw claim may stand
                    assert found["share"] < claim["raw_share"], (name, claim["claim"])
