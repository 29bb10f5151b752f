"""Under autocast only the towers are computed in few bits: given the same features, losses and gradients stay."""

from __future__ import annotations

import pytest
import torch
from distributed_cases import CASES, LABELS, SmallModel, Step, run
from sweeps import sweep

EVERY = range(len(LABELS))


class ExactFeatures(SmallModel):
    """A tower that autocast leaves alone."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        scale = self.image[0].bias.sum() + 1.0
        return 20 * scale * (images.flatten(1)[:, :8] - 0.5)


@pytest.mark.parametrize("dtype", sweep([torch.bfloat16, torch.float16], quick=[torch.bfloat16]), ids=str)
@pytest.mark.parametrize("case", CASES)
def test_objectives_stay_in_float32(case: str, dtype: torch.dtype) -> None:
    results = []
    for used in (None, dtype):
        results.append(run(Step(case, ExactFeatures), EVERY, used))
    for name, value in results[0]["logs"].items():
        assert results[1]["logs"][name].dtype == torch.float32
        torch.testing.assert_close(results[1]["logs"][name], value, rtol=1e-6, atol=1e-6)
    compared = 0
    for name, value in results[0]["gradients"].items():
        if value is not None:
            torch.testing.assert_close(results[1]["gradients"][name], value, rtol=1e-5, atol=1e-6)
            compared += 1
    assert compared >= 1


@pytest.mark.parametrize("case", ["forest", "tecoa"])
def test_a_tower_in_bfloat16_gives_about_the_same_loss(case: str) -> None:
    full, mixed = run(Step(case), EVERY), run(Step(case), EVERY, torch.bfloat16)
    assert not torch.equal(full["logs"]["loss"], mixed["logs"]["loss"])
    torch.testing.assert_close(mixed["logs"]["loss"], full["logs"]["loss"], rtol=0.05, atol=0.01)
