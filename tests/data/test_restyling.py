"""Changes of style against what each of them means, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hrvlm.data import emoji
from hrvlm.data.restyling import Style, random_style, restyle


@pytest.fixture(scope="module")
def tiles() -> torch.Tensor:
    return emoji("train").tiles(range(0, 2000, 250))


def opaque(colours: torch.Tensor) -> torch.Tensor:
    return torch.cat([colours, torch.full_like(colours[:, :1], 255)], 1)


def close(first: torch.Tensor, second: torch.Tensor, tolerance: int) -> bool:
    return int((first.int() - second.int()).abs().max()) <= tolerance


def shown(tiles: torch.Tensor) -> torch.Tensor:
    """Colours times alpha: what a transparent pixel's colour is does not matter."""
    return tiles[:, :3].float() * tiles[:, 3:].float() / 255


def test_the_default_style_changes_nothing(tiles: torch.Tensor) -> None:
    found = restyle(tiles, [Style()] * len(tiles))
    assert torch.equal(found[:, 3], tiles[:, 3])
    assert (shown(found) - shown(tiles)).abs().max() <= 1.0


def test_mirrored_pictures_are_flipped(tiles: torch.Tensor) -> None:
    found = restyle(tiles, [Style(mirrored=True)] * len(tiles))
    assert (shown(found) - shown(tiles).flip(3)).abs().max() <= 1.0


def test_each_picture_gets_its_own_style(tiles: torch.Tensor) -> None:
    generator = np.random.default_rng(0)
    styles = [random_style(generator) for _ in tiles]
    together = restyle(tiles, styles)
    for i, style in enumerate(styles):
        assert close(together[i], restyle(tiles[i : i + 1], [style])[0], 1)


def test_stretch_is_the_logarithm_of_width_over_height() -> None:
    disc = torch.zeros(1, 4, 64, 64, dtype=torch.uint8)
    y, x = np.mgrid[:64, :64] - 31.5
    disc[0, :, torch.from_numpy(np.hypot(x, y) < 20)] = 255
    alpha = restyle(disc, [Style(stretch=0.4)])[0, 3].float() / 255
    width, height = alpha.sum(1).max(), alpha.sum(0).max()
    assert np.log(float(width / height)) == pytest.approx(0.4, abs=0.05)
    assert float(alpha.sum()) == pytest.approx(np.pi * 400, rel=0.03)


def test_shear_moves_rows_sideways_in_proportion_to_their_height() -> None:
    bar = torch.zeros(1, 4, 64, 64, dtype=torch.uint8)
    bar[:, :, :, 30:34] = 255
    alpha = restyle(bar, [Style(shear=0.2)])[0, 3].float()
    centres = (alpha * torch.arange(64)).sum(1) / alpha.sum(1)
    slopes = centres.diff()
    assert slopes.mean().abs() == pytest.approx(0.2, abs=0.01)
    assert slopes.std() < 0.1


def test_colours_are_cast_saturated_and_contrasted_in_that_order() -> None:
    generator = torch.Generator().manual_seed(0)
    tile = opaque(torch.randint(60, 200, (1, 3, 8, 8), generator=generator, dtype=torch.uint8))
    style = Style(gains=(0.9, 1.0, 1.1), saturation=0.7, contrast=1.2)
    colours = tile[0, :3].double().numpy() / 255 * np.array([0.9, 1.0, 1.1])[:, None, None]
    grey = colours.mean(0)
    expected = 0.5 + (grey + (colours - grey) * 0.7 - 0.5) * 1.2
    found = restyle(tile, [style])[0, :3].numpy() / 255
    assert np.abs(found - expected).max() <= 1 / 255


@pytest.mark.parametrize(("lines", "width"), [(1.0, 5), (0.0, 3), (-1.0, 1)])
def test_dark_lines_grow_and_shrink_by_a_pixel_on_each_side(lines: float, width: int) -> None:
    picture = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    picture[..., 6:9] = 0
    found = restyle(opaque(picture), [Style(lines=lines)])
    assert int((found[0, 0, 8] < 128).sum()) == width


def test_softness_spreads_a_point_over_its_neighbours() -> None:
    point = torch.zeros(1, 4, 9, 9, dtype=torch.uint8)
    point[:, :, 4, 4] = 255
    alpha = restyle(point, [Style(softness=1.0)])[0, 3].float()
    assert torch.equal(alpha > 0, torch.nn.functional.pad(torch.ones(3, 3), (3, 3, 3, 3)) > 0)
    assert alpha[4, 4] == pytest.approx(255 / 9, abs=1)


def test_a_hole_is_where_the_style_says() -> None:
    tile = torch.full((1, 4, 20, 20), 200, dtype=torch.uint8)
    alpha = restyle(tile, [Style(hole=(0.25, 0.5, 0.3, 0.2))])[0, 3]
    expected = torch.full((20, 20), 200, dtype=torch.uint8)
    expected[10:14, 5:11] = 0
    assert torch.equal(alpha, expected)


def test_transparent_pixels_draw_no_lines() -> None:
    tile = torch.zeros(1, 4, 16, 16, dtype=torch.uint8)  # transparent black around a white square
    tile[:, :, 4:12, 4:12] = 255
    found = restyle(tile, [Style(lines=1.0)])
    assert found[0, :3, 4:12, 4:12].min() >= 254


def test_random_styles_use_every_change_and_keep_most_of_the_picture(tiles: torch.Tensor) -> None:
    generator = np.random.default_rng(1)
    styles = [random_style(generator) for _ in range(300)]
    plain = Style()
    for name in Style.__dataclass_fields__:
        changed = sum(getattr(style, name) != getattr(plain, name) for style in styles)
        assert 0.2 * len(styles) < changed, name
    for style in styles[:50]:
        kept = restyle(tiles, [replace(style, stretch=0.0)] * len(tiles))[:, 3].float().sum()
        assert kept > 0.55 * tiles[:, 3].float().sum()


@pytest.mark.parametrize("wrong", [torch.zeros(1, 4, 8, 8), torch.zeros(2, 4, 8, 8, dtype=torch.uint8)])
def test_other_than_one_style_for_each_tile_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected 1 tiles as uint8 RGBA"):
        restyle(wrong, [Style()])
