from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm

from hrvlm.certificates import Sample, SmoothingPlan, Statement, certify, grid_noise, verify_rows
from hrvlm.certificates.noise.grid import _decided, _settle, _table, grid_copies, on_grid

SHAPE = (3, 64, 64)


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.25, 1.0])
def test_thresholds_are_the_normal_law_to_192_bits(sigma):
    exact = _table(sigma).exact
    assert len(exact) == 510
    assert all(a <= b for a, b in pairwise(exact))
    with mpmath.workdps(90):
        for k in (-255, -254, -40, -3, -1, 0, 1, 17, 254):
            value = mpmath.ncdf((mpmath.mpf(k) + mpmath.mpf(1) / 2) / (255 * mpmath.mpf(sigma)))
            assert exact[k + 255] == min(2**192 - 1, int(mpmath.floor(value * 2**192)))


@pytest.mark.parametrize("sigma", [0.005, 0.1, 0.25, 0.8])
def test_noise_has_the_law_of_a_rounded_gaussian(sigma):
    """Chi-square against exact probabilities, tails pooled."""
    noise = grid_noise(SHAPE, 5, 77, range(40), sigma).ravel()
    edges = (np.arange(-255, 255) + 0.5) / (255 * sigma)
    mass = np.diff(norm.cdf(edges), prepend=0.0, append=1.0)
    counts = np.bincount(noise + 255, minlength=511)
    rare = mass * noise.size < 20
    observed, expected = np.append(counts[~rare], counts[rare].sum()), np.append(mass[~rare], mass[rare].sum())
    if expected[-1] * noise.size < 5:
        observed, expected = observed[:-1], expected[:-1] / expected[:-1].sum()
    assert chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-4
    assert abs(int(noise.min())) <= 255


def test_every_cell_of_the_table_is_that_of_the_thresholds():
    """Leading bits decide only where every continuation gives the same noise."""
    table = _table(0.25)
    starts = np.arange(2**16)
    for start in starts[:: 2**6]:
        low, high = (
            _settle(table, [int(start) << 48, 0, 0]),
            _settle(table, [(int(start) << 48) | (2**48 - 1), 2**64 - 1, 2**64 - 1]),
        )
        if low == high:
            assert table.guide[start] == low
        else:
            assert table.divided[table.guide[start] - 1000] == start
    share = (table.guide >= 1000).mean()
    assert 0 < share < 0.02


def test_more_bits_continue_the_leading_ones():
    """Against all 192 bits in one integer, some of which agree with a threshold for long."""
    table = _table(0.25)
    generator = np.random.Generator(np.random.PCG64(3))
    marks = np.arange(len(table.divided), dtype=np.int16).repeat(20)
    later = generator.integers(0, 2**64, (len(marks), 3), dtype=np.uint64)
    for k, mark in enumerate(marks[::20].tolist()):  # one as close to its threshold as it gets
        cell = int(table.divided[mark])
        exact = next(threshold for threshold in table.exact if threshold >> 176 == cell)
        close = exact - (k % 2)
        later[20 * k] = [(close >> 128 & 2**48 - 1) << 16, close >> 64 & 2**64 - 1, close & 2**64 - 1]
    found = _decided(table, marks, later)
    for mark, (first, second, third), noise in zip(marks.tolist(), later.tolist(), found.tolist(), strict=True):
        whole = int(table.divided[mark]) << 176 | (first >> 16) << 128 | second << 64 | third
        assert noise == sum(threshold <= whole for threshold in table.exact) - 255


def test_ties_with_a_threshold_are_settled_by_more_bits():
    table = _table(0.25)
    threshold = table.exact[300]
    words = [threshold >> 128, (threshold >> 64) & (2**64 - 1), threshold & (2**64 - 1)]
    assert _settle(table, words) == 300 + 1 - 255
    below = threshold - 1
    assert _settle(table, [below >> 128, (below >> 64) & (2**64 - 1), below & (2**64 - 1)]) == 300 - 255


def test_a_draw_depends_on_its_address_only():
    whole = grid_noise((3, 5, 7), 9, 8, range(12), 0.25)
    np.testing.assert_array_equal(grid_noise((3, 5, 7), 9, 8, [7, 2, 2], 0.25), whole[[7, 2, 2]])
    large = grid_noise(SHAPE, 9, 8, range(5), 0.25)  # in every draw some pixels need more bits
    np.testing.assert_array_equal(grid_noise(SHAPE, 9, 8, [3, 1], 0.25), large[[3, 1]])
    others = [grid_noise((3, 5, 7), *a, 0.25) for a in [(8, 8, [0]), (9, 9, [0]), (9, 8, [2**64 - 1])]]
    assert all((other != whole[:1]).any() for other in others)
    rows = grid_noise((4096,), 1, 1, range(30), 0.5).astype(float)
    correlation = np.corrcoef(rows) - np.eye(30)
    assert np.abs(correlation).max() < 6 / 64


def test_copies_lie_on_the_grid_and_are_image_plus_noise():
    image = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    copies = torch.empty(20, 3, 8, 8)
    grid_copies(copies, image, 4, 6, range(20), 0.25)
    whole = (image * 255).round().long().numpy() + grid_noise((3, 8, 8), 4, 6, range(20), 0.25)
    expected = torch.tensor(np.clip(whole, 0, 255)).float() / 255
    assert torch.equal(copies, expected)
    assert torch.equal(on_grid(image), image)
    assert torch.equal(on_grid(image + 0.3 / 255), image)
    with pytest.raises(ValueError, match="expected image 6 on the 8-bit grid"):
        grid_copies(copies, image + 0.3 / 255, 4, 6, range(20), 0.25)
    with pytest.raises(ValueError, match="expected image 6 on the 8-bit grid"):
        grid_copies(copies, torch.full_like(image, torch.nan), 4, 6, range(20), 0.25)
    for room in (copies.contiguous(memory_format=torch.channels_last), copies[1:], copies.double()):
        with pytest.raises(ValueError, match="expected a contiguous float32 tensor of 20 draws"):
            grid_copies(room, image, 4, 6, range(20), 0.25)
    for arguments in [(-1, 0, [0], 0.1), (0, 2**32, [0], 0.1), (0, 0, [-1], 0.1)]:
        with pytest.raises(ValueError, match=r"expected (seed|index|draw) as an integer"):
            grid_noise((2,), *arguments)
    for sigma in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected sigma"):
            grid_noise((2,), 0, 0, [0], sigma)


def test_certificates_by_grid_noise_say_so_and_hold():
    """A half-space of the pixel: the certified radius reaches at most to the boundary that rounding moves by half."""
    statement = Statement("k", "t", 0, "leaf", 2)
    plan = SmoothingPlan(sigma=0.25, n0=10, n=200, alpha=0.05, seed=2, noise="grid")
    image = torch.full((1, 1, 1), 204 / 255)
    inputs = [Sample(i, image, {"k": 1}) for i in range(300)]
    found = certify(lambda x: {"k": (x[:, 0, 0, 0] > 0.5).long()}, inputs, [statement], plan, batch_size=500)
    records = [record for [record] in found]
    margin = (204 - 127.5) / 255
    false = sum(r.radius > margin or (r.prediction == 0 and not r.abstain) for r in records)
    assert false <= 15 + 4 * 15**0.5
    assert np.mean([r.radius for r in records]) > 0.6 * margin
    assert records[0].float_mode == "integer noise on the 8-bit grid"
    assert "sound in floating point" in records[0].statement
    assert "not sound" not in records[0].statement
    assert verify_rows(record.to_row() for record in records) == []
