"""`certify.py targeted-attack` on a few pictures: rows, summary, resuming."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from oracle_runs import ALPHA, COMMAND, SETTINGS, N, command
from torchvision.transforms.functional import to_pil_image

from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.evaluation.image_files import read_image_paths


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
    assert "<h1>Attacks towards an answer on emoji-captioner</h1>" in report
    assert "ertificates" not in report.partition("<nav")[0].partition("<h1>")[2]
    shown = json.loads(report.partition('id="data">')[2].partition("</script>")[0])
    assert shown["index"] == sorted(budgets)
    assert all(each.startswith("data:image/webp;base64,") for each in shown["pictures"])
    assert shown["path"] == [read_image_paths(run)[index] for index in shown["index"]]
    plain = next(view for view in shown["views"] if view["about"] == "plain, l2 2")
    hurt = {r["index"]: (r["success"], r["answer"]) for r in rows if r["defence"] == "none" and r["eps"] == 2.0}
    assert [tuple(each) for each in zip(plain["prediction"], plain["texts"], strict=True)] == list(hurt.values())
    assert set(plain["label"]) == {0}
    written = path.read_bytes()
    lines = written.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    command("targeted-attack", config, run)
    assert sorted(path.read_bytes().splitlines()) == sorted(written.splitlines())
    assert json.loads((run / "summary.json").read_text()) == summary


def test_an_l_infinity_attack_on_two_processes_gives_the_same_rows(tmp_path: Path) -> None:
    settings = {
        "data": SETTINGS["data"], "split": "unseen_artist", "prompt": "act", "oracle": COMMAND, "forbidden": "go to",
        "wanted": ["go to the volcano"], "num_images": 2, "norm": "linf", "eps": [0.002, 0.03], "steps": 3,
        "samples": 2, "n0": 4, "n": 30, "alpha": ALPHA, "votes": 8,
    }  # fmt: skip
    config = tmp_path / "push.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    one = command("targeted-attack", config, tmp_path / "one")
    two = command("targeted-attack", config, tmp_path / "two", "--devices", "2", "--strategy", "ddp_fork")
    assert (one / "pushes.jsonl").read_bytes() == (two / "pushes.jsonl").read_bytes()
    rows = [json.loads(line) for line in (one / "pushes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(row["norm"], row["num_values"]) for row in rows} == {("linf", 3 * 64 * 64)}
    inside = [row for row in rows if row["inside"]]
    assert inside
    assert all(row["eps"] * 110.86 < row["certified_radius"] and not row["success"] for row in inside)
    assert json.loads((one / "settings.json").read_text())["norm"] == "linf"
    main(["verify", str(one)])
    with pytest.raises(SystemExit):
        command("targeted-attack", config, one, "--norm", "l2")


def test_pictures_of_a_manifest_are_pushed_to_their_own_forbidden_answers(tmp_path: Path) -> None:
    to_pil_image(emoji("unseen_artist")[0][0]).save(tmp_path / "a.png")
    lines = [
        {"path": "a.png", "prompt": "act", "forbidden": ["go to the castle", "go to the factory"]},
        {"path": "a.png", "prompt": "describe"},
    ]
    manifest = tmp_path / "questions.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    settings = {
        "data": str(manifest), "image_size": 64, "oracle": COMMAND, "forbidden": "go to", "norm": "patch",
        "wanted": ["go to the volcano"], "num_images": 2, "eps": [0.02], "steps": 2, "samples": 1, "n0": 2, "n": 12,
        "alpha": ALPHA, "votes": 4,
    }  # fmt: skip
    config = tmp_path / "push.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    run = command("targeted-attack", config, tmp_path / "run")
    rows = [json.loads(line) for line in (run / "pushes.jsonl").read_text(encoding="utf-8").splitlines()]
    told = {row["index"]: (row["prompt"], row["num_values"], row["norm"]) for row in rows}
    assert told == {0: ("act", 3 * 9**2, "patch"), 1: ("describe", 3 * 9**2, "patch")}
    assert {row["wanted"] for row in rows if row["index"] == 0} <= {"go to the castle", "go to the factory"}
    assert {row["wanted"] for row in rows if row["index"] == 1} == {"go to the volcano"}
    main(["verify", str(run)])
