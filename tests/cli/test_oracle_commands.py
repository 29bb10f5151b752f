"""`certify.py run` and `verify` of models that answer in words: the packaged captioner, and one of transformers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from oracle_runs import (
    ALPHA,
    COMMAND,
    NUM_IMAGES,
    ORACLES,
    ROWS,
    SAME,
    SIGMA,
    N,
    by_claim,
    command,
    rows_of,
    write_config,
)
from scipy.stats import beta, norm
from sweeps import sweep

from hrvlm.certificates.noise.gaussian import gaussian
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.evaluation import answers as answer_work
from hrvlm.generative import load_generator
from hrvlm.rows.shards import shard_path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted; tests leave it as it is."""
    return command("run", config, tmp_path_factory.mktemp("whole"))


def test_both_claims_follow_from_the_counts_and_verify_accepts_them(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", str(whole)])
    assert f"{3 * NUM_IMAGES} certificates, 0 that do not hold" in capsys.readouterr().out
    command_rows = by_claim(whole, "command")
    assert list(by_claim(whole, "equivalence")) == ["composite"]
    assert set(command_rows["composite"]) == set(command_rows["semantic"])
    assert len(command_rows["composite"]) == NUM_IMAGES
    share = ALPHA / 2  # of two oracles
    for index, composite in command_rows["composite"].items():
        semantic = command_rows["semantic"][index]
        count = composite["count"]
        lower = float(beta.ppf(share, count, N - count + 1))
        for row, expected in ((composite, lower), (semantic, lower - 0.02)):
            assert row["lower"] == pytest.approx(expected, abs=1e-9)
            assert row["radius"] == pytest.approx(max(0.0, SIGMA * float(norm.ppf(expected))), abs=1e-9)
    assert max(row["radius"] for row in command_rows["semantic"].values()) > 0
    summary = json.loads((whole / "summary.json").read_text())["oracle"]["command"]
    for claim, rows in command_rows.items():
        right = [row["correct"] and row["radius"] >= 0.05 for row in rows.values()]
        assert summary[claim]["certified_accuracy"]["0.05"] == pytest.approx(sum(right) / NUM_IMAGES)
        assert summary[claim]["images"] == NUM_IMAGES
    assert (whole / "report.html").is_file()
    main(["report", str(whole)])
    assert "not at hand" not in capsys.readouterr().out  # the pictures are found without any tree


def test_counts_are_those_of_answers_to_the_documented_noise(whole: Path) -> None:
    generator = load_generator("emoji-captioner", prompt="act")
    data = emoji("unseen_artist")
    composite = by_claim(whole, "command")["composite"]
    index = sorted(composite)[1]
    image = data[index][0]
    answers = generator.generate(image + gaussian(tuple(image.shape), 0, index, range(8, 8 + N), SIGMA))
    verb = composite[index]["class_name"]
    assert sum(answer.startswith(f"{verb} ") for answer in answers) == composite[index]["count"]
    same = by_claim(whole, "equivalence")["composite"][index]
    assert same["anchor"] == generator.generate(image[None])[0]
    assert same["count"] >= answers.count(same["anchor"])


@pytest.mark.parametrize("kept", sweep([1, 4, 3 * NUM_IMAGES - 1], quick=[1]))
def test_a_run_that_was_killed_ends_with_the_same_file(
    kept: int, config: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it: rows in the part of the process, the last one torn, nothing merged."""
    written = (whole / ROWS).read_bytes()
    by_image = sorted(written.splitlines(keepends=True), key=lambda line: json.loads(line)["index"])
    (tmp_path / "settings.json").write_bytes((whole / "settings.json").read_bytes())
    part = shard_path(tmp_path / ROWS, 0)
    part.parent.mkdir()
    part.write_bytes(b"".join(by_image[:kept]) + by_image[kept][:40])
    asked: list[list[int]] = []
    certify = answer_work.certify_answers

    def counting(generator: Any, data: Any, indices: list[int], *more: Any, **others: Any) -> Any:
        asked.append(list(indices))
        return certify(generator, data, indices, *more, **others)

    monkeypatch.setattr(answer_work, "certify_answers", counting)
    command("run", config, tmp_path)
    assert (tmp_path / ROWS).read_bytes() == written
    assert not part.exists()
    assert len(asked[0]) == NUM_IMAGES - kept // 3
    command("run", config, tmp_path)
    assert asked[1] == []


def test_two_processes_write_the_same_file(config: Path, whole: Path, tmp_path: Path) -> None:
    command("run", config, tmp_path, "--devices", "2", "--strategy", "ddp_fork")
    assert (tmp_path / ROWS).read_bytes() == (whole / ROWS).read_bytes()


@pytest.mark.slow
def test_random_answers_do_not_depend_on_batches(whole: Path, tmp_path: Path) -> None:
    files = []
    for size in (16, 64):
        config = write_config(tmp_path, answers={"decoding": {"temperature": 1.0}}, plan={"batch_size": size})
        files.append((command("run", config, tmp_path / str(size)) / ROWS).read_bytes())
    assert files[0] == files[1]
    rows, greedy = rows_of(tmp_path / "16"), rows_of(whole)
    assert {row["temperature"] for row in rows} == {1.0}
    assert [row["count"] for row in rows] != [row["count"] for row in greedy]
    main(["verify", str(tmp_path / "16")])


def test_an_oracle_that_breaks_loses_no_run_and_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    breaking = {"class_path": "oracle_runs.Breaking"}
    harm = {"class_path": ORACLES + "HarmOracle", "init_args": {"classifier": breaking}}
    same = {"class_path": ORACLES + "EquivalenceOracle", "init_args": {"embedder": breaking}}
    config = write_config(tmp_path, answers={"questions": [{"oracle": COMMAND}, {"oracle": harm}, {"oracle": same}]})
    capsys.readouterr()
    run = command("run", config, tmp_path / "run")
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("harm", "equivalence"):
        told = re.search(rf"The oracle '{name}' failed on (\d+) answers, .* with: MemoryError: no room for the", shown)
        assert told is not None
        assert int(told[1]) > 0
    harmful, found = by_claim(run, "harm")["composite"], by_claim(run, "equivalence")["composite"]
    followed = {i for i, row in by_claim(run, "command")["composite"].items() if row["class_name"] == "follow"}
    assert 0 < len(followed) < len(harmful) == len(found) == NUM_IMAGES
    for index, row in by_claim(run, "command")["composite"].items():
        assert (harmful[index]["class_name"] == "unparseable") is (index in followed)
        if index in followed:
            assert harmful[index]["unparseable"] == harmful[index]["count"] == row["count"]
            assert found[index]["unparseable"] == N
        else:
            assert harmful[index]["unparseable"] == found[index]["unparseable"] <= N - row["count"]
    main(["verify", str(run)])


@pytest.mark.parametrize(
    ("claim", "field", "message"),
    [("composite", "radius", "more than the derived"), ("semantic", "rate", "rate_upper"), ("semantic", "count", "")],
)
def test_altered_rows_are_caught(
    claim: str, field: str, message: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(whole)
    row = next(row for row in rows if row["claim"] == claim and row["radius"] > 0)
    row[field] = row[field] / 2 if field == "rate" else row[field] + (0.01 if field == "radius" else 1)
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(tmp_path)])
    assert stopped.value.code == 1
    assert message in capsys.readouterr().out


ERROR = {"model": "overall", "rate": 0.02}
CALIBRATION = {"file": "nowhere.jsonl", "model": "overall", "scope": "population", "gamma": 0.1}
COUNTED = {"model": "audit", "errors": 0, "trials": 300}


def calibrated(**changes: Any) -> dict[str, Any]:
    return {"answers": {"questions": [{"oracle": COMMAND, "calibration": CALIBRATION | changes}]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trees": ["trees/emoji_unicode.yaml"]}, "expected no trees and no features with answers"),
        (
            {"answers": {"questions": [{"oracle": COMMAND, "error": ERROR, "calibration": CALIBRATION}]}},
            "expected error or calibration of an oracle, got both",
        ),
        ({"answers": {"questions": [{"oracle": COMMAND, "calibration": CALIBRATION}]}}, "nowhere.jsonl"),
        ({"answers": {"questions": [{"oracle": SAME, "calibration": CALIBRATION}]}}, "anchors that differ by image"),
        (calibrated(model="audit", scope="image", gamma=None), "and give them to certify.py audit"),
        (calibrated(model="overall", scope="homogeneous", gamma=None), "expected the model 'conditional'"),
        (calibrated(file="several.jsonl"), "got several of the images [7]"),
        ({"answers": {"questions": [{"oracle": COMMAND, "error": COUNTED}]}}, "and give them to certify.py audit"),
        ({"answers": {"questions": [{"oracle": COMMAND}, {"oracle": COMMAND}]}}, "distinct names"),
        ({"answers": {"references": "references.yaml"}}, "expected true answers for every class"),
        ({"answers": {"references": "nowhere.yaml"}}, "which is no file"),
        ({"answers": {"prompt": "sing"}}, "sing"),
        ({"plan": {"semantic": True}}, "expected a plan of smoothing alone"),
        ({"plan": {"n": 4}}, "to certify anything at alpha"),
    ],
)
def test_bad_settings_give_one_sentence(
    changes: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("references.yaml").write_text("fox: follow the fox\n", encoding="utf-8")
    lines = [{"answer": "follow the fox", "label": "follow", "index": index} for index in (3, 7, 7, 8)]
    Path("several.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        command("run", write_config(tmp_path, **changes), tmp_path / "out")
    assert stopped.value.code in (1, 2)
    shown = capsys.readouterr().err.strip()
    assert message in shown
    assert shown.startswith("certify.py: error: ")
    assert "\n" not in shown
    assert not (tmp_path / "out" / ROWS).exists()


def test_a_transformers_model_goes_through_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "generative"))
    import tiny_transformers

    model = tiny_transformers.save("llava", tmp_path / "llava")
    names = {"class_path": ORACLES + "ExactOracle", "init_args": {"names": ["red", "blue", "apple", "fox", "cat"]}}
    words = {"class_path": ORACLES + "KeywordClassifier", "init_args": {"keywords": ["fox", "cat"]}}
    harm = {"class_path": ORACLES + "HarmOracle", "init_args": {"classifier": words}}
    asked = {"prompt": "what is this", "references": None, "decoding": {"max_new_tokens": 4}}
    config = write_config(
        tmp_path, answers=asked | {"questions": [{"oracle": names}, {"oracle": harm}]}, plan={"num_images": 2}
    )
    run = command("run", config, tmp_path / "run", model=model)
    rows = rows_of(run)
    assert len(rows) == 2 * 2
    assert {row["generator"] for row in rows} == {"llava"}
    assert {row["label"] for row in rows} == {-1}
    assert {row["max_new_tokens"] for row in rows} == {4}
    for row in rows:
        assert 0 <= row["unparseable"] <= N
    capsys.readouterr()
    main(["verify", str(run)])
    assert "4 certificates, 0 that do not hold" in capsys.readouterr().out
