"""Data sets say what they hold; and the package what it offers."""

from __future__ import annotations

from pathlib import Path

import hrvlm
from hrvlm.data import emoji, open_images
from hrvlm.data.folder import FolderDataset
from hrvlm.data.sources.listed import ListedPictures


def test_data_sets_tell_their_split_and_size(pictures: Path) -> None:
    assert repr(emoji("unseen_artist")) == "EmojiDataset('unseen_artist', 501 images of 501 classes)"
    assert repr(FolderDataset(pictures, image_size=32)) == "FolderDataset(32 images of 8 classes)"
    assert repr(ListedPictures(["a.png", "b.png"], [-1, -1], image_size=8)) == "ListedPictures(2 images)"
    assert repr(open_images(str(pictures), image_size=32)).startswith("ImageCollection('")


def test_the_package_lists_what_can_be_asked_for() -> None:
    assert set(hrvlm.__all__) <= set(dir(hrvlm))
    assert not {"Any", "TYPE_CHECKING", "import_module", "_MODULE_OF"} & set(dir(hrvlm))
