"""Rows of files by image, wherever in the files they lie."""

from __future__ import annotations

import json
from pathlib import Path

from hrvlm.rows.images import ImageRows


def line(index: int, text: str) -> bytes:
    return json.dumps({"index": index, "text": text}, ensure_ascii=False).encode()


def test_rows_of_an_image_are_found_where_they_lie_and_lines_of_none_between_them(tmp_path: Path) -> None:
    first = [line(3, "a"), line(3, "ä"), b"", line(3, "b"), line(1, "c"), line(3, "d"), b"[]", line(1, "e")]
    second = [line(1, "f"), line(3, "ä"), line(3, "g")]  # one of which a killed run left in both
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    paths[0].write_bytes(b"\n".join(first) + b'\n{"index": 3, "te')
    paths[1].write_bytes(b"\n".join(second) + b"\n")
    rows = ImageRows(paths)
    assert rows.count == len(first) + len(second)
    assert rows.torn
    assert rows.odd == [("one.jsonl, line 3", b""), ("one.jsonl, line 7", b"[]")]
    assert list(rows) == [
        [("one.jsonl, line 5", first[4]), ("one.jsonl, line 8", first[7]), ("two.jsonl, line 1", second[0])],
        [
            ("one.jsonl, line 1", first[0]),
            ("one.jsonl, line 2", first[1]),
            ("one.jsonl, line 4", first[3]),
            ("one.jsonl, line 6", first[5]),
            ("two.jsonl, line 3", second[2]),
        ],
    ]


def test_equal_lines_of_one_file_are_all_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(2 * (line(1, "a") + b"\n"))
    assert [len(image) for image in ImageRows([path])] == [2]
