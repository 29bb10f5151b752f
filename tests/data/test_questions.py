"""Manifests of questions: what they say, and what they must not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hrvlm.data.questions import asks_questions, open_questions, questions_digest, questions_of, read_questions


def picture(folder: Path, name: str = "a.png") -> None:
    Image.new("RGB", (12, 8), (255, 0, 0)).save(folder / name)


def manifest(folder: Path, *rows: Any) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_lines_of_a_manifest(tmp_path: Path) -> None:
    picture(tmp_path)
    first = {"path": "a.png", "prompt": "what is it?", "reference": ["red", "a red square"]}
    second = {"path": "a.png", "prompt": "tell me how", "forbidden": "first, take"}
    path = manifest(tmp_path, first, second)
    assert asks_questions(str(path))
    questions = read_questions(path)
    assert [(q.path, q.prompt, q.references, q.forbidden) for q in questions] == [
        (tmp_path / "a.png", "what is it?", ("red", "a red square"), ()),
        (tmp_path / "a.png", "tell me how", (), ("first, take",)),
    ]
    data = open_questions(str(path), image_size=16)
    assert questions_of(data) == questions
    assert (len(data), data[1][0].shape, data[1][1]) == (2, (3, 16, 16), -1)
    assert questions_digest(questions) != questions_digest(questions[::-1])
    with pytest.raises(ValueError, match=r"expected no split of .*questions.jsonl, which has none, got 'train'"):
        open_questions(str(path), split="train")


def test_the_same_as_a_table(tmp_path: Path) -> None:
    picture(tmp_path)
    path = tmp_path / "questions.csv"
    path.write_text('path,prompt,reference,forbidden\na.png,"what, then?",red,\na.png,how,,\n', encoding="utf-8")
    assert [(q.prompt, q.references, q.forbidden) for q in read_questions(path)] == [
        ("what, then?", ("red",), ()),
        ("how", (), ()),
    ]


def test_a_manifest_of_pictures_asks_nothing(tmp_path: Path) -> None:
    picture(tmp_path)
    path = manifest(tmp_path, {"path": "a.png", "label": "red"})
    assert not asks_questions(str(path))
    assert not asks_questions("emoji:unseen_artist")
    assert questions_of([]) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected at least one question"),
        ([{"path": "a.png", "prompt": " "}], "expected a text that is not blank as 'prompt' in line 1"),
        ([{"path": "a.png"}], "found no 'prompt'"),
        ([{"path": "a.png", "prompt": "?", "label": "red"}], "got unknown .*label"),
        ([{"path": "b.png", "prompt": "?"}], "1 of 1 are missing"),
        ([{"path": "a.png", "prompt": "?"}] * 2, "expected every question once about a picture"),
        ([{"path": "a.png", "prompt": "?", "reference": [1]}], "an answer or a list of answers as 'reference'"),
        ([{"path": "a.png", "prompt": "?", "forbidden": {}}], "an answer or a list of answers as 'forbidden'"),
    ],
)
def test_what_is_wrong_is_one_sentence(rows: list[Any], message: str, tmp_path: Path) -> None:
    picture(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_questions(manifest(tmp_path, *rows))
