"""The packaged files, and the splits made of them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from PIL import Image

from hrvlm.data import Appearance, emoji, render
from hrvlm.data.emoji_pack import tiles as sheets
from hrvlm.data.emoji_pack.pack import FILES, all_classes, read_index
from hrvlm.data.emoji_pack.splits import GROUPS, SPLITS, UNSEEN_ARTIST
from hrvlm.data.emoji_pack.tiles import artist_tiles


def pictures(split: str) -> set[tuple[str, str]]:
    data = emoji(split)
    return {(data.classes[label].hexcode, artist) for label, artist in data.items}


def test_the_files_are_small_enough_and_their_licences_stated() -> None:
    assert sum(path.stat().st_size for path in FILES.iterdir()) <= 12 * 2**20
    licences = (FILES / "LICENSES.md").read_text(encoding="utf-8")
    index = read_index()
    assert {path.stem for path in FILES.glob("*.webp")} == set(index["artists"])
    assert all(f"{artist}.webp" in licences and info["licence"] for artist, info in index["artists"].items())


def test_classes_are_many_and_have_unique_names() -> None:
    classes = all_classes()
    assert 1000 <= len(classes) <= 1600
    for key in ("name", "hexcode"):
        assert len({getattr(entry, key) for entry in classes}) == len(classes)


def test_tiles_are_drawn_exactly_where_the_index_says() -> None:
    for artist in read_index()["artists"]:
        tiles = artist_tiles(artist)
        assert tiles.shape == (len(all_classes()), 4, 64, 64)
        assert tiles.dtype == torch.uint8
        declared = torch.tensor([artist in entry.artists for entry in all_classes()])
        drawn = tiles[:, 3].flatten(1).any(dim=1)
        assert torch.equal(drawn, declared), artist


@pytest.mark.parametrize(("artist", "row", "column"), [("noto", 0, 3), ("openmoji", 7, 11)])
def test_tiles_are_cut_out_of_the_sheet_row_by_row(artist: str, row: int, column: int) -> None:
    box = (column * 64, row * 64, column * 64 + 64, row * 64 + 64)
    with Image.open(FILES / f"{artist}.webp") as sheet:
        cut = sheet.convert("RGBA").crop(box)
    tile = artist_tiles(artist)[row * read_index()["columns"] + column]
    assert cut.tobytes() == tile.permute(1, 2, 0).contiguous().numpy().tobytes()


def test_unknown_artist_and_damaged_sheet_are_refused(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="expected an artist of"):
        artist_tiles("rembrandt")
    read_index()  # the real index, kept, with sheets that are not there
    monkeypatch.setattr(sheets, "FILES", tmp_path)
    artist_tiles.cache_clear()
    with pytest.raises(ValueError, match=r"expected a readable WebP sheet at .*noto\.webp"):
        artist_tiles("noto")


@pytest.mark.parametrize(("split", "classes"), [(s, 56 if s == "unseen_classes" else 501) for s in SPLITS])
def test_labels_are_positions_in_the_class_names(split: str, classes: int) -> None:
    data = emoji(split)
    assert len(set(data.class_names)) == len(data.class_names) == classes
    assert len(pictures(split)) == len(data) == len(data.items)
    assert {entry.group for entry in data.classes} <= set(GROUPS)
    for index in (0, len(data) // 2, len(data) - 1):
        label, artist = data.items[index]
        image, found = data[index]
        assert found == label
        entry = next(entry for entry in all_classes() if entry.name == data.class_names[label])
        assert torch.equal(image, render(artist_tiles(artist)[entry.tile][None], [Appearance()])[0])
        assert image.shape == (3, 64, 64)
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1


def test_splits_share_nothing_that_they_should_not() -> None:
    found = {split: pictures(split) for split in SPLITS}
    assert sum(map(len, found.values())) == len(set().union(*found.values()))
    unseen = {hexcode for hexcode, _ in found["unseen_classes"]}
    seen = found["train"] | found["validation"]
    assert not unseen & {hexcode for hexcode, _ in seen | found["unseen_artist"]}
    assert UNSEEN_ARTIST not in {artist for _, artist in seen}
    assert {artist for _, artist in found["unseen_artist"]} == {UNSEEN_ARTIST}
    assert {artist for _, artist in found["unseen_classes"]} == set(read_index()["artists"])


def test_splits_leave_no_picture_of_their_classes_out() -> None:
    chosen = {entry.hexcode for split in ("train", "unseen_classes") for entry in emoji(split).classes}
    expected = {(e.hexcode, artist) for e in all_classes() if e.hexcode in chosen for artist in e.artists}
    assert set().union(*map(pictures, SPLITS)) == expected


def test_every_class_is_trained_on_and_validation_is_about_a_twentieth() -> None:
    train, validation = emoji("train"), emoji("validation")
    drawn = Counter(label for label, _ in train.items)
    assert set(drawn) == set(range(501))
    assert emoji("unseen_artist").class_names == validation.class_names == train.class_names
    assert {label for label, _ in emoji("unseen_artist").items} == set(range(501))
    assert 0.03 < len(validation) / (len(train) + len(validation)) < 0.07


def test_a_batch_is_its_items_and_an_appearance_holds_for_all() -> None:
    look = Appearance(size=0.8, rotation=15.0, background=(0.2, 0.3, 0.9))
    data = emoji("unseen_artist", appearance=look)
    indices = [3, 400, 17]
    for index, (image, label) in zip(indices, data.__getitems__(indices), strict=True):
        assert label == data[index][1] == data.items[index][0]
        assert torch.equal(image, data[index][0])
    assert torch.equal(data.shown(17, [look, Appearance()])[0], data[17][0])
    assert torch.equal(data.shown(17, [look, Appearance()])[1], emoji("unseen_artist")[17][0])


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected split of .*unseen_classes.*, got 'test'"):
        emoji("test")
