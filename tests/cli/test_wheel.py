"""A built wheel is the whole product: its commands run far from the repository, and find configurations and trees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import sweep

from hrvlm import shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a wheel built from this repository was installed into."""
    built, installed = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", str(built), str(ROOT)], check=True)
    (wheel,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    return installed


def run(site: Path, folder: Path, *command: str) -> str:
    """What a command of the installed wheel prints."""
    environment = os.environ | {"PYTHONPATH": str(site), "HRVLM_TRACEBACK": ""}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_every_configuration_and_tree(site: Path) -> None:
    for source, target in (("hrvlm", "hrvlm"), *((kind, f"hrvlm/shipped_files/{kind}") for kind in shipped.KINDS)):
        there = {str(path.relative_to(ROOT / source)) for path in (ROOT / source).rglob("*") if path.is_file()}
        wanted = {name for name in there if "__pycache__" not in name}
        assert len(wanted) > 5
        assert {name for name in wanted if not (site / target / name).is_file()} == set()


def test_the_package_runs_from_where_it_was_installed(site: Path, tmp_path: Path) -> None:
    assert str(site) in run(site, tmp_path, "-c", "import hrvlm; print(hrvlm.__file__)")


def test_trees_are_found_by_name_and_by_path(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "hrvlm")
    by_name = run(site, tmp_path, command, "tree", "show", "cifar10")
    assert "cifar10 (10)" in by_name
    assert run(site, tmp_path, "-m", "hrvlm", "tree", "show", "trees/cifar10.yaml") == by_name


@pytest.mark.slow
def test_training_certifying_and_verifying_far_from_the_repository(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "hrvlm")
    few = ["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    short = ["--trainer.max_epochs=1", "--trainer.callbacks=null", *few]
    run(site, tmp_path, command, "train", "fit", "--config", "quickstart", *short)
    assert list((tmp_path / "runs" / "quickstart").rglob("config.yaml"))
    small = ["--plan.num_images=2", "--plan.n0=8", "--plan.n=64"]
    chosen = ["--checkpoint", "emoji", "--config", "certify/emoji", "--output", "certified"]
    run(site, tmp_path, "-m", "hrvlm.cli.certify", "run", *chosen, *small)
    rows = (tmp_path / "certified" / "certificates.jsonl").read_text().splitlines()
    assert {json.loads(row)["level_name"] for row in rows} >= {"emoji", "group", "realm"}
    assert "48 certificates, 0 that do not hold" in run(site, tmp_path, command, "certify", "verify", "certified")


@pytest.mark.parametrize("program", sweep(["train", "certify", "main"], quick=["main"]))
def test_a_module_of_a_command_runs_as_one(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"hrvlm.cli.{program}", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--help" in done.stdout
