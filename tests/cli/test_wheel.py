"""A built wheel is the whole product: its commands run far from the repository, and find configurations and trees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from devtools import CHROMIUM, Browser
from sweeps import sweep

from hrvlm import shipped

ROOT = Path(__file__).parents[2]

# What docs/export.md tells those who do not have hrvlm; prints how far the logits are from the stored ones.
PLAIN_OPEN_CLIP = """
import json, sys, open_clip, torch
from PIL import Image
from safetensors.torch import load_file

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:exported")
tokenizer = open_clip.get_tokenizer("local-dir:exported")
model.eval()
probe, texts = load_file("exported/probe/probe.safetensors"), json.load(open("exported/probe/texts.json"))
pictures = [Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()) for image in probe["images"]]
with torch.no_grad():
    logits, _ = model.get_logits(torch.stack([preprocess(picture) for picture in pictures]), tokenizer(texts))
assert "hrvlm" not in sys.modules
print(float((logits - probe["logits"]).abs().max()))
"""


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


def look_at(page: Path, profile: Path) -> None:
    """Opens a page, filters its two images and opens the one that is left, as a person would."""
    one, other = (json.loads(line)["path"] for line in (page.parent / "images.jsonl").read_text().splitlines())
    with Browser(profile) as browser:
        browser.open(page.as_uri())
        browser.wait('text().includes("2 of 2 images")')
        browser.evaluate(
            f'const field = document.getElementById("find"); field.value = {other!r};'
            'field.dispatchEvent(new Event("input")); true'
        )
        browser.wait('text().includes("1 of 2 images")')
        assert one not in browser.evaluate('document.getElementById("shown").textContent')
        browser.press(other)
        browser.wait('document.getElementById("picture").open')
        assert browser.errors == []


def explore(site: Path, folder: Path, profile: Path) -> None:
    """Serves an exported model by the installed wheel, and asks how far a picture may be changed towards a prompt."""
    command = [sys.executable, str(site / "bin" / "hrvlm"), "explore", "--checkpoint", "exported"]
    given = os.environ | {"PYTHONPATH": str(site)}
    with subprocess.Popen(command, cwd=folder, env=given, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
            with Browser(profile) as browser:
                browser.open(address)
                bars = 'deep(document, (e) => e.className === "change")'
                browser.wait(f"Boolean({bars})")
                before = browser.evaluate(f"{bars}.textContent")
                browser.type("Target prompt", "a dark picture of a {}")
                browser.wait(f"{bars} && {bars}.textContent !== {before!r}")
                assert browser.errors == []
        finally:
            server.terminate()


def files_in(folder: Path) -> set[str]:
    """Files below a folder, but for what Python compiles."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_all_configurations_and_trees_and_nothing_else(site: Path) -> None:
    wanted = {f"hrvlm/{name}" for name in files_in(ROOT / "hrvlm")}
    for kind in shipped.KINDS:
        assert len(files_in(ROOT / kind)) > 5
        wanted |= {f"hrvlm/shipped_files/{kind}/{name}" for name in files_in(ROOT / kind)}
    assert {"hrvlm/data/emoji_pack/files/index.json", "hrvlm/shipped_files/configs/emoji/quickstart.yaml"} <= wanted
    assert {name for name in files_in(site) if not name.startswith("hrvlm-")} - {"bin/hrvlm"} == wanted


def test_the_package_runs_from_where_it_was_installed(site: Path, tmp_path: Path) -> None:
    assert str(site) in run(site, tmp_path, "-c", "import hrvlm; print(hrvlm.__file__)")


def test_trees_are_found_by_name_and_by_path(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "hrvlm")
    by_name = run(site, tmp_path, command, "tree", "show", "cifar10")
    assert "cifar10 (10)" in by_name
    assert run(site, tmp_path, "-m", "hrvlm", "tree", "show", "trees/cifar10.yaml") == by_name


@pytest.mark.slow
def test_a_newcomer_trains_certifies_looks_exports_loads_and_explores_far_from_the_repository(
    site: Path, tmp_path: Path
) -> None:
    command = str(site / "bin" / "hrvlm")
    few = ["--trainer.limit_train_batches=1", "--data.init_args.batch_size=4", "--trainer.max_epochs=1"]
    run(site, tmp_path, command, "train", "--config", "quickstart", "--trainer.callbacks=null", *few)
    (checkpoint,) = (tmp_path / "runs" / "quickstart").rglob("*.ckpt")
    small = ["--plan.num_images=2", "--plan.n0=8", "--plan.n=64"]
    chosen = ["--checkpoint", str(checkpoint), "--config", "certify/emoji", "--output", "certified"]
    run(site, tmp_path, "-m", "hrvlm.cli.certify", "run", *chosen, *small)
    rows = (tmp_path / "certified" / "certificates.jsonl").read_text().splitlines()
    assert {json.loads(row)["level_name"] for row in rows} >= {"emoji", "group", "realm"}
    assert f"{len(rows)} certificates, 0 that do not hold" in run(
        site, tmp_path, command, "certify", "verify", "certified"
    )
    assert "</html>" in (tmp_path / "certified" / "report.html").read_text(encoding="utf-8")
    run(site, tmp_path, command, "export", "--checkpoint", str(checkpoint), "--output", "exported")
    assert float(run(site, tmp_path, "-c", PLAIN_OPEN_CLIP).split()[-1]) < 1e-3
    if CHROMIUM is not None:
        look_at(tmp_path / "certified" / "report.html", tmp_path / "one_profile")
        explore(site, tmp_path, tmp_path / "other_profile")


@pytest.mark.parametrize("program", sweep(["train", "certify", "main"], quick=["main"]))
def test_a_module_of_a_command_runs_as_one(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"hrvlm.cli.{program}", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--help" in done.stdout
