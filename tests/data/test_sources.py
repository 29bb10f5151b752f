"""Pictures of every kind of source behind one interface, and what is refused in one sentence."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from shard_files import CLASSES, write_shards
from zero_shot_files import cifar10

from hrvlm.data import chosen_classes, emoji, open_images
from hrvlm.data.manifest import Columns
from hrvlm.data.sources import kind_of
from hrvlm.data.sources.contents import contents_of
from hrvlm.evaluation.subject import data_identity
from hrvlm.trees.class_lists import ClassList

COLOURS = {"apple": (200, 30, 30), "green pear": (30, 200, 30), "plum": (90, 20, 120)}


def picture(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), COLOURS[name]).save(path)


def class_folders(folder: Path) -> Path:
    for name in COLOURS:
        for number in range(2):
            picture(folder / name.replace(" ", "_") / f"{number}.png", name)
    return folder


def colours(data: Any) -> list[tuple[int, ...]]:
    return [tuple(round(float(x) * 255) for x in data[index][0][:, 4, 4]) for index in range(len(data))]


def test_a_folder_of_class_folders_needs_no_training_folder(tmp_path: Path) -> None:
    data = open_images(str(class_folders(tmp_path / "fruit")), image_size=8)
    assert kind_of(str(tmp_path / "fruit")) == "class folders"
    assert (data.name, data.labelled, data.templates) == ("fruit", True, None)
    assert data.class_ids == ["apple", "green_pear", "plum"]
    assert data.class_names == ["apple", "green pear", "plum"]
    assert [data[index][1] for index in range(len(data))] == data.labels() == [0, 0, 1, 1, 2, 2]
    assert data[0][0].shape == (3, 8, 8)
    assert colours(data)[::2] == list(COLOURS.values())


def test_bare_pictures_have_no_labels(tmp_path: Path) -> None:
    for number, name in enumerate(COLOURS):
        picture(tmp_path / f"{number}.png", name)
    (tmp_path / "notes.txt").write_text("no picture")
    data = open_images(str(tmp_path), image_size=8)
    assert not data.labelled
    assert data.class_ids is None
    assert data.class_names is None
    assert [label for _, label in (data[index] for index in range(3))] == [-1, -1, -1]
    assert colours(data) == list(COLOURS.values())
    with pytest.raises(ValueError, match="expected classes, since the pictures of"):
        chosen_classes(None, data)


def test_a_folder_of_splits_wants_one_by_name(tmp_path: Path) -> None:
    for split in ("train", "val"):
        class_folders(tmp_path / split)
    picture(tmp_path / "val" / "plum" / "more.png", "plum")
    assert kind_of(str(tmp_path)) == "splits"
    assert len(open_images(str(tmp_path), split="val")) == 7
    assert open_images(str(tmp_path), split="train").name.endswith(":train")
    with pytest.raises(ValueError, match=r"expected split of train, val, which are the folders of folders .*got None"):
        open_images(str(tmp_path))
    with pytest.raises(ValueError, match="expected no split of"):
        open_images(str(tmp_path / "val"), split="train")


def test_class_folders_with_folders_inside_are_no_splits(tmp_path: Path) -> None:
    picture(tmp_path / "apple" / "red" / "0.png", "apple")
    picture(tmp_path / "plum" / "blue" / "0.png", "plum")
    assert open_images(str(tmp_path)).class_ids == ["apple", "plum"]


def test_emoji_keep_their_size_and_their_appearances() -> None:
    data, plain = open_images("emoji:unseen_classes"), emoji("unseen_classes")
    assert data.name == "emoji:unseen_classes"
    assert data.class_ids == data.class_names == plain.class_names
    assert torch.equal(data[7][0], plain[7][0])
    assert data.labels() == [label for label, _ in plain.items]
    assert torch.equal(data.shown(7, [plain.appearance])[0], plain[7][0])
    assert len(open_images("emoji", split="unseen_artist")) == 501
    with pytest.raises(ValueError, match="expected image_size 64 of the emoji"):
        open_images("emoji", image_size=224)
    with pytest.raises(ValueError, match="expected one split of the emoji"):
        open_images("emoji:train", split="validation")


def test_shards_by_folder_pattern_and_file(tmp_path: Path) -> None:
    braces = write_shards(tmp_path / "tars")
    whole = open_images(str(tmp_path / "tars"), image_size=8)
    assert len(whole) == 17
    assert whole.labelled
    assert whole.class_ids is None
    for source in (braces, str(tmp_path / "tars" / "*.tar")):
        same = open_images(source, image_size=8)
        assert same.labels() == whole.labels() == [number % 7 for number in range(17)]
        assert torch.equal(same[16][0], whole[16][0])
    one = open_images(str(tmp_path / "tars" / "000001.tar"), image_size=8)
    assert [label for _, label in (one[0], one[1])] == [5, 6]
    named = whole.sorted_into(ClassList(tuple(CLASSES)))
    assert named.class_ids == CLASSES
    assert named.labels() == whole.labels()
    with pytest.raises(ValueError, match=r"which are positions in it, got 2 classes for the label 6"):
        whole.sorted_into(chosen_classes("a, b"))
    (tmp_path / "tars" / "classes.txt").write_text("\n".join(CLASSES))
    assert open_images(str(tmp_path / "tars")).class_ids == CLASSES


def test_a_zero_shot_set_has_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path, monkeypatch)
    data = open_images("cifar10", root=str(tmp_path), image_size=32)
    assert data.class_names == ["airplane", "automobile", "bird"]
    assert data.templates is not None
    assert data.templates[0] == "a photo of a {}."
    assert data.labels() == [2, 0, 1, 1]
    with pytest.raises(ValueError, match="expected root, the folder that holds the zero-shot set cifar10"):
        open_images("cifar10")


MANIFESTS = {
    "fruit.csv": 'path,label\n"a/0.png",plum\na/1.png,apple\na/2.png,\n',
    "fruit.tsv": "path\tlabel\na/0.png\tplum\na/1.png\tapple\na/2.png\t\n",
    "fruit.jsonl": '{"path": "a/0.png", "label": "plum"}\n\n'
    '{"path": "a/1.png", "label": "apple"}\n{"path": "a/2.png"}\n',
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_name_pictures_and_classes(tmp_path: Path, name: str) -> None:
    for number, fruit in enumerate(("plum", "apple", "green pear")):
        picture(tmp_path / "a" / f"{number}.png", fruit)
    (tmp_path / name).write_text(MANIFESTS[name])
    data = open_images(str(tmp_path / name), image_size=8)
    assert data.class_ids == ["apple", "plum"]
    assert [data[index][1] for index in range(3)] == [1, 0, -1]
    assert not data.labelled
    assert colours(data) == [COLOURS["plum"], COLOURS["apple"], COLOURS["green pear"]]
    moved = data.sorted_into(chosen_classes("plum, pear, apple"))
    assert [moved[index][1] for index in range(3)] == moved.labels() == [0, 2, -1]


def test_a_manifest_with_other_columns(tmp_path: Path) -> None:
    picture(tmp_path / "0.png", "plum")
    (tmp_path / "list.csv").write_text("file,class,note\n0.png,3,fine\n")
    with pytest.raises(
        ValueError, match=r"expected the columns 'path' and perhaps 'label' in line 2 .*'file', 'class'"
    ):
        open_images(str(tmp_path / "list.csv"))
    columns = Columns(path="file", label="class", others=("note",))
    assert open_images(str(tmp_path / "list.csv"), columns=columns).class_ids == ["3"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "path,label\nlost.png,a\n0.png,b\ngone.png,a\n",
            r"2 of 3 are missing: '.*lost.png', '.*gone.png'; their paths",
        ),
        ("path,label\n", "expected at least one picture in the manifest"),
        ("path,label\n0.png\n", r"as many values as there are columns \(2\) in line 2 .*got fewer"),
        ("path,label\n0.png,a,b\n", "in line 2 .*got more"),
        ("label\na\n", "found no 'path'"),
        ("path,label\n,a\n", "expected the path of a picture as 'path' in line 2"),
        ("path,path\n0.png,a\n", "expected columns of different names"),
        ("path,label\n0.png,a\n0.png,b\n", "expected every picture once"),
    ],
)
def test_bad_manifests_are_refused_in_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    picture(tmp_path / "0.png", "plum")
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        open_images(str(tmp_path / "list.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "expected a JSON object in line 1"),
        ("{", "line 1"),
        ('{"path": "0.png", "label": [1]}', "as 'label' in line 1"),
    ],
)
def test_bad_json_lines_are_refused_in_a_sentence(tmp_path: Path, line: str, said: str) -> None:
    picture(tmp_path / "0.png", "plum")
    (tmp_path / "list.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=said):
        open_images(str(tmp_path / "list.jsonl"))


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, said in (
        ("nothing/here", "expected data as a folder of pictures"),
        ("https://host/pictures", "expected pictures on this machine"),
        (str(tmp_path / "empty"), "expected pictures, class folders or tar files"),
        (str(tmp_path / "*.tar"), "expected tar files that fit"),
        ("emoji:unseen", "expected split of"),
    ):
        with pytest.raises(ValueError, match=said):
            open_images(source)


def test_classes_of_the_data_are_found_by_id_or_name(tmp_path: Path) -> None:
    data = open_images(str(class_folders(tmp_path / "fruit")), image_size=8)
    by_name = data.sorted_into(chosen_classes("plum, green pear, apple, quince"))
    assert by_name.labels() == [2, 2, 1, 1, 0, 0]
    assert [by_name[index][1] for index in range(6)] == by_name.labels()
    assert by_name.class_names == ["plum", "green pear", "apple", "quince"]
    with pytest.raises(ValueError, match=r"in classes, which lacks 'apple', 'green_pear'; add them"):
        data.sorted_into(chosen_classes("plum, quince"))
    fewer = data.sorted_into(chosen_classes("plum, quince"), leave_out=True)
    assert len(fewer) == 2
    assert fewer.labels() == [0, 0]
    assert colours(fewer) == [COLOURS["plum"]] * 2
    assert [label for _, label in fewer.__getitems__([1, 0])] == [0, 0]
    with pytest.raises(ValueError, match="expected pictures of the classes in classes"):
        data.sorted_into(chosen_classes("quince, fig"), leave_out=True)
    twice = ClassList(("green_pear", "plum"), {"green_pear": "apple", "plum": "plum"})
    with pytest.raises(ValueError, match="got several for 'green_pear'"):
        data.sorted_into(twice)


def test_a_manifest_with_a_mended_label_is_another_data_set(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    found = []
    for second in ("a", "b", ""):
        labels = ["a", second, "b", "b"]
        lines = [f"{number}.png,{label}" for number, label in enumerate(labels)]
        (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
        found.append(data_identity(open_images(str(tmp_path / "list.csv"), image_size=8)))
    assert all(one != other for one, other in combinations(found, 2))


def test_a_single_picture_is_told_to_be_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"got '.*a\.jpg', which is another file$"):
        open_images(str(tmp_path / "a.jpg"))


def test_contents_are_told_before_pictures_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "folders")
    class_folders(tmp_path / "splits" / "val")
    picture(tmp_path / "bare" / "0.png", "plum")
    (tmp_path / "listed.csv").write_text("path,label\nbare/0.png,plum\nfolders/plum/0.png,\n")
    write_shards(tmp_path / "tars")
    write_shards(tmp_path / "named")
    (tmp_path / "named" / "classes.txt").write_text("\n".join(name.replace(" ", "_") + "_tree" for name in CLASSES))
    cifar10(tmp_path, monkeypatch)
    sources = [(f"{tmp_path}/{name}", None) for name in ("folders", "bare", "listed.csv", "tars", "named")]
    sources += [(f"{tmp_path}/splits", "val"), (f"{tmp_path}/cifar-10-batches-py", None), ("emoji", "unseen_artist")]
    for source, split in sources:
        told, data = contents_of(source, split), open_images(source, split=split)
        assert (told.name, list(told.labels), told.labelled) == (data.name, data.labels(), data.labelled)
        ids, names = (None if known is None else list(known) for known in (told.class_ids, told.class_names))
        assert (ids, names) == (data.class_ids, data.class_names)
        assert [str(file) for file in told.files] == [data.file(index) for index in range(len(told.files))]


def test_what_pictures_could_not_be_opened_for_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "tars")
    (tmp_path / "tars" / "classes.txt").write_text(CLASSES[0])
    picture(tmp_path / "bare" / "0.png", "plum")
    cifar10(tmp_path, monkeypatch)
    for name, split, told in (
        ("tars", None, "expected labels below 1, the number of classes"),
        ("bare", "val", "expected no split of"),
        ("cifar-10-batches-py", "val", "expected split of"),
    ):
        for reads in (contents_of, open_images):
            with pytest.raises(ValueError, match=told):
                reads(str(tmp_path / name), split=split)
