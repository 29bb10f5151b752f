"""The benchmark of an accelerator: every part runs, resumes, and leaves what it has no time for, on the processor."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # a compiler looks
def test_every_part_runs_and_resumes(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark, result = import_module("device"), tmp_path / "device.json"
    asked = ["--device", "cpu", "--tiny", "--model", str(tiny_model), "--result", str(result)]
    assert benchmark.main([*asked, "--seconds", "-1"])["parts"] == {}
    assert capsys.readouterr().out.count("is left for the next run") == len(benchmark.PARTS)
    first = benchmark.main([*asked, "--parts", "noise"])
    for noise in benchmark.NOISES:
        assert first["parts"]["noise"][noise]["bits_equal"]
    found = benchmark.main(asked)
    assert found == json.loads(result.read_text())
    assert set(found["parts"]) == set(benchmark.PARTS)
    assert found["parts"]["noise"] == first["parts"]["noise"]
    agreement = found["parts"]["agreement"]
    assert agreement["same_label"] == agreement["same_radius"] == agreement["statements"] > 0
    for name in ("tecoa", "hierarchical, 1 tree", "hierarchical, 5 trees"):
        for how in ("plain", "compiled"):
            assert found["parts"]["training"][name][how]["share_of_peak"] > 0
    with pytest.raises(SystemExit):
        benchmark.main(["--parts", "nothing"])
