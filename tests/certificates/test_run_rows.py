"""`certify.py verify` holds the rows of a run against each other and against its settings: one of 144 is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_records import smoothing
from sweeps import sweep

from hrvlm.certificates.statistics.claim import FLOAT_MODES, NOISE_SPACES
from hrvlm.cli.certify import main

Row = dict[str, Any]
ROWS, SIZE, IMAGES = "certificates.jsonl", 216, 72
CHOSEN = {"tree": "Bäume", "noise_space": NOISE_SPACES["float32"], "n0": 10}
SETTINGS: Row = {
    "sigma": 0.25, "alpha": 0.01, "n0": 10, "n": 100, "seed": 0, "data_size": SIZE, "random_numbers": "philox",
    "sampling": {"procedure": "split", "noise": "float32", "precision": "float32", "functions_chosen": "before"},
    "trees": [{"name": "Bäume", "levels": ["leaf", "group"], "digest": "0"}], "deltas": [], "attributes": [],
    "given_checkpoint": "emoji",
}  # fmt: skip


def run_rows() -> list[Row]:
    """144 rows, of two levels of 72 images that are spread evenly over the data."""
    rows = []
    for i in range(IMAGES):
        for level, name in enumerate(("leaf", "group")):
            given = {"label": i % 7 % (4 - 2 * level), "level_name": name, **CHOSEN}
            rows.append(smoothing(i * SIZE // IMAGES, level, 100 - i % 60, **given).to_row())
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows and settings into a folder."""

    def write(rows: list[Row], settings: Row | None = SETTINGS) -> Path:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / ROWS).write_text(text, encoding="utf-8")
        (tmp_path / "settings.json").unlink(missing_ok=True)
        if settings is not None:
            (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        return tmp_path

    return write


def verified(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    try:
        main(["verify", str(path), *more])
    except SystemExit as stopped:
        return int(stopped.code or 0), "".join(capsys.readouterr())
    return 0, "".join(capsys.readouterr())


ALTERED: dict[str, Callable[[Row], Row]] = {
    "sigma and radius": lambda row: {"sigma": 5 * row["sigma"], "radius": 5 * row["radius"]},
    "seed": lambda row: {"seed": 1},
    "index of no image": lambda row: {"index": row["index"] + 1},
    "index beyond the data": lambda row: {"index": SIZE},
    "tree": lambda row: {"tree": "other"},
    "level": lambda row: {"level": 2},
    "level_name": lambda row: {"level_name": "leaves"},
    "arithmetic": lambda row: {"float_mode": FLOAT_MODES["grid"], "noise_space": NOISE_SPACES["grid"]},
    "noise space": lambda row: {"noise_space": "pixels"},
    "n0": lambda row: {"n0": 11},
    "precision": lambda row: {"precision": "float16"},
    "chosen": lambda row: {"functions_chosen": "after"},
    "label functions": lambda row: {"label_functions": 2, "num_statements": 1},
    "alpha": lambda row: {"alpha": 0.02, "num_statements": 4},
}


@pytest.mark.parametrize("known", [True, False], ids=["settings", "rows alone"])
def test_one_altered_row_is_found(known: bool, folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows, settings = run_rows(), SETTINGS if known else None
    code, said = verified(folder(rows, settings), capsys)
    assert (code, said) == (0, "144 certificates, 0 that do not hold\n")
    missed = {}
    for name, change in ALTERED.items():
        altered = [*rows[:50], rows[50] | change(rows[50]), *rows[51:]]
        code, said = verified(folder(altered, settings), capsys)
        if code != 1 or not any(word in said for word in (*change(rows[50]), "image", "statements")):
            missed[name] = said
    assert missed == {}


def test_settings_name_what_all_rows_have_otherwise(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"seed": 7} for row in run_rows()]
    assert verified(folder(rows, None), capsys)[0] == 0
    code, said = verified(folder(rows), capsys)
    assert code == 1
    assert said.count("has seed 7, where the run's settings say 0") == 144


def test_one_bad_row_does_not_hide_the_others(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_rows()
    rows[3] |= {"index": [3]}
    rows[20] |= {"radius": rows[20]["radius"] * 2}
    code, said = verified(folder(rows), capsys)
    assert code == 1
    assert f"{ROWS}, line 4: expected index" in said
    assert f"states radius {rows[20]['radius']!r}, more than" in said


def test_expected_images_are_counted(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_rows()
    assert verified(folder(rows), capsys, "--expect", str(IMAGES))[0] == 0
    assert verified(folder(rows), capsys, "--expect", "73")[0] == 1
    left = [row for row in rows if row["index"] not in (6, 9)]
    assert verified(folder(left), capsys)[0] == 0  # nobody can know
    code, said = verified(folder(left), capsys, "--expect", str(IMAGES))
    assert code == 1
    assert "expected smoothing rows of 72 images, but 2 of them have none: 6, 9" in said
    code, said = verified(folder(left, None), capsys, "--expect", str(IMAGES))
    assert code == 1
    assert "expected smoothing rows of 72 images, got those of 70" in said
    assert "expected --expect of at least 1" in verified(folder(rows), capsys, "--expect", "0")[1]


def test_a_statement_that_one_image_lacks_is_missed(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run_rows()
    code, said = verified(folder([*rows[:51], *rows[52:]]), capsys)
    assert code == 1
    assert "statements" in said


def test_a_file_of_rows_is_verified_alone(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(run_rows()) / ROWS
    assert verified(path, capsys)[0] == 0
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])  # as a killed run leaves it: its last image is not finished
    code, said = verified(path, capsys)
    assert (code, said) == (0, "143 certificates, 0 that do not hold\n")


LINES = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "Latin-1": lambda text: text.encode("latin-1"),
    "null": lambda text: b"null\n" + text.encode(),
    "a list": lambda text: b"[1]\n" + text.encode(),
    "an empty line": lambda text: b"\n" + text.encode(),
    "many digits": lambda text: text.replace('"n": 100', f'"n": {"1" * 5000}', 1).encode(),
    "many digits of an index": lambda text: text.replace('"index": 0', f'"index": {"1" * 5000}', 1).encode(),
    "NaN": lambda text: text.replace("0.25", "NaN", 1).encode(),
    "infinity": lambda text: text.replace("0.25", "1e999", 1).encode(),
    "depth": lambda text: b"[" * 100_000 + b"\n" + text.encode(),
    "no text": lambda text: bytes(range(256)) + b"\n",
}


@pytest.mark.parametrize("content", sweep(LINES, quick=("a list", "NaN", "no text")))
@pytest.mark.parametrize("command", ["verify", "report", "export"])
def test_odd_files_are_findings_or_one_sentence(
    command: str, content: str, folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(run_rows())
    (path / ROWS).write_bytes(LINES[content]((path / ROWS).read_text(encoding="utf-8")))
    more = ["--to", "tsv"] if command == "export" else []
    with pytest.raises(SystemExit) as stopped:
        main([command, str(path), *more])
    captured = capsys.readouterr()
    assert stopped.value.code in (1, 2)
    assert "Traceback" not in captured.out + captured.err
    told = [line for line in (captured.out + captured.err).splitlines() if line]
    assert told
    assert max(map(len, told)) < 500
    assert all("codec" not in line and "digits" not in line for line in told)
    if content in ("UTF-16", "a byte-order mark"):
        assert f"got {content}: write the file as UTF-8" in told[0]
    elif command == "verify":  # every line is a finding of its own and hides no other
        assert told[-1].endswith("that do not hold") or "torn" in told[-1]
