"""Tests of `certify.py attack`: rows of every level, resuming, refusals, what it prints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hrvlm.attacks.summary import summarise_robustness
from hrvlm.cli.certify import main

ROWS = "robustness.jsonl"
PLAN = {
    "attacks": ["pgd2", "apgd-ce"], "threat_model": {"eps": 0.02}, "num_images": 6, "batch_size": 4,
    "settings": {"apgd_steps": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def config(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attack") / "config.yaml"
    chosen = finished.settings
    settings = {"data": chosen["data"], "trees": chosen["model"]["init_args"]["trees"], "plan": PLAN}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def attack(config: Path) -> Callable[..., Path]:
    def run(checkpoint: Path, output: Path, *more: str) -> Path:
        main(["attack", "--config", str(config), "--checkpoint", str(checkpoint), "--output", str(output), *more])
        return output

    return run


@pytest.fixture(scope="module")
def attacked(finished: Any, attack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attack(finished.checkpoint(1), tmp_path_factory.mktemp("attacked"))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def test_rows_and_summary_are_written(attacked: Path) -> None:
    made = rows(attacked / ROWS)
    assert len(made) == 6 * 2 + 6 * 2 * 2 * 2  # clean; two attacks on two levels, each judged at two levels
    assert {row["index"] for row in made} == {position * 32 // 6 for position in range(6)}
    assert json.loads((attacked / "summary.json").read_text()) == summarise_robustness(made)
    page = (attacked / "report.html").read_text(encoding="utf-8")
    assert "<h1>Attacks on /" in page  # of the checkpoint; not certificates, of which there are none
    assert '<p class="quiet">6 images, 60 rows of attacks</p>' in page
    assert "data:image/webp;base64," in page


def test_tables_are_printed(
    finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = shutil.copytree(attacked, tmp_path / "again")
    attack(finished.checkpoint(1), output, "--eps", "51/2550")
    printed = capsys.readouterr().out
    summary = json.loads((attacked / "summary.json").read_text())
    for wanted in ("pgd2", "apgd-ce", "Transfer of pgd2", "attacked level", "linf eps=5.1/255"):
        assert wanted in printed
    assert f"{100 * summary['levels'][0]['clean']:.1f}" in printed
    assert lines(output / ROWS) == lines(attacked / ROWS)
    assert (output / "summary.json").read_text() == (attacked / "summary.json").read_text()


def test_pictures_that_other_processes_read_give_the_same_rows(
    finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path
) -> None:
    attack(finished.checkpoint(1), tmp_path, "--num_workers", "1")
    assert lines(tmp_path / ROWS) == lines(attacked / ROWS)


def test_rows_are_sorted_by_image_and_attack_clean_and_leaves_first(attacked: Path) -> None:
    made = rows(attacked / ROWS)
    assert [(row["index"], row["attack"], row["attacked_level"], row["level"]) for row in made] == [
        (position * 32 // 6, attack, source, level)
        for position in range(6)
        for attack in ("clean", "apgd-ce", "pgd2")
        for source in ([None] if attack == "clean" else [0, 1])
        for level in (0, 1)
    ]


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_killed_run_goes_on_to_the_same_rows(
    share: float, finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path
) -> None:
    whole = (attacked / ROWS).read_bytes()
    cut = whole.index(b"\n", int(share * len(whole))) - 20
    shutil.copy(attacked / "settings.json", tmp_path)
    (tmp_path / ROWS).write_bytes(whole[:cut])
    attack(finished.checkpoint(1), tmp_path)
    assert (tmp_path / ROWS).read_bytes() == whole


def test_attacks_may_be_added(finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path) -> None:
    output = shutil.copytree(attacked, tmp_path / "more")
    attack(finished.checkpoint(1), output, "--plan.attacks", "[margin1]", "--plan.transfer", "false")
    assert [line for line in lines(output / ROWS) if '"margin1"' not in line] == lines(attacked / ROWS)
    assert len(lines(output / ROWS)) == 6 * 2 * 5 + 6 * 2
    assert {row["attack"] for row in rows(output / ROWS)} == {"clean", "pgd2", "apgd-ce", "margin1"}


def test_other_attacks_after_a_stop_leave_the_begun_one_unfinished(
    finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(attacked / "settings.json", tmp_path)
    begun = [line for line in lines(attacked / ROWS) if json.loads(line)["attack"] == "apgd-ce"][:4]
    shards = tmp_path / "robustness.parts"
    shards.mkdir()
    (shards / "rank=0.jsonl").write_text("".join(f"{line}\n" for line in begun), encoding="utf-8")
    attack(finished.checkpoint(1), tmp_path, "--attacks", "pgd2")
    assert "apgd-ce: begun, with rows of some images only" in capsys.readouterr().out
    assert shards.is_dir()
    attack(finished.checkpoint(1), tmp_path)
    assert "begun" not in capsys.readouterr().out
    assert not shards.exists()
    assert lines(tmp_path / ROWS) == lines(attacked / ROWS)


def test_several_budgets_are_attacked_in_one_run(
    finished: Any, attacked: Path, attack: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = attack(finished.checkpoint(1), tmp_path, "--eps", "51/2550", "0.03", "--attacks", "clean", "apgd-ce", "pgd2")
    printed = capsys.readouterr().out
    assert "linf eps=5.1/255" in printed
    assert "linf eps=7.65/255" in printed
    made = lines(both / ROWS)
    assert [line for line in made if '"eps": 0.02,' in line] == lines(attacked / ROWS)
    assert len(made) == 2 * len(lines(attacked / ROWS))
    budgets = json.loads((both / "summary.json").read_text())["budgets"]
    assert budgets[0] == json.loads((attacked / "summary.json").read_text())
    noted = json.loads((attacked / "settings.json").read_text())
    assert json.loads((both / "settings.json").read_text()) == noted | {"eps": [0.02, 0.03]}
    (both / ROWS).write_text("\n".join(made[:-30]) + "\n", encoding="utf-8")
    attack(finished.checkpoint(1), both, "--eps", "0.03", "0.02")
    assert lines(both / ROWS) == made
    main(["verify", str(both)])


@pytest.mark.parametrize(
    ("epoch", "more", "named"),
    [
        (1, ["--plan.threat_model.eps", "0.03"], "expected the eps that"),
        (1, ["--plan.settings.seed", "1"], "expected the settings that"),
        (1, ["--plan.attacks", "[pgd]"], "got 'pgd'"),
        (1, ["--attacks", "clean", "aaa"], "got 'aaa'"),
        (1, ["--eps", "0.02", "0.03"], "expected the eps that"),
        (1, ["--device", "tpu9"], "device"),
        (1, ["--devices", "0"], "expected devices >= 1"),
        (0, [], "expected the weights that"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    epoch: int,
    more: list[str],
    named: str,
    finished: Any,
    attacked: Path,
    attack: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = shutil.copytree(attacked, tmp_path / "other")
    with pytest.raises(SystemExit) as stopped:
        attack(finished.checkpoint(epoch), output, *more)
    assert stopped.value.code not in (0, None)
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert sentence.startswith("certify.py: error: ")
    assert named in sentence
    assert lines(output / ROWS) == lines(attacked / ROWS)


def test_rows_of_certificates_and_of_attacks_have_folders_of_their_own(
    finished: Any, attack: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "certificates.jsonl").touch()
    with pytest.raises(SystemExit):
        attack(finished.checkpoint(1), tmp_path)
    assert "with the rows of run" in capsys.readouterr().err
