"""`--decoding` of certify.py: rows whose levels lie on one path, refusals, and what stays as it was without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hrvlm.cli.certify import main
from hrvlm.trees import load_tree

ATTACK = {"attacks": ["pgd2"], "threat_model": {"eps": 0.02}, "num_images": 8, "batch_size": 8}


@pytest.fixture(scope="module")
def given(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Arguments of each command but for the output."""
    chosen, folder = finished.settings, tmp_path_factory.mktemp("decoding")
    callback = next(entry for entry in chosen["trainer"]["callbacks"] if "Certification" in entry["class_path"])
    plans = {"attack": ATTACK, "run": callback["init_args"]["plan"]["init_args"]}
    found = {}
    for name, plan in plans.items():
        settings = {"data": chosen["data"], "trees": chosen["model"]["init_args"]["trees"], "plan": plan}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        found[name] = [name, "--config", str(folder / f"{name}.yaml"), "--checkpoint", str(finished.checkpoint(1))]
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sentence(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code not in (0, None)
    return capsys.readouterr().err


@pytest.mark.parametrize("decoding", ["path", "leaves"])
def test_attacked_rows_of_an_image_lie_on_one_path(
    decoding: str, given: dict[str, list[str]], finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*given["attack"], "--decoding", decoding, "--output", str(tmp_path)])
    (tree_file,) = finished.settings["model"]["init_args"]["trees"]
    ancestors = load_tree(tree_file).ancestors
    found: dict[Any, dict[int, int]] = {}
    for row in rows(tmp_path / "robustness.jsonl"):
        place = (row["index"], row["attack"], row["attacked_level"])
        found.setdefault(place, {})[row["level"]] = row["prediction"]
    assert len(found) == 8 * 3
    assert all(int(ancestors[1][labels[0]]) == labels[1] for labels in found.values())
    assert json.loads((tmp_path / "settings.json").read_text())["decoding"] == decoding
    assert all(entry["leaf_alone"] == 0 for entry in json.loads((tmp_path / "summary.json").read_text())["coherence"])
    assert "Levels together" in capsys.readouterr().out
    main(["verify", str(tmp_path)])
    assert "expected the" in sentence(capsys, [*given["attack"], "--output", str(tmp_path)]), "another decoding"


def test_coherent_labels_are_certified_like_any_and_affine_certificates_refused(
    given: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*given["run"], "--decoding", "leaves", "--output", str(tmp_path / "run")]
    told = sentence(capsys, run)
    assert "expected decoding 'independent' for semantic certificates, which need scores affine" in told
    assert not (tmp_path / "run").exists()
    main([*run, "--plan.semantic", "false"])
    main(["verify", str(tmp_path / "run")])
    made = rows(tmp_path / "run" / "certificates.jsonl")
    assert {row["kind"] for row in made} == {"smoothing"}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["smoothing"]
    assert {name for levels in summary.values() for level in levels.values() for name in level} >= {"path"}
    certified: dict[int, dict[int, int]] = {}
    for row in made:
        if not row["abstain"]:
            certified.setdefault(row["index"], {})[row["level"]] = row["prediction"]
    (tree_file,) = yaml.safe_load(Path(given["run"][2]).read_text())["trees"]
    ancestors = load_tree(tree_file).ancestors
    both = [labels for labels in certified.values() if len(labels) == 2]
    assert both
    assert all(int(ancestors[1][labels[0]]) == labels[1] for labels in both), "what is certified never contradicts"


def test_without_it_settings_say_nothing_and_other_words_are_refused(
    given: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*given["attack"], "--plan.attacks", "[clean]", "--output", str(tmp_path / "plain")])
    assert "decoding" not in json.loads((tmp_path / "plain" / "settings.json").read_text())
    told = sentence(capsys, [*given["attack"], "--decoding", "best", "--output", str(tmp_path / "other")])
    assert "decoding" in told
    assert "best" in told
