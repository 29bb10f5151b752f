"""Commands on models whose numbers fail: weights that are none are refused, what overflows is said at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_runs import command_line
from safetensors.torch import load_file, save_file

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.cli.certify import main
from hrvlm.cli.results import show_robustness
from hrvlm.evaluation.folders import Output
from hrvlm.evaluation.robustness import _finish
from hrvlm.models import load
from hrvlm.models.export import WEIGHTS_FILE

WEIGHT = "visual.attnpool.c_proj.weight"
PLAN: dict[str, Any] = {
    "num_images": 3, "sigma": 0.1, "n0": 10, "n": 40, "alpha": 0.3, "radii": [0.0], "joint": True, "profile": {},
    "attributes": [{"name": "dark", "target": "a dark picture of a {}"}], "sampling": {"precision": "float16"},
    "joint_questions": {"radii": [0.0], "extents": [0.0]},
}  # fmt: skip


def altered(model: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of an exported model without its probe batch, which would tell."""
    shutil.copytree(model, folder)
    shutil.rmtree(folder / "probe")
    state = load_file(folder / WEIGHTS_FILE)
    change(state)
    save_file(state, folder / WEIGHTS_FILE)
    return folder


def test_weights_that_are_none_certify_nothing(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = altered(tiny_model, tmp_path / "model", lambda state: state[WEIGHT].view(-1)[:1].fill_(torch.nan))
    line = command_line("run", folder, pictures=pictures, tree=tree_file, plan=PLAN, folder=tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(line(tmp_path / "output"))
    assert ended.value.code == 1
    assert f"got NaN or infinity in {WEIGHT}:" in capsys.readouterr().err
    assert not list(tmp_path.glob("output/*.jsonl*"))


def test_runs_say_how_many_copies_had_no_label(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.rand(40, 3, 32, 32, generator=generator)
    with torch.no_grad():
        factor = 65_504 / load(tiny_model).model.encode_image(noisy).abs().amax(dim=1).median()

    def enlarge(state: dict[str, torch.Tensor]) -> None:
        for name in (WEIGHT, WEIGHT.replace("weight", "bias")):
            state[name] *= factor

    folder = altered(tiny_model, tmp_path / "model", enlarge)
    places = {"pictures": pictures, "tree": tree_file, "plan": PLAN, "folder": tmp_path}
    output, again, features = tmp_path / "output", tmp_path / "again", str(tmp_path / "features")
    main(command_line("run", folder, **places)(output, "--features", features))
    said = " ".join(capsys.readouterr().out.split())
    found = json.loads((output / "summary.json").read_text())["invalid"]
    assert found["copies"] > 0
    assert found["pictures"] == 0
    assert f"{found['copies']} noisy copies of {found['images']} images had scores that are not finite" in said
    rows = [json.loads(line) for line in (output / "certificates.jsonl").read_text().splitlines()]
    most = {row["index"]: 0 for row in rows}
    for row in rows:
        most[row["index"]] = max(most[row["index"]], row.get("invalid", 0) + row.get("invalid_selection", 0))
    assert found["copies"] == sum(most.values())
    assert found["images"] == sum(count > 0 for count in most.values())
    main(command_line("recertify", folder, **places)(again, "--features", features))
    assert f"{found['copies']} noisy copies of {found['images']} images" in " ".join(capsys.readouterr().out.split())
    main(["verify", str(output)])


def test_attacks_say_of_how_many_images_scores_were_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    level = {"tree": "t", "level": 0, "level_name": "leaf", "num_classes": 3, "norm": "linf", "eps": 0.01}
    clean = {"stage": None, "attack": "clean", "attacked_tree": None, "attacked_level": None, "attacked": False}
    nothing = {"broken_by": None, "distance": None, "members": None, "label": 0}
    labels = {0: 0, 1: -1, 2: -1}
    rows = [
        RobustnessRecord(**level, **clean, **nothing, index=i, prediction=k, correct=k == 0, clean_correct=k == 0)
        for i, k in labels.items()
    ]
    path = tmp_path / "robustness.jsonl"
    path.write_text("".join(json.dumps(row.to_row()) + "\n" for row in rows))
    _finish(path, Output(tmp_path, show=show_robustness))
    assert "Scores of 2 images, clean or attacked, were not finite" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["invalid"] == 2
    assert summary["levels"][0]["clean"] == pytest.approx(1 / 3)
