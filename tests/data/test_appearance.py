"""Rendering against direct formulae on the pixels."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hrvlm.data import Appearance, render, sequence
from hrvlm.data.emoji_pack.captions import random_look


def random_tiles(count: int = 1, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 4, height, width), generator=generator, dtype=torch.uint8)


def opaque(colours: Tensor) -> Tensor:
    """A tile (1, 4, H, W) without transparency from uint8 colours (3, H, W)."""
    return torch.cat([colours, torch.full_like(colours[:1], 255)])[None]


def smooth_tile() -> Tensor:
    """A black blob off the centre that fades out: every turn and shift shows, none makes a jump."""
    y, x = torch.meshgrid(torch.arange(65), torch.arange(65), indexing="ij")
    tile = torch.zeros(1, 4, 65, 65, dtype=torch.uint8)
    tile[:, 3] = (torch.exp(-((y - 20) ** 2 + 2 * (x - 40) ** 2) / 90) * 255).to(torch.uint8)
    return tile


def shown(tile: Tensor, **parameters: object) -> Tensor:
    return render(tile, [Appearance(**parameters)])[0]  # type: ignore[arg-type]


def test_default_is_the_tile_composited_on_white() -> None:
    tiles = random_tiles(3, 64, 64)
    rgba = tiles.numpy().astype(np.float64) / 255
    expected = rgba[:, :3] * rgba[:, 3:] + (1 - rgba[:, 3:])
    images = render(tiles, [Appearance()] * 3)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), expected, rtol=0, atol=1e-7)


def test_transparent_pixels_show_exactly_the_background() -> None:
    tile = random_tiles()
    tile[:, 3, :10] = 0
    background = (0.2, 0.55, 0.9)
    image = shown(tile, background=background, hue=50.0, greyscale=0.3)
    assert torch.equal(image[:, :10], torch.tensor(background)[:, None, None].expand(3, 10, 32))


def test_no_colour_bleeds_from_transparent_pixels() -> None:
    """A white disc on transparent black, on white, is white whatever the resampling."""
    tile = torch.zeros(1, 4, 32, 32, dtype=torch.uint8)
    tile[:, :, 10:20, 10:20] = 255
    image = shown(tile, rotation=33.0, size=0.77, shift_x=0.031)
    torch.testing.assert_close(image, torch.ones_like(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [0.5, 2.0])
def test_size_scales_the_extent(size: float) -> None:
    tile = torch.zeros(1, 4, 64, 64, dtype=torch.uint8)
    tile[:, 3, 20:44, 24:40] = 255
    ink = 1 - shown(tile, size=size)[0]
    assert float(ink.sum(0).max()) == pytest.approx(24 * size, abs=0.5)
    assert float(ink.sum(1).max()) == pytest.approx(16 * size, abs=0.5)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_is_anticlockwise(quarters: int) -> None:
    tile = random_tiles()
    expected = torch.rot90(shown(tile), quarters, dims=(1, 2))
    torch.testing.assert_close(shown(tile, rotation=90.0 * quarters), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(shown(tile, rotation=90.0 * quarters - 360), expected, rtol=0, atol=1e-4)


def test_a_full_turn_changes_nothing() -> None:
    tile = random_tiles()
    torch.testing.assert_close(shown(tile, rotation=360.0), shown(tile), rtol=0, atol=1e-4)


def test_rotation_keeps_shapes_in_a_frame_that_is_not_square() -> None:
    tall, square = torch.zeros(1, 4, 48, 32, dtype=torch.uint8), torch.zeros(1, 4, 32, 32, dtype=torch.uint8)
    tall[:, 3, 20:28, 6:26], square[:, 3, 12:20, 6:26] = 255, 255
    for angle in (30.0, 90.0):
        inside = shown(tall, rotation=angle)[:, 8:40]
        torch.testing.assert_close(inside, shown(square, rotation=angle), rtol=0, atol=1e-4)


def test_shift_is_to_the_right_and_down_and_comes_after_the_turn() -> None:
    tile = random_tiles()
    tile[:, 3, :, -8:], tile[:, 3, -4:] = 0, 0
    moved = shown(tile, shift_x=8 / 32, shift_y=4 / 32)
    torch.testing.assert_close(moved[:, 4:, 8:], shown(tile)[:, :-4, :-8], rtol=0, atol=1e-4)
    both = shown(tile, shift_x=8 / 32, rotation=90.0)
    torch.testing.assert_close(both[:, :, 8:], shown(tile, rotation=90.0)[:, :, :-8], rtol=0, atol=1e-4)


def test_hue_120_passes_the_channels_on() -> None:
    tile = random_tiles()
    image = shown(tile, background=(0.3, 0.3, 0.3), hue=120.0)
    expected = shown(tile, background=(0.3, 0.3, 0.3))[[2, 0, 1]]
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)


def test_hue_turns_red_towards_green() -> None:
    """The direction is the usual one, as in HSV: 60 degrees of red is on the way through yellow to green."""
    red = opaque(torch.tensor([150, 60, 60], dtype=torch.uint8)[:, None, None].expand(3, 4, 4))
    for degrees in (30.0, 90.0, 200.0):
        pixel = shown(red, hue=degrees)[:, 0, 0].tolist()
        assert colorsys.rgb_to_hsv(*pixel)[0] * 360 == pytest.approx(degrees, abs=8)


def test_greyscale_gives_the_luma_of_bt601() -> None:
    colours = torch.tensor([[255, 0, 0, 10], [0, 255, 0, 200], [0, 0, 255, 90]], dtype=torch.uint8)
    image = shown(opaque(colours[:, None, :]), greyscale=1.0)
    expected = torch.tensor([0.299, 0.587, 0.114, (0.299 * 10 + 0.587 * 200 + 0.114 * 90) / 255])
    torch.testing.assert_close(image, expected.expand(3, 1, 4))
    half = shown(opaque(colours[:, None, :]), greyscale=0.5)
    torch.testing.assert_close(half, (image + colours[:, None, :] / 255) / 2)


def test_brightness_is_a_factor_on_the_whole_picture_and_is_clamped() -> None:
    tile, background = random_tiles(), (0.9, 0.1, 0.4)
    plain = shown(tile, background=background)
    torch.testing.assert_close(shown(tile, background=background, brightness=0.5), plain * 0.5)
    bright = shown(tile, background=background, brightness=2.0)
    torch.testing.assert_close(bright, (plain * 2).clamp(max=1))
    assert bright.max() == 1.0


def test_a_picture_is_the_same_in_any_batch() -> None:
    generator = np.random.default_rng(3)
    looks = [Appearance() if i % 3 == 0 else random_look(generator).appearance for i in range(12)]
    tiles = random_tiles(12, 24, 24)
    alone = torch.cat([render(tiles[i : i + 1], [looks[i]]) for i in range(12)])
    assert torch.equal(render(tiles, looks), alone)


def test_sequence_moves_every_parameter_evenly_and_ends_exactly() -> None:
    start = Appearance(size=0.7, rotation=10.0, background=(0.1, 0.9, 0.3), hue=5.0, shift_x=-0.1, shift_y=0.2)
    stop = Appearance(size=1.3, rotation=-20.0, background=(0.7, 0.2, 0.3), greyscale=0.9, brightness=1.7)
    steps = sequence(start, stop, 11)
    assert len(steps) == 11
    assert steps[0] == start
    assert steps[-1] == stop
    for name in ("size", "rotation", "hue", "greyscale", "brightness", "shift_x", "shift_y"):
        values = [getattr(step, name) for step in steps]
        np.testing.assert_allclose(values, np.linspace(values[0], values[-1], 11), atol=1e-12)
    backgrounds = np.array([step.background for step in steps])
    np.testing.assert_allclose(backgrounds, np.linspace(start.background, stop.background, 11), atol=1e-12)


def test_small_steps_of_a_sequence_change_the_picture_little() -> None:
    tile, steps = smooth_tile(), sequence(Appearance(), Appearance(rotation=20.0, size=0.8, brightness=0.7), 21)
    images = render(tile.expand(21, -1, -1, -1), steps)
    changes = (images[1:] - images[:-1]).abs().amax(dim=(1, 2, 3))
    assert changes.min() > 0.01
    assert changes.max() < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0.0),
        ("size", float("nan")),
        ("greyscale", 1.1),
        ("greyscale", -0.1),
        ("brightness", 4.5),
        ("rotation", float("nan")),
        ("hue", float("inf")),
        ("shift_x", float("nan")),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {name} .* got {value}"):
        replace(Appearance(), **{name: value})


@pytest.mark.parametrize("background", [(0.1, 0.2), (0.1, 0.2, 1.2), (float("nan"), 0.0, 0.0)])
def test_background_out_of_range_is_refused(background: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected background as three numbers"):
        Appearance(background=background)  # type: ignore[arg-type]


def test_wrong_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 tiles"):
        render(random_tiles(3), [Appearance()] * 2)
    with pytest.raises(ValueError, match="expected 1 tiles"):
        render(random_tiles()[:, :3], [Appearance()])
    with pytest.raises(ValueError, match="uint8"):
        render(random_tiles().float() / 255, [Appearance()])
    with pytest.raises(ValueError, match="steps >= 2"):
        sequence(Appearance(), Appearance(), 1)
