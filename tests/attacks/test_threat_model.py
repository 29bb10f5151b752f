"""Budgets and bounds hold exactly, for every norm, on random and extreme inputs; errors speak."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.attacks import ThreatModel

SHAPE = (4, 3, 5, 5)
norms = st.sampled_from(["linf", "l2"])
seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=40, deadline=None)


def images_and_noise(seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(SHAPE, generator=generator).mul(1.4).sub(0.2).clamp(0, 1)  # some pixels at either bound
    return images, spread * torch.randn(SHAPE, generator=generator)


@given(seeds, norms, st.floats(0, 1), st.sampled_from([1e-6, 0.1, 1e6]))
@few
def test_projection_keeps_budget_and_bounds_and_is_idempotent(seed: int, norm: str, eps: float, spread: float) -> None:
    threat = ThreatModel(norm, eps)
    images, noise = images_and_noise(seed, spread)
    delta = threat.project(noise, images)
    changed = images + delta
    size = delta.abs().amax((1, 2, 3)) if norm == "linf" else delta.square().sum((1, 2, 3)).sqrt()
    assert (size <= eps * (1 + 1e-5) + 1e-6).all()
    assert (changed >= -1e-7).all()
    assert (changed <= 1 + 1e-7).all()
    torch.testing.assert_close(threat.project(delta, images), delta, rtol=1e-5, atol=1e-6)
    threat.check(changed.clamp(0, 1), images)


@given(seeds, norms)
@few
def test_a_perturbation_inside_is_left_alone(seed: int, norm: str) -> None:
    images, noise = images_and_noise(seed, 1e-3)
    images = images.clamp(0.3, 0.7)
    torch.testing.assert_close(ThreatModel(norm, 0.2).project(noise, images), noise, rtol=0, atol=1e-7)


def test_l2_projection_is_the_nearest_point_of_the_ball() -> None:
    images, noise = images_and_noise(0, 0.2)
    images = torch.full_like(images, 0.5)
    delta = ThreatModel("l2", 0.3).project(noise, images)
    for one, original in zip(delta, noise, strict=True):
        torch.testing.assert_close(one, 0.3 * original / original.norm())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_step_is_steepest_ascent_of_the_given_length(norm: str) -> None:
    _, gradient = images_and_noise(1, 1e-25)  # squares underflow in float32
    gradient[0] = 0
    step = ThreatModel(norm, 0.5).step(torch.zeros(SHAPE), gradient, 0.1)
    assert not step[0].any()
    if norm == "linf":
        assert torch.equal(step, 0.1 * gradient.sign())
    else:
        torch.testing.assert_close(step[1:].flatten(1).norm(dim=1), torch.full((3,), 0.1))
        cosine = torch.cosine_similarity(step[1:].flatten(1).double(), 1e25 * gradient[1:].flatten(1).double())
        torch.testing.assert_close(cosine, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_start_fills_the_budget_and_is_reproducible(norm: str) -> None:
    threat, images = ThreatModel(norm, 0.2), torch.full((500, 2), 0.5)
    first, second = (threat.random_start(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    size = threat.distance(images + first, images)
    assert float(size.max()) <= 0.2 + 1e-6
    # Uniform in a set of two dimensions: the share within r of the centre is (r/eps)².
    for share in (0.3, 0.6, 0.9):
        assert float((size <= 0.2 * share).float().mean()) == pytest.approx(share**2, abs=0.07)


def test_it_is_a_value_and_copies_its_bounds() -> None:
    threat = ThreatModel("linf", 0.1, [0.0, 1.0])  # type: ignore[arg-type]
    assert threat == ThreatModel("linf", 0.1)
    assert hash(threat) == hash(ThreatModel("linf", 0.1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        threat.eps = 0.2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("l1", 0.1), "expected norm to be one of linf, l2, got 'l1'"),
        (("linf", 8), "write 8/255"),
        (("linf", -0.1), "expected eps >= 0"),
        (("l2", math.nan), "expected eps >= 0"),
        (("linf", 0.1, (1.0, 0.0)), "expected bounds"),
        (("linf", 0.1, (0.0, math.inf)), "expected bounds"),
    ],
)
def test_bad_threat_models_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThreatModel(*arguments)


def test_check_finds_what_left_the_budget_or_the_bounds() -> None:
    images = torch.full(SHAPE, 0.5)
    for norm in ("linf", "l2"):
        threat = ThreatModel(norm, 0.1)  # type: ignore[arg-type]
        outside = images.clone()
        outside[2, 0, 0, 0] += 0.1002
        with pytest.raises(AssertionError, match="left the budget"):
            threat.check(outside, images)
    with pytest.raises(AssertionError, match="left the pixel bounds"):
        ThreatModel("linf", 1.0).check(images - 0.51, images)


def test_normalised_or_integer_images_are_refused() -> None:
    threat = ThreatModel()
    for bad, message in [
        (torch.full((2, 3), 1.2), "not normalised images"),
        (torch.full((2, 3), math.nan), "not normalised images"),
        (torch.zeros(2, 3, dtype=torch.uint8), "floating-point type"),
    ]:
        with pytest.raises(ValueError, match=message):
            threat.check_images(bad)
