"""Numbers that are none stay visible: no guard against zero or the boundary may turn NaN into a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hrvlm.geometry import poincare, sphere

OTHERS = torch.tensor([[0.1, 0.2, -0.3], [0.3, 0.0, 0.1]])
MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "normalise": sphere.normalise,
    "exp_map0": lambda x: poincare.exp_map0(x, 1.0),
    "log_map0": lambda x: poincare.log_map0(x, 1.0),
    "project": lambda x: poincare.project(x, 1.0),
    "distance": lambda x: poincare.distance(x, OTHERS[:1], 1.0),
    "pairwise_distance": lambda x: poincare.pairwise_distance(x, OTHERS, 1.0),
    "einstein_midpoint": lambda x: poincare.einstein_midpoint(torch.stack([x, OTHERS[:1]], dim=1), 1.0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MAPS)
def test_nan_stays_nan(name: str, dtype: torch.dtype) -> None:
    assert MAPS[name](torch.tensor([[0.1, float("nan"), 0.2]], dtype=dtype)).isnan().any()
    assert MAPS[name](torch.full((1, 3), float("nan"), dtype=dtype)).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinite_vectors_have_no_direction(dtype: torch.dtype) -> None:
    assert sphere.normalise(torch.tensor([[float("inf"), 1.0]], dtype=dtype)).isnan().any()
