"""Tests of `certify.py`: the callback's rows, resuming, exported folders, verification."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hrvlm.cli.certify import main

ROWS = "certificates.jsonl"


@pytest.fixture(scope="module")
def config(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of certify.py with the data, trees and plan of the finished run."""
    chosen = finished.settings
    callback = next(entry for entry in chosen["trainer"]["callbacks"] if "Certification" in entry["class_path"])
    plan = callback["init_args"]["plan"]["init_args"]
    path = tmp_path_factory.mktemp("certify") / "config.yaml"
    settings = {"data": chosen["data"], "trees": chosen["model"]["init_args"]["trees"], "plan": plan}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def certify(config: Path) -> Callable[..., Path]:
    def run(checkpoint: Path, output: Path, *more: str) -> Path:
        main(["run", "--config", str(config), "--checkpoint", str(checkpoint), "--output", str(output), *more])
        return output

    return run


@pytest.fixture(scope="module")
def certified(finished: Any, certify: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certify(finished.checkpoint(1), tmp_path_factory.mktemp("certified"))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def callback_rows(run: Any, epoch: int) -> list[str]:
    """Its rows but for the word that other epochs met the same noise, which all that rest on noise hold."""
    found = lines(run.folder / "certificates" / f"epoch={epoch:03d}" / "rank=0.jsonl")
    shared = [line for line in found if line.endswith(', "noise_shared": true}')]
    assert {json.loads(line)["kind"] for line in shared} == {"smoothing"}
    assert not any("noise_shared" not in line and json.loads(line)["kind"] == "smoothing" for line in found)
    return [line.replace(', "noise_shared": true}', "}") for line in found]


def test_the_checkpoint_gives_the_rows_of_the_callback_of_its_epoch(finished: Any, certified: Path) -> None:
    made = lines(certified / ROWS)
    assert sorted(made) == sorted(callback_rows(finished, 1))
    assert len(set(made)) == len(made) == 6 * 2 + 6 * 2 * 2 * 2  # smoothing, and attributes by scorers, of two levels


@pytest.mark.slow
def test_the_checkpoint_of_another_epoch_gives_the_rows_of_that_epoch(
    finished: Any, certify: Callable[..., Path], tmp_path: Path
) -> None:
    made = lines(certify(finished.checkpoint(0), tmp_path) / ROWS)
    assert sorted(made) == sorted(callback_rows(finished, 0))
    assert sorted(made) != sorted(callback_rows(finished, 1))


def test_an_exported_folder_is_certified_as_plain_clip(
    certify: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    made = rows(certify(tiny_model, tmp_path) / ROWS)
    assert {row["scorer"] for row in made if row["kind"] == "semantic"} == {"cosine"}
    assert len(made) == 6 * 2 + 6 * 2 * 2


def test_a_finished_run_adds_no_rows_when_run_again(
    finished: Any, certified: Path, certify: Callable[..., Path], tmp_path: Path
) -> None:
    output = shutil.copytree(certified, tmp_path / "again")
    certify(finished.checkpoint(1), output)
    assert lines(output / ROWS) == lines(certified / ROWS)
    assert (output / "summary.json").read_text() == (certified / "summary.json").read_text()


def test_pictures_that_other_processes_read_give_the_same_rows_and_settings(
    finished: Any, certified: Path, certify: Callable[..., Path], tmp_path: Path
) -> None:
    certify(finished.checkpoint(1), tmp_path, "--num_workers", "2")
    for name in (ROWS, "summary.json"):
        assert (tmp_path / name).read_bytes() == (certified / name).read_bytes()
    assert "num_workers" not in json.loads((tmp_path / "settings.json").read_text())
    with pytest.raises(SystemExit):
        certify(finished.checkpoint(1), tmp_path / "other", "--num_workers", "-1")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_killed_run_goes_on_to_the_same_rows(
    share: float, finished: Any, certified: Path, certify: Callable[..., Path], tmp_path: Path
) -> None:
    whole = (certified / ROWS).read_bytes()
    cut = whole.index(b"\n", int(share * len(whole))) - 20
    shutil.copy(certified / "settings.json", tmp_path)
    (tmp_path / ROWS).write_bytes(whole[:cut])
    certify(finished.checkpoint(1), tmp_path)
    assert sorted(lines(tmp_path / ROWS)) == sorted(lines(certified / ROWS))
    assert (tmp_path / ROWS).read_bytes().startswith(whole[: whole.rindex(b"\n", 0, cut) + 1])


def test_verify_finds_nothing_wrong_with_a_run(certified: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(certified)])
    assert "60 certificates, 0 that do not hold" in capsys.readouterr().out


def test_verify_exits_with_one_when_a_radius_is_inflated(
    certified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = rows(certified / ROWS)
    row = next(row for row in made if row["kind"] == "smoothing" and not row["abstain"])
    row["radius"] *= 1.05
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(tmp_path)])
    assert stopped.value.code == 1
    assert "60 certificates, 1 that do not hold" in capsys.readouterr().out


@pytest.mark.parametrize(("epoch", "more", "named"), [(1, ["--plan.sigma", "0.1"], "sigma"), (0, [], "weights")])
def test_rows_of_another_run_are_not_mixed_in(
    epoch: int,
    more: list[str],
    named: str,
    finished: Any,
    certified: Path,
    certify: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = shutil.copytree(certified, tmp_path / "other")
    with pytest.raises(SystemExit) as stopped:
        certify(finished.checkpoint(epoch), output, *more)
    assert stopped.value.code == 1
    assert f"expected the {named} that" in capsys.readouterr().err
