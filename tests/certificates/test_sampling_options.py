from __future__ import annotations

import pytest

from hrvlm.certificates import SamplingOptions, SmoothingPlan
from hrvlm.certificates.run.plan import CertificationPlan


def test_options_of_a_run_reach_its_smoothing_plan():
    options = SamplingOptions(procedure="adaptive", goal=0.2, noise="grid", precision="bfloat16", votes=11)
    plan = CertificationPlan(sigma=0.2, n0=10, n=4000, alpha=0.01, seed=5, sampling=options).smoothing_plan()
    expected = SmoothingPlan(
        sigma=0.2, n0=10, n=4000, alpha=0.01, seed=5, procedure="adaptive", goal=0.2, noise="grid",
        precision="bfloat16", votes=11, noise_space="pixels of the image rounded to 8 bits, before resizing",
    )  # fmt: skip
    assert plan == expected
    assert CertificationPlan().smoothing_plan().procedure == "split"


def test_options_that_do_not_fit_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match="expected a goal"):
        CertificationPlan(sampling=SamplingOptions(procedure="adaptive"))
    with pytest.raises(ValueError, match="expected procedure"):
        CertificationPlan(sampling=SamplingOptions(procedure="best"))
