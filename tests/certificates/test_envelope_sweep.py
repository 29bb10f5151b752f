"""Walks along envelopes at the edge of what numbers can say; ordinary ones are tested with the partitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hrvlm.certificates import AffineScorer, semantic_partition
from hrvlm.certificates.embedding.envelope import Sinusoids
from hrvlm.certificates.embedding.envelope_sweep import sweep_envelope
from hrvlm.certificates.embedding.sweeps import joined


def waves(cosine: list[float], sine: list[float], offset: list[float], scale: float = 1.0) -> Sinusoids:
    return Sinusoids(*(scale * torch.tensor([row], dtype=torch.float64) for row in (cosine, sine, offset)))


def walked(given: Sinusoids, label: int = 0, length: float = 1.0):
    return sweep_envelope(given, torch.tensor([label]), torch.tensor([length], dtype=torch.float64))


CROSSING = ([1.0, 0.0], [0.0, 1.0], [0.0, 0.0])  # at an eighth of a turn


def test_a_walk_ends_at_its_length() -> None:
    found = walked(waves(*CROSSING), length=1.5)
    assert found.labels.tolist() == [[0, 1]]
    assert found.breaks[0].tolist() == pytest.approx([0, math.pi / 4, 1.5], abs=1e-12)
    assert found.verified.tolist() == [True]
    leads = [abs(math.cos(x) - math.sin(x)) for x in (math.pi / 8, (math.pi / 4 + 1.5) / 2)]
    assert found.smallest_margin.tolist() == pytest.approx([min(leads)], abs=1e-12)
    assert walked(waves([1.0], [0.0], [0.0])).smallest_margin.tolist() == [math.inf]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 2])
def test_nothing_is_verified_where_a_wave_is_not_finite(bad: float, part: int, place: int) -> None:
    rows = [[1.0, 0.5, 0.2], [0.0, 0.1, 0.3], [0.0, 0.0, 0.0]]
    assert walked(waves(*rows)).verified.tolist() == [True]
    rows[part][place] = bad
    found = walked(waves(*rows))
    assert found.verified.tolist() == [False]
    assert found.breaks[0, -1] == 1.0


@pytest.mark.parametrize("scale", [1e-170, 1e-300, 1e160, 1e300])
def test_scores_whose_squares_are_no_numbers_verify_nothing(scale: float) -> None:
    rows = ([0.6, 0.0], [-1.0, 0.0], [0.5, 0.0])
    assert walked(waves(*rows), length=math.pi).labels.tolist() == [[0, 1]]
    assert walked(waves(*rows, scale=1e-100), length=math.pi).labels.tolist() == [[0, 1]]
    assert walked(waves(*rows, scale=scale), length=math.pi).verified.tolist() == [False]
    late = (*rows[:2], [0.95, 0.0])  # changes after the middle, where the lead still looks well
    assert walked(waves(*late), length=2.2).labels.tolist() == [[0, 1]]
    assert walked(waves(*late, scale=scale), length=2.2).verified.tolist() == [False]
    weight, bias = torch.tensor([[0.6, -1.0], [0.0, 0.0]]) * 1.0, torch.tensor([0.5, 0.0])
    source, target = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.1])
    scorer = AffineScorer(weight.double() * scale, bias.double() * scale)
    partition = semantic_partition(scorer, source[None].double(), source, target)
    assert partition.intervals(0) == []
    assert partition.reasons[0] is not None


def test_an_overflow_along_the_way_certifies_nothing() -> None:
    weight = torch.tensor([[0.0, 1e250, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    scorer = AffineScorer(weight, torch.tensor([0.0, 1.0, 0.0]))
    feature = torch.tensor([[1e100, 0.0, 0.0]], dtype=torch.float64)
    source, target = torch.tensor([1.0, 1.0, 0.0]).double(), torch.tensor([0.0, 1.0, 0.0]).double()
    assert semantic_partition(scorer, feature, source, target).intervals(0) == []


def test_zero_scores_tie_everywhere() -> None:
    found = walked(waves([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]))
    assert found.verified.tolist() == [True]
    assert found.labels.tolist() == [[0]]
    assert found.smallest_margin.tolist() == [0.0]


def test_a_wrong_first_winner_is_not_verified() -> None:
    for sine in (0.0, 1.0):  # the other one stays ahead, or gains
        found = walked(waves([0.2, 1.0], [0.0, sine], [0.0, 0.0]))
        assert found.verified.tolist() == [False]
        assert found.breaks.tolist() == [[0.0, 1.0]]


def test_walks_of_several_chunks_are_padded_with_their_lengths() -> None:
    failed, changing = walked(waves([0.2, 1.0], [0.0, 0.0], [0.0, 0.0])), walked(waves(*CROSSING), length=1.5)
    both = joined([failed, changing])
    assert both.labels.tolist() == [[0, -1], [0, 1]]
    assert both.breaks[0, 1:].tolist() == [1.0, 1.0]
    assert both.breaks[1, -1] == 1.5
    assert both.verified.tolist() == [False, True]


def test_other_types_and_layouts() -> None:
    expected = walked(waves(*CROSSING), length=1.5)
    for cast in (Tensor.float, lambda part: part.clone().requires_grad_(), lambda part: part.T.contiguous().T):
        plain = waves(*CROSSING)
        found = walked(Sinusoids(cast(plain.cosine), cast(plain.sine), cast(plain.offset)), length=1.5)
        assert found.labels.tolist() == expected.labels.tolist()
        torch.testing.assert_close(found.breaks, expected.breaks)
    none = sweep_envelope(
        Sinusoids(*(torch.zeros(0, 3).double() for _ in range(3))), torch.zeros(0).long(), torch.zeros(0).double()
    )
    assert none.labels.shape == (0, 1)
    assert none.breaks.shape == (0, 2)


def test_shapes_and_labels_that_do_not_fit() -> None:
    for label in (-1, 2):
        with pytest.raises(ValueError, match=r"expected labels in \[0, 2\)"):
            walked(waves(*CROSSING), label=label)
    with pytest.raises(ValueError, match=r"expected sinusoids \(N, K\), labels and lengths \(N,\)"):
        sweep_envelope(waves(*CROSSING), torch.zeros(1).long(), torch.zeros(2).double())
