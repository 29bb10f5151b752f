"""Choosing tokens: against brute force over lists of numbers, and the frequencies of many choices."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from hrvlm.generative import Decoding, choose_tokens, token_probabilities

LOGIT = st.floats(-6, 6, allow_nan=False, width=32)


def brute_force(logits: list[float], decoding: Decoding) -> list[float]:
    """The distribution after temperature, top-k and top-p, with Python's numbers and sorting."""
    largest = max(logits)
    weights = [math.exp((logit - largest) / decoding.temperature) for logit in logits]
    ranked = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    ranked = ranked[: decoding.top_k]
    total = math.fsum(weights[token] for token in ranked)
    kept: dict[int, float] = {}
    for token in ranked:
        if decoding.top_p is not None and math.fsum(kept.values()) >= decoding.top_p:
            break
        kept[token] = weights[token] / total
    total = math.fsum(kept.values())
    return [kept.get(token, 0.0) / total for token in range(len(weights))]


def inverted(probabilities: list[float], uniform: float) -> int:
    """The first token at which the distribution function exceeds the number."""
    below = 0.0
    for token, probability in enumerate(probabilities):
        below += probability
        if uniform < below:
            return token
    return max(token for token, probability in enumerate(probabilities) if probability > 0)


@given(
    st.lists(LOGIT, min_size=1, max_size=9),
    st.floats(0.2, 3),
    st.none() | st.integers(1, 10),
    st.none() | st.floats(0.05, 1),
    st.floats(0, 1, exclude_max=True, width=32),
)
@settings(deadline=None, max_examples=150)
def test_choices_equal_brute_force(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None, uniform: float
) -> None:
    decoding = Decoding(temperature=temperature, top_k=top_k, top_p=top_p)
    expected = brute_force(logits, decoding)
    found = token_probabilities(torch.tensor([logits]), decoding)[0].tolist()
    cumulative = [math.fsum(expected[: token + 1]) for token in range(len(expected))]
    if top_p is None or all(abs(share - top_p) > 1e-9 for share in shares(logits, decoding)):
        assert found == pytest.approx(expected, abs=1e-9)
        if all(abs(uniform - end) > 1e-9 for end in cumulative):
            chosen = choose_tokens(torch.tensor([logits]), decoding, torch.tensor([uniform]))
            assert chosen.tolist() == [inverted(expected, uniform)]


def shares(logits: list[float], decoding: Decoding) -> list[float]:
    """The sums that top_p is compared with; rounding may decide where one is equal to it."""
    ranked = sorted(brute_force(logits, Decoding(temperature=decoding.temperature, top_k=decoding.top_k)), reverse=True)
    return [math.fsum(ranked[: count + 1]) for count in range(len(ranked))]


@pytest.mark.parametrize(
    "decoding",
    [Decoding(temperature=1.0), Decoding(temperature=0.7, top_k=4), Decoding(temperature=1.5, top_p=0.8)],
    ids=["plain", "top_k", "top_p"],
)
def test_frequencies_follow_the_distribution(decoding: Decoding) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.9, 1.5, -0.2])
    uniforms = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    counts = choose_tokens(logits.expand(len(uniforms), -1), decoding, uniforms).bincount(minlength=6).double()
    probabilities = torch.tensor(brute_force(logits.tolist(), decoding), dtype=torch.float64)
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible], probabilities[possible] * len(uniforms)).pvalue > 1e-3


def test_every_row_has_its_own_number_and_its_own_distribution() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, uniforms = torch.randn(40, 11, generator=generator), torch.rand(40, generator=generator)
    decoding = Decoding(temperature=0.9, top_k=7, top_p=0.9)
    alone = [choose_tokens(logits[i : i + 1], decoding, uniforms[i : i + 1]).item() for i in range(40)]
    assert choose_tokens(logits, decoding, uniforms).tolist() == alone
    assert len(set(alone)) > 3


@pytest.mark.parametrize("largest", [1 - 2.0**-24, 1 - 2.0**-53])
def test_the_ends_of_the_unit_interval_choose_possible_tokens(largest: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, 1.0, -math.inf, 2.0, -math.inf]])
    uniforms = torch.tensor([largest], dtype=torch.float64)
    decoding = Decoding(temperature=1.0)
    assert choose_tokens(logits, decoding, uniforms).item() == 4
    assert choose_tokens(logits, decoding, torch.zeros(1)).item() == 1


def test_equal_tokens_are_kept_in_their_order() -> None:
    found = token_probabilities(torch.zeros(1, 5), Decoding(temperature=1.0, top_k=2))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0, 0, 0]], dtype=torch.float64))


def test_top_p_counts_what_top_k_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    found = token_probabilities(logits, Decoding(temperature=1.0, top_k=2, top_p=0.55))  # 4/7 is enough alone
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64))


def test_greedy_takes_the_largest_and_needs_no_numbers() -> None:
    logits: Tensor = torch.tensor([[0.0, 3.0, 1.0], [5.0, 5.0, -1.0]])
    assert choose_tokens(logits, Decoding()).tolist() == [1, 0]
    with pytest.raises(ValueError, match="greedy decoding, which draws from nothing"):
        token_probabilities(logits, Decoding())


@pytest.mark.parametrize(
    ("uniforms", "message"),
    [
        (None, "got None"),
        (torch.rand(3), r"shape \(2,\), got \(3,\)"),
        (torch.tensor([0.5, 1.0]), r"in \[0, 1\)"),
        (torch.tensor([0.5, math.nan]), r"in \[0, 1\)"),
        (torch.tensor([-0.1, 0.5]), r"in \[0, 1\)"),
    ],
)
def test_random_decoding_refuses_numbers_that_do_not_fit(uniforms: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_tokens(torch.zeros(2, 4), Decoding(temperature=1.0), uniforms)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens >= 1"),
        ({"temperature": -1.0}, "temperature as a finite"),
        ({"temperature": math.nan}, "temperature as a finite"),
        ({"temperature": 1.0, "top_k": 0}, "top_k >= 1"),
        ({"temperature": 1.0, "top_p": 0.0}, r"top_p in \(0, 1\]"),
        ({"temperature": 1.0, "top_p": 1.5}, r"top_p in \(0, 1\]"),
        ({"top_k": 5}, "temperature 0, which is greedy"),
    ],
)
def test_settings_out_of_range_are_refused(settings_: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Decoding(**settings_)  # type: ignore[arg-type]


def test_settings_survive_a_row() -> None:
    decoding = Decoding(max_new_tokens=7, temperature=0.5, top_k=3)
    assert Decoding.from_row(decoding.to_row()) == decoding
    with pytest.raises(ValueError, match="unknown beams"):
        Decoding.from_row({"beams": 4})


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(temperature=0.7), Decoding(temperature=1.0, top_p=0.9)])
def test_logits_that_are_none_choose_no_token(decoding: Decoding) -> None:
    inf, nan = torch.inf, torch.nan
    logits = torch.tensor([[0.0, -inf, 1.0], [nan, 0, 1], [0, inf, 1], [-inf, -inf, -inf], [5, -inf, nan], [3, 2, 1]])
    chosen = choose_tokens(logits, decoding, torch.full((6,), 0.5))
    assert chosen.tolist() == [2, -1, -1, -1, -1, 0]
