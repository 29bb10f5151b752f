"""Every variant of configs/scale composes with a run's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sweeps import sweep

from hrvlm.cli.train import main

ROOT = Path(__file__).parents[2]
VARIANTS: dict[str, dict[str, Any]] = {
    "ddp": {"trainer": {"strategy": "ddp", "devices": "auto"}},
    "bf16": {"trainer": {"precision": "bf16-mixed"}},
    "compile": {"model": {"tower": {"compile_backend": "inductor", "checkpoint_activations": False}}},
    "checkpointing": {"model": {"tower": {"compile_backend": None, "checkpoint_activations": True}}},
    "ema": {
        "model": {
            "trained": {
                "image_tower": True, "text_projection": True, "freeze_batch_norm": False, "average_decay": 0.999,
                "weight_perturbation": None, "alignment": None,
            }
        }
    },
}  # fmt: skip


def shown(variant: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    arguments = ["fit", "--config", "configs/emoji/quickstart.yaml"]
    arguments += [] if variant is None else ["--config", f"configs/scale/{variant}.yaml"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--print_config"])
    assert stopped.value.code == 0
    found: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return {"trainer": found["trainer"], "model": found["model"]["init_args"], "data": found["data"]}


@pytest.mark.parametrize("variant", sweep(VARIANTS, quick=("ddp",)))
def test_a_variant_changes_its_own_values_and_no_others(
    variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = shown(None, monkeypatch, capsys)
    for part, values in VARIANTS[variant].items():
        assert all(expected[part][name] != value for name, value in values.items() if name != "devices")
        expected[part] |= values
    assert shown(variant, monkeypatch, capsys) == expected


def test_all_variants_are_tested() -> None:
    assert {path.stem for path in (ROOT / "configs" / "scale").glob("*.yaml")} == set(VARIANTS)
