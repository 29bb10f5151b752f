"""Step rules against loops that follow their papers one picture and one number at a time; the default is plain PGD."""

from __future__ import annotations

import math

import pytest
import torch

from hrvlm.attacks import Ascent, ThreatModel, perturb, perturb_jointly
from hrvlm.attacks.step_rules import StepRule, averaged_gradient, checkpoints

EPS, STEPS, SIZE = 0.1, 9, 0.08
THREATS = [ThreatModel("linf", EPS), ThreatModel("l2", 4 * EPS)]


def waves(images: torch.Tensor) -> torch.Tensor:
    """A loss per image whose gradient changes sign often, so that steps overshoot and losses fall."""
    place = torch.linspace(1.0, 40.0, images[0].numel()).view(images.shape[1:])
    return (torch.sin(place * images) + 0.3 * images * place.cos()).flatten(1).sum(dim=1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def gradient_of(image: torch.Tensor) -> tuple[float, torch.Tensor]:
    pixels = image[None].clone().requires_grad_()
    value = waves(pixels).sum()
    return float(value.detach()), torch.autograd.grad(value, pixels)[0][0]


def up(gradient: torch.Tensor, threat: ThreatModel) -> torch.Tensor:
    return gradient.sign() if threat.norm == "linf" else gradient / gradient.square().sum().sqrt()


def within(point: torch.Tensor, clean: torch.Tensor, threat: ThreatModel) -> torch.Tensor:
    delta = point - clean
    if threat.norm == "linf":
        delta = delta.clamp(-threat.eps, threat.eps)
    elif float(delta.norm()) > threat.eps:
        delta = delta * threat.eps / delta.norm()
    return (clean + delta).clamp(0, 1)


def mi_fgsm(clean: torch.Tensor, threat: ThreatModel, decay: float) -> torch.Tensor:
    point, sum_so_far = clean, torch.zeros_like(clean)
    for _ in range(STEPS):
        gradient = gradient_of(point)[1]
        sum_so_far = decay * sum_so_far + gradient / gradient.abs().sum()
        point = within(point + SIZE * up(sum_so_far, threat), clean, threat)
    return point


def apgd(clean: torch.Tensor, threat: ThreatModel, share: float) -> tuple[torch.Tensor, float]:
    """Algorithm 1 of arXiv 2003.01690 for one picture, looking back as soon as the loss of a checkpoint is known."""
    size, point, former, looks = SIZE, clean, clean, [0, *checkpoints(STEPS)]
    points, values, halved_before, best_before = [], [], False, None
    for step in range(STEPS):
        value, gradient = gradient_of(point)
        points.append(point)
        values.append(value)
        if step in looks[1:]:
            last, best = looks[looks.index(step) - 1], max(values)
            grown = sum(values[i + 1] > values[i] for i in range(last, step))
            stuck = not halved_before and best == (values[0] if best_before is None else best_before)
            halved_before, best_before = grown < 0.75 * (step - last) or stuck, best
            if halved_before:
                size /= 2
                point = points[values.index(best)]
                gradient = gradient_of(point)[1]
        ahead = within(point + size * up(gradient, threat), clean, threat)
        if step:
            ahead = within(point + (1 - share) * (ahead - point) + share * (point - former), clean, threat)
        point, former = ahead, point
    return point, size


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
@pytest.mark.parametrize("decay", [None, 0.4])
def test_momentum_sums_normalised_gradients(threat: ThreatModel, decay: float | None, images) -> None:
    found = perturb(waves, images, threat, STEPS, SIZE, rule=StepRule(name="momentum", momentum=decay))
    expected = torch.stack([mi_fgsm(image, threat, 1.0 if decay is None else decay) for image in images])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, perturb(waves, images, threat, STEPS, SIZE))


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.norm)
@pytest.mark.parametrize("share", [None, 0.5])
def test_apgd_halves_steps_and_goes_back_picture_by_picture(threat: ThreatModel, share: float | None, images) -> None:
    found = perturb(waves, images, threat, STEPS, SIZE, rule=StepRule(name="apgd", momentum=share))
    expected = [apgd(image, threat, 0.25 if share is None else share) for image in images]
    torch.testing.assert_close(found, torch.stack([point for point, _ in expected]), rtol=1e-9, atol=1e-9)
    assert len({size for _, size in expected}) > 1  # pictures halve for themselves


def test_one_loss_for_all_pictures_moves_them_as_one_row(images) -> None:
    """The universal perturbation's loss is one number: a batch of one long picture has the same ascent."""
    threat = THREATS[0]
    place = torch.linspace(1.0, 40.0, images.numel()).view(images.shape)

    def one(pixels: torch.Tensor) -> torch.Tensor:
        return torch.sin(place.view(pixels.shape) * pixels).sum()

    rule = StepRule(name="apgd")
    long = images.view(1, -1, 3, 4)
    expected = perturb(lambda x: one(x)[None], long, threat, STEPS, SIZE, rule=rule)
    assert torch.equal(perturb(one, images, threat, STEPS, SIZE, rule=rule), expected.view(images.shape))


@pytest.mark.parametrize("name", ["momentum", "apgd"])
def test_rules_reach_texts_and_keep_both_budgets(name: str, images) -> None:
    matrix = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start, seen = torch.zeros(4, 5, dtype=torch.float64), []

    def loss(pixels: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        seen.append((pixels.detach(), delta.detach()))
        return (
            torch.sin(9 * pixels.flatten(1) @ matrix)
            @ (1 + delta.T).sin()
            @ torch.tensor([1.0, -1.0, 1.0, -1.0]).double()
        )

    steps: dict[str, float] = {"step_size_image": SIZE, "step_size_text": 0.03}
    found, text = perturb_jointly(
        loss, images, start, THREATS[0], eps_text=0.05, steps=STEPS, rule=StepRule(name=name), **steps
    )
    assert len(seen) == STEPS  # one gradient a step
    assert text is not None
    assert text.shape == start.shape
    for pixels, delta in [*seen[1:], (found, text)]:
        assert 0.0 < float(delta.abs().max()) <= 0.05
        assert float((pixels - images).abs().max()) <= EPS * (1 + 1e-12)


def test_the_default_is_plain_gradient_ascent_to_the_last_bit(images) -> None:
    for threat in THREATS:
        delta = torch.zeros_like(images)
        for _ in range(4):
            pixels = (images + delta).requires_grad_()
            gradient = torch.autograd.grad(waves(pixels).sum(), pixels)[0]
            delta = threat.project(threat.step(delta, gradient, SIZE), images)
        expected = (images + threat.project(delta, images)).clamp(0, 1)
        assert torch.equal(Ascent(steps=4, step_size=SIZE).perturb(waves, images, threat, None), expected)


@pytest.mark.parametrize("starts", [1, 3])
def test_the_first_step_follows_the_mean_gradient_of_its_starts(starts: int, images) -> None:
    for threat in THREATS:
        draws = torch.Generator().manual_seed(7)
        points = [threat.random_start(images, draws) for _ in range(starts)]
        delta, seen = sum(points) / starts, list[torch.Tensor]()
        for step in range(2):
            slopes = []
            for point in points if step == 0 else [delta]:
                pixels = (images + point).requires_grad_()
                slopes.append(torch.autograd.grad(waves(pixels).sum(), pixels)[0])
            delta = threat.project(threat.step(delta, sum(slopes) / len(slopes), SIZE), images)

        def loss(pixels: torch.Tensor, seen: list[torch.Tensor] = seen) -> torch.Tensor:
            seen.append(pixels.detach())
            return waves(pixels)

        ascent = Ascent(steps=2, step_size=SIZE, starts=starts)
        found = ascent.perturb(loss, images, threat, torch.Generator().manual_seed(7))
        torch.testing.assert_close(found, (images + threat.project(delta, images)).clamp(0, 1), rtol=0, atol=1e-12)
        assert len(seen) == ascent.gradients == 2 + starts - 1
        assert Ascent(steps=0, starts=starts).gradients == 0


def test_checkpoints_are_those_of_the_paper() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(3) == [1, 2]
    assert checkpoints(1) == checkpoints(0) == []


def test_a_gradient_of_zero_and_tiny_ones_stay_numbers() -> None:
    gradient = torch.tensor([[0.0, 0.0], [1e-38, -3e-38]])
    found = averaged_gradient(torch.zeros(2, 2), gradient, 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [0.25, -0.75]]), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "fast"}, "expected the rule of the ascent among sign, momentum, apgd, got 'fast'"),
        ({"momentum": 0.5}, "expected no momentum with the rule sign, got 0.5"),
        ({"rule": "momentum", "momentum": 1.1}, r"expected the momentum of momentum in \[0, 1\], got 1.1"),
        ({"rule": "apgd", "momentum": 1.0}, r"expected the momentum of apgd in \[0, 1\), got 1.0"),
        ({"rule": "apgd", "momentum": math.nan}, "got nan"),
        ({"loss": "hinge"}, "expected ascent.loss among cross_entropy, margin, dlr, got 'hinge'"),
        ({"starts": 0}, r"expected starts of the ascent in \[1, 100\], got 0"),
        ({"starts": 2, "random_start": False}, "expected ascent.random_start true with 2 starts, got false"),
        ({"trees_per_step": 0}, "expected ascent.trees_per_step >= 1, got 0"),
    ],
)
def test_settings_that_are_none_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ascent(**settings)
