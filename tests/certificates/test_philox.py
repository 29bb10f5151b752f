"""Random words by address against the generator in Python's integers and its published test vectors."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from hrvlm.certificates import gaussian, grid_noise
from hrvlm.certificates.noise.kernels import CHUNK, LANE, _chunk
from hrvlm.certificates.noise.philox import address, random_words

Words = tuple[int, int, int, int]

KNOWN: list[tuple[Words, tuple[int, int], Words]] = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Counter, key and words: the known answers of philox4x32-10 published with Random123, the library of its authors."""


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Ten rounds, as section 3.2 of the paper has them, in integers of any size."""
    a, b, c, d = counter
    left, right = key
    for _ in range(10):
        one, two = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (two >> 32) ^ b ^ left, two % 2**32, (one >> 32) ^ d ^ right, one % 2**32
        left, right = (left + 0x9E3779B9) % 2**32, (right + 0xBB67AE85) % 2**32
    return a, b, c, d


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter: Words, key: tuple[int, int], words: Words) -> None:
    assert philox(counter, key) == words
    block, stream = counter[0] % 2**28, counter[0] >> 28
    found = np.empty((4, LANE), dtype=np.uint32)
    draw = np.uint64(counter[2] + 2**32 * counter[3])
    _chunk(found, block, np.uint32(stream), draw, np.uint32(counter[1]), np.array(key, dtype=np.uint32))
    assert tuple(found[:, 0].tolist()) == words


ADDRESSES = [(0, 0, 0, 0), (1, 2, 3, 4), (2**64 - 1, 2**32 - 1, 2**64 - 1, 15), (2**40 + 7, 5, 2**33 + 1, 1)]


@pytest.mark.parametrize(("seed", "index", "draw", "stream"), ADDRESSES)
def test_words_are_those_of_the_counter(seed: int, index: int, draw: int, stream: int) -> None:
    row = random_words(3 * CHUNK, seed, index, [draw], stream)[0]
    for place in (0, 1, LANE - 1, LANE, CHUNK - 1, CHUNK, 2 * CHUNK + 3 * LANE + 17):
        chunk, rest = divmod(place, CHUNK)
        lane, k = divmod(rest, LANE)
        counter = (chunk * LANE + k + (stream << 28), index, draw % 2**32, draw >> 32)
        assert row[place] == philox(counter, (seed % 2**32, seed >> 32))[lane]


def test_the_first_words_do_not_depend_on_how_many_there_are() -> None:
    whole = random_words(2 * CHUNK + 5, 3, 4, [5, 6], 1)
    for size in (0, 1, LANE, CHUNK - 1, CHUNK, CHUNK + 1):
        assert (random_words(size, 3, 4, [5, 6], 1) == whole[:, :size]).all()
    assert random_words(7, 3, 4, [], 1).shape == (0, 7)
    assert (random_words(7, 3, 4, range(6, 4, -1), 1) == whole[::-1, :7]).all()


def test_no_two_addresses_share_words() -> None:
    rows = np.concatenate([random_words(2 * CHUNK, *a[:2], [a[2]], a[3]) for a in ADDRESSES])
    near = [random_words(2 * CHUNK, 1, 2, [3], stream) for stream in (0, 1, 5)]
    near += [random_words(2 * CHUNK, 1, 2, [draw], 4) for draw in (2, 4, 3 + 2**32)]
    near += [random_words(2 * CHUNK, seed, index, [3], 4) for seed, index in ((2, 2), (1 + 2**32, 2), (1, 3))]
    words = np.concatenate([rows, *near])
    assert len(words) == 13
    assert len(np.unique(words)) >= words.size - 3  # 0.08 pairs are equal by chance


def test_bits_are_fair() -> None:
    words = random_words(64 * CHUNK, 9, 9, range(8), 2)
    for bit in range(32):
        share = ((words >> np.uint32(bit)) & 1).mean()
        assert abs(share - 0.5) < 5 * 0.5 / words.size**0.5


def test_numbers_outside_their_ranges() -> None:
    for name, arguments, bits in [
        ("seed", (-1, 0, [0]), 64),
        ("seed", (2**64, 0, [0]), 64),
        ("index", (0, 2**32, [0]), 32),
        ("index", (0, -1, [0]), 32),
        ("draw", (0, 0, [0, 2**64]), 64),
        ("draw", (0, 0, [-3]), 64),
    ]:
        with pytest.raises(ValueError, match=rf"expected {name} as an integer in \[0, 2\^{bits}\)"):
            address(*arguments)
    with pytest.raises(ValueError, match="expected stream as an integer"):
        random_words(4, 0, 0, [0], 16)
    with pytest.raises(ValueError, match="expected at most 1,073,741,824 random numbers per draw, got 1,073,741,825"):
        random_words(2**30 + 1, 0, 0, [], 0)


@pytest.mark.slow
def test_the_interpreter_makes_the_same_words_and_noise() -> None:
    """Noise is the same to the last bit without compiled code, so no operation is fused or put in another order."""
    code = (
        "from hrvlm.certificates import gaussian, grid_noise\n"
        "from hrvlm.certificates.noise.philox import random_words\n"
        "print(random_words(5, 9, 8, [2], 3).tolist(), gaussian((900,), 9, 8, [70], 1.5).tolist())\n"
        "print(grid_noise((300,), 9, 8, [70], 0.5).tolist())"
    )
    without = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore:overflow encountered", "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=without).stdout
    words, noise = random_words(5, 9, 8, [2], 3).tolist(), gaussian((900,), 9, 8, [70], 1.5).tolist()
    assert printed.splitlines() == [f"{words} {noise}", str(grid_noise((300,), 9, 8, [70], 0.5).tolist())]
