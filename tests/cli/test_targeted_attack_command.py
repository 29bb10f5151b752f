"""`certify.py targeted-attack` on a few pictures: rows, summary, resuming."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import yaml
from oracle_runs import ALPHA, COMMAND, SETTINGS, N, command


def test_pushes_are_counted_and_resumed(tmp_path: Path) -> None:
    settings = {
        "data": SETTINGS["data"], "split": "unseen_artist", "prompt": "act", "oracle": COMMAND, "forbidden": "go to",
        "wanted": ["go to the volcano", "go to the factory"], "num_images": 2, "eps": [0.1, 2.0], "steps": 6,
        "samples": 4, "n0": 8, "n": N, "alpha": ALPHA, "votes": 20,
    }  # fmt: skip
    config = tmp_path / "push.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    run = command("targeted-attack", config, tmp_path / "run")
    path = run / "pushes.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows, "both images have the forbidden class to begin with"
    budgets = defaultdict(list)
    for row in rows:
        budgets[row["index"]].append((row["defence"], row["inside"] or row["eps"]))
    for found in budgets.values():
        expected = [("none", 0.1), ("none", 2.0), ("smoothing", 0.1), ("smoothing", 2.0), ("smoothing", True)]
        assert found in (expected, expected[:-1])
    summary = json.loads((run / "summary.json").read_text())
    for defence in ("none", "smoothing"):
        for entry in summary[defence]:
            some = [r for r in rows if r["defence"] == defence and r["eps"] == entry["eps"] and not r["inside"]]
            assert (entry["attacked"], entry["successes"]) == (len(some), sum(r["success"] for r in some))
    covered = [r for r in rows if r["defence"] == "smoothing" and r["eps"] < r["certified_radius"]]
    assert summary["inside"]["attacked"] == len(covered) >= 1
    assert summary["inside"]["successes"] == 0
    report = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="pushes">' in report
    assert "inside certified radii (0 of " in report
    written = path.read_bytes()
    lines = written.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    command("targeted-attack", config, run)
    assert sorted(path.read_bytes().splitlines()) == sorted(written.splitlines())
    assert json.loads((run / "summary.json").read_text()) == summary
