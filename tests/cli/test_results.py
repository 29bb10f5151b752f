"""`certify.py report` and `certify.py export`, as a user calls them."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_runs import command_line
from PIL import Image

from hrvlm.certificates import read_rows
from hrvlm.cli.certify import main
from hrvlm.cli.commands import verify as verify_command
from hrvlm.evaluation import pace
from hrvlm.evaluation.image_files import read_image_paths
from hrvlm.explorer import serving
from hrvlm.reports.exporting import read_parquet, read_tsv
from hrvlm.reports.folder_page import look_around

ROWS = "certificates.jsonl"


@pytest.fixture(scope="module")
def certified(
    tiny_model: Path,
    make_pictures: Callable[..., Path],
    tree_file: Path,
    small_plan: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A finished run, and the pictures that it certified."""
    folder, pictures = tmp_path_factory.mktemp("certified"), make_pictures()
    line = command_line("run", tiny_model, pictures=pictures, tree=tree_file, plan=small_plan, folder=folder)
    main(line(folder))
    return folder, pictures


def copied(folder: Path, target: Path, *names: str) -> Path:
    for name in names:
        shutil.copy(folder / name, target)
    return target


def test_a_run_ends_with_a_report_with_pictures_and_names(certified: tuple[Path, Path]) -> None:
    page = (certified[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == 6
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    leaf = data["views"][0]
    paths = read_image_paths(certified[0])
    assert data["path"] == [paths[index] for index in data["index"]]
    assert all((certified[1] / path).is_file() for path in paths.values())
    assert data["path"][0].startswith("ant/")
    assert data["names"][leaf["names"]][str(leaf["label"][data["index"].index(0)])] == "ant"
    assert "every claim holds" in page


def test_report_is_made_again_from_rows_and_without_pictures_if_they_are_gone(
    certified: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = certified
    copied(folder, tmp_path, ROWS, "settings.json")
    main(["report", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert "data:image/webp;base64," in (tmp_path / "report.html").read_text(encoding="utf-8")
    noted = json.loads((tmp_path / "settings.json").read_text())
    for changed, reason in [({"pictures": "0"}, "has changed"), ({"given_data": {"class_path": "os.path"}}, "at hand")]:
        (tmp_path / "settings.json").write_text(json.dumps(noted | changed))
        main(["report", str(tmp_path)])
        assert reason in capsys.readouterr().out
        assert "data:image/webp;base64," not in (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "settings.json").unlink()
    main(["report", str(tmp_path)])
    assert '"names":{"kinds/0":{},' in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["of earlier runs", "present"])
@pytest.mark.parametrize("named", [True, False], ids=["in a folder that settings name", "beside the shards"])
def test_a_report_keeps_no_index_of_shards(named: bool, form: str, tmp_path: Path) -> None:
    """A folder of results may be a stranger's: pictures are shown of it, but it chooses no place to write to."""
    picture, chosen = io.BytesIO(), tmp_path / "chosen"
    Image.new("RGB", (8, 8)).save(picture, "png")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for name, content in (("a.png", picture.getvalue()), ("a.cls", b"0")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    shards = str(tmp_path / "some.tar")
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    given: dict[str, Any] = {
        "train_shards": shards, "evaluation_shards": {"validation": shards}, "image_size": 8,
        "classes_file": str(tmp_path / "classes.txt"),
    }  # fmt: skip
    if form == "present":
        files = {"train": shards, "evaluation": {"validation": shards}, "classes_file": given["classes_file"]}
        given = {"shards": files, "image_size": 8}
    given |= {"index_folder": str(chosen)} if named else {}
    module = {"class_path": "hrvlm.data.shards.ShardDataModule", "init_args": given}
    chosen.mkdir()
    noted = {"given_data": module, "split": "validation", "given_trees": [], "given_num_levels": None}
    _, lacking = look_around(noted | {"pictures": "0", "data_size": 1})
    assert lacking == "the data set has changed"  # so it was read
    assert {path.name for path in tmp_path.rglob("*")} == {"some.tar", "classes.txt", "chosen"}


def test_export_writes_what_can_be_read_back(certified: tuple[Path, Path], tmp_path: Path) -> None:
    copied(certified[0], tmp_path, ROWS)
    main(["export", str(tmp_path), "--to", "parquet"])
    back = [row for kind in ("semantic", "smoothing") for row in read_parquet(tmp_path / f"{kind}.parquet")]
    rows = read_rows(tmp_path / ROWS)
    assert back == rows
    main(["export", str(tmp_path), "--to", "tsv"])
    tables = sorted(tmp_path.glob("*.tsv"))
    assert [table.name for table in tables] == ["smoothing.kinds.0.tsv", "smoothing.kinds.1.tsv"]
    lines = [line for table in tables for line in read_tsv(table.read_text(encoding="utf-8"))]
    smoothing = [row for row in rows if row["kind"] == "smoothing"]
    assert sorted(line["radius"] for line in lines) == sorted(row["radius"] for row in smoothing)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report"], "expected rows of certify.py run, attack, zero-shot or targeted-attack"),
        (["export", "--to", "parquet"], "expected rows of certify.py run or zero-shot"),
        (["export", "--to", "csv"], "--to"),
        (["verify"], "expected the rows of a run"),
    ],
)
def test_folders_without_rows_are_refused(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([arguments[0], str(tmp_path), *arguments[1:]])
    assert stopped.value.code in (1, 2)
    assert sentence in capsys.readouterr().err


def test_commands_that_read_rows_tell_how_far_they_have_come(
    certified: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(certified[0], tmp_path, ROWS, "settings.json")
    monkeypatch.setattr(pace, "FIRST", 0.0)
    monkeypatch.setattr(pace, "EVERY", 0.0)
    for words, tasks in (
        (["verify"], ["verifying images"]),
        (["report"], ["reading images", "drawing pictures"]),
        (["compare", str(tmp_path)], ["verifying images"]),
    ):
        main([words[0], str(tmp_path), *words[1:]])
        lines = capsys.readouterr().err.splitlines()
        for task in tasks:
            assert any(line.startswith(f"{task}: 6 of 6 (100%), ") for line in lines), (words, lines)


def test_a_command_that_is_silent_for_long_says_that_it_is_at_work(
    certified: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pace, "EVERY", 0.2)
    monkeypatch.setattr(pace, "FIRST", 0.1)
    monkeypatch.setattr(verify_command, "verify", lambda *_: time.sleep(1) or [])
    main(["verify", str(certified[0])])
    assert "certify.py verify: at work for " in capsys.readouterr().err
    monkeypatch.setattr(serving, "check_installed", lambda: time.sleep(1) or sys.exit(0))
    with pytest.raises(SystemExit):
        main(["explore", "--checkpoint", "emoji"])  # which waits for somebody
    assert "at work" not in capsys.readouterr().err


def test_missing_pyarrow_is_one_sentence(
    certified: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(certified[0], tmp_path, ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # importing it now fails
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path), "--to", "parquet"])
    assert capsys.readouterr().err.count("\n") == 1


def test_devices_that_are_not_there_are_refused(
    certified: tuple[Path, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = certified[0] / "config.yaml"
    start = ["run", "--config", str(config), "--checkpoint", str(tiny_model), "--output", str(tmp_path)]
    for more, sentence in [
        (["--device", "tpu9"], "expected devices of this machine"),
        (["--devices", "0"], "expected devices >= 1"),
        (["--strategy", "fsdp"], "ddp_spawn"),
    ]:
        with pytest.raises(SystemExit):
            main([*start, *more])
        assert sentence in capsys.readouterr().err


def test_training_ends_with_a_page_and_its_rows_are_told_checked_and_exported_like_others(
    finished: Any, run_train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/webp;base64," in written
    rows = [path for part in ("certificates", "robustness") for path in (finished.folder / part).rglob("*.jsonl")]
    files = read_image_paths(finished.folder)
    assert files.keys() == {row["index"] for path in rows for row in map(json.loads, path.read_text().splitlines())}
    assert files[0] == "ant/0.png"
    folder = tmp_path / "copied"
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("*.ckpt"))
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    others = ("certificates_more/smoothing/kinds/0/certified_accuracy_at_0.9", "mine/certified_accuracy_at_best")
    logged = [",".join([header, *others]), *(f"{line},0.5,0.5" for line in lines)]  # by callbacks of no page
    (folder / "metrics.csv").write_text("\n".join(logged) + "\n")
    main(["report", str(folder)])
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"  # with the pictures of the page before
    again = (folder / "report.html").read_text(encoding="utf-8")
    data, told = (json.loads(page.partition('id="data">')[2].partition("</script>")[0]) for page in (written, again))
    assert told == data
    assert "ant" in data["names"]["kinds/0"].values()
    curves = [re.findall(r"certified at [^<]*", page.partition('id="epochs"')[2]) for page in (written, again)]
    assert curves[0] == curves[1] != []
    assert again.partition("<main>")[2].count("<section id=") == written.partition("<main>")[2].count("<section id=")
    main(["verify", str(folder)])
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in said] == ["epoch=000", "epoch=001", "before", "after"]
    assert all(line.endswith(", 0 that do not hold") for line in said)
    main(["export", str(folder), "--to", "tsv"])
    assert {path.name for path in folder.glob("*.tsv")} == {"smoothing.kinds.0.tsv", "smoothing.kinds.1.tsv"}
    rows = folder / "certificates" / "epoch=001" / "rank=0.jsonl"
    row = json.loads(rows.read_text().splitlines()[0])
    altered = json.dumps(row | {"correct": not row["correct"]})
    rows.write_text("\n".join([altered, *rows.read_text().splitlines()[1:]]) + "\n")
    with pytest.raises(SystemExit):
        main(["verify", str(folder)])
