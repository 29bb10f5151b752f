"""The files of images beside their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hrvlm.data import emoji
from hrvlm.data.sources.collection import ImageCollection
from hrvlm.evaluation.image_files import (
    IMAGES,
    image_paths,
    read_image_paths,
    read_paths_of_several,
    write_image_paths,
    write_paths_of_several,
)


class Listed:
    """Pictures of files alone."""

    def __init__(self, *files: str) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def file(self, index: int) -> str:
        return self.files[index]


def test_paths_are_relative_to_the_folder_that_holds_all(tmp_path: Path) -> None:
    data = Listed(*(str(tmp_path / name) for name in ("a/1.png", "a/deep/2.png", "b/3.png")))
    assert image_paths(data, [1]) == {1: "a/deep/2.png"}
    kept = ImageCollection(data, name="kept", labels=[0], positions=[2])
    assert image_paths(kept, [0]) == {0: "b/3.png"}
    assert image_paths([], []) == image_paths(object(), [3]) == {}
    assert image_paths(data, []) == {}


def test_a_file_has_one_name_whichever_are_asked_for_in_a_manifest_of_any_order() -> None:
    data = Listed("/x/b/1.png", "/x/a/2.png", "/x/b/deep/3.png")
    every = image_paths(data, range(3))
    assert every == {0: "b/1.png", 1: "a/2.png", 2: "b/deep/3.png"}
    assert image_paths(data, [0]) | image_paths(data, [2]) == {0: every[0], 2: every[2]}
    chosen = ImageCollection(data, name="chosen", labels=[0, 0], positions=[2, 0])
    assert image_paths(chosen, [0, 1]) == {0: every[2], 1: every[0]}


def test_pictures_without_files_go_by_their_source() -> None:
    data = emoji("unseen_artist")
    (path,) = image_paths(data, [10]).values()
    assert path == f"twemoji/{data.class_names[data.labels()[10]]}"


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    data = Listed("/x/a/1.png", '/x/b/"ä\n.png')
    write_image_paths(tmp_path, data, [0, 1])
    assert read_image_paths(tmp_path) == {0: "a/1.png", 1: 'b/"ä\n.png'}
    assert read_paths_of_several(tmp_path) == {}
    write_paths_of_several(tmp_path, [("x", data, [1]), ("y", object(), [0]), ("z", Listed("/a/1.png"), [0])])
    assert read_paths_of_several(tmp_path) == {("x", 1): 'b/"ä\n.png', ("z", 0): "1.png"}
    assert read_image_paths(tmp_path) == {}
    write_image_paths(tmp_path / "none", object(), [0])
    assert read_image_paths(tmp_path / "none") == {}


@pytest.mark.parametrize("line", ['{"index": -1, "path": "a"}', '{"index": 0}', '{"index": 0, "path": 1}', "[]", "x"])
def test_other_lines_are_refused(line: Any, tmp_path: Path) -> None:
    (tmp_path / IMAGES).write_text(line + "\n")
    with pytest.raises(ValueError, match="expected index and path of an image in line 1"):
        read_image_paths(tmp_path)
