"""The benchmark of an accelerator: every part runs, resumes, and leaves what it has no time for, on the processor."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("device")


def asked(tiny_model: Path, result: Path) -> list[str]:
    return ["--device", "cpu", "--tiny", "--model", str(tiny_model), "--result", str(result)]


def test_parts_are_measured_once_and_left_where_time_is_up(benchmark, tiny_model, tmp_path, capsys):
    given = asked(tiny_model, tmp_path / "device.json")
    assert benchmark.main([*given, "--seconds", "-1"])["parts"] == {}
    assert capsys.readouterr().out.count("is left for the next run") == len(benchmark.PARTS)
    first = benchmark.main([*given, "--parts", "noise"])
    for noise in benchmark.NOISES:
        assert first["parts"]["noise"][noise]["bits_equal"]
    found = benchmark.main([*given, "--parts", "noise", "peak"])
    assert found == json.loads((tmp_path / "device.json").read_text())
    assert set(found["parts"]) == {"noise", "peak"}
    assert found["parts"]["noise"] == first["parts"]["noise"]
    with pytest.raises(SystemExit):
        benchmark.main(["--parts", "nothing"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler itself looks at it
def test_every_part_runs(benchmark, tiny_model, tmp_path):
    found = benchmark.main(asked(tiny_model, tmp_path / "device.json"))
    assert set(found["parts"]) == set(benchmark.PARTS)
    agreement = found["parts"]["agreement"]
    assert agreement["same_label"] == agreement["same_radius"] == agreement["statements"] > 0
    for name in ("tecoa", "hierarchical, 1 tree", "hierarchical, 5 trees"):
        for how in ("plain", "compiled"):
            assert found["parts"]["training"][name][how]["share_of_peak"] > 0
