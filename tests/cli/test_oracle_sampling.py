"""How samples are spent on answers: which procedures `certify.py run` takes with oracles, and what they certify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oracle_runs import ALPHA, COMMAND, NUM_IMAGES, ORACLES, ROWS, SAME, N, by_claim, command, rows_of, write_config
from scipy.stats import beta, betabinom, norm

from hrvlm.certificates.noise.gaussian import gaussian
from hrvlm.certificates.statistics.claim import FIXED
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.generative import load_generator

SIGMA, THRESHOLD, ERRORS, TRIALS = 0.35, 0.8, 1, 400


@pytest.fixture(scope="module")
def pilot_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that counts where a pilot has hope, of an oracle with a calibrated error."""
    folder = tmp_path_factory.mktemp("pilot")
    error = {"model": "conditional", "scope": "homogeneous", "errors": ERRORS, "trials": TRIALS}
    config = write_config(
        folder,
        answers={"questions": [{"oracle": COMMAND, "error": error}]},
        plan={"sigma": SIGMA, "sampling": {"procedure": "pilot", "threshold": THRESHOLD}},
    )
    return command("run", config, folder / "run")


def test_a_pilot_decides_how_many_samples_are_counted_and_is_not_counted(
    pilot_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All or none of the counted samples are drawn, by the pilot alone, and both claims follow from the former."""
    found = by_claim(pilot_run, "command")
    generator, data = load_generator("emoji-captioner", prompt="act"), emoji("unseen_artist")
    rate = float(beta.ppf(1 - ALPHA / 2, ERRORS + 1, TRIALS - ERRORS))
    assert {row["n"] for row in found["composite"].values()} == {0, N}
    for index, composite in found["composite"].items():
        semantic, image, verb = found["semantic"][index], data[index][0], composite["class_name"]
        noise = gaussian(tuple(image.shape), 0, index, range(8 + N), SIGMA)
        said = [answer.startswith(f"{verb} ") for answer in generator.generate(image + noise)]
        hopeful = sum(said[:8]) >= THRESHOLD * 8
        count = sum(said[8:]) if hopeful else 0
        for row in (composite, semantic):
            assert (row["selection_count"], row["n"], row["count"]) == (sum(said[:8]), N if hopeful else 0, count)
        lower = float(beta.ppf(ALPHA / 2, count, N - count + 1)) if hopeful else 0.0
        left = max(0.0, (lower - rate) / (1 - rate))
        for row, bound in ((composite, lower), (semantic, left)):
            radius = max(0.0, SIGMA * float(norm.ppf(bound) - norm.ppf(THRESHOLD)))
            assert (row["lower"], row["radius"]) == (pytest.approx(bound, abs=1e-9), pytest.approx(radius, abs=1e-9))
    assert len(found["composite"]) == NUM_IMAGES
    assert max(row["radius"] for row in found["semantic"].values()) > 0
    capsys.readouterr()
    main(["verify", str(pilot_run)])
    assert f"{2 * NUM_IMAGES} certificates, 0 that do not hold" in capsys.readouterr().out


def test_a_run_of_answers_plans_the_next_one(
    pilot_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The law is that of the composite rows; images that were given up, or are wrong, are never certified."""
    rows = list(by_claim(pilot_run, "command")["composite"].values())
    n, alpha = 200, 0.01
    least = next(k for k in range(1, n) if beta.ppf(alpha, k, n - k + 1) > THRESHOLD)
    asked = ["plan", "--sigma", str(SIGMA), "--alpha", str(alpha), "--threshold", str(THRESHOLD), "--reference", "2000"]

    def forecast(pilot: Path, *more: str) -> float:
        capsys.readouterr()
        main([*asked, "--samples", f"[{n}]", "--json", "--pilot", str(pilot), *more])
        lines = json.loads(capsys.readouterr().out)["forecast"]
        return float(next(line for line in lines if line["n"] == n)["certified_accuracy"]["0.0"])

    def expected(counted: list[dict[str, Any]]) -> float:
        laws = [betabinom(n, row["count"] + 0.5, row["n"] - row["count"] + 0.5) for row in counted if row["n"]]
        return sum(float(law.sf(least - 1)) for law in laws) / len(rows)

    right = [row for row in rows if row["correct"]]
    assert 0 < len([row for row in right if row["n"]]) < len(rows)
    assert forecast(pilot_run / ROWS) == pytest.approx(expected(right), abs=1e-6)
    assert forecast(pilot_run / ROWS, "--tree", "command") == forecast(pilot_run / ROWS)
    unknown = [row | {"label": -1, "correct": False} for row in rows_of(pilot_run)]
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in unknown), encoding="utf-8")
    assert forecast(tmp_path / ROWS) == pytest.approx(expected(rows), abs=1e-6)
    for more in (["--tree", "harm"], ["--level", "1"]):
        with pytest.raises(SystemExit):
            forecast(pilot_run / ROWS, *more)
        assert "found none; there are rows of 'command', level 0" in capsys.readouterr().err


def harm(keyword: str, **more: Any) -> dict[str, Any]:
    words = {"class_path": ORACLES + "KeywordClassifier", "init_args": {"keywords": [keyword]}}
    return {"oracle": {"class_path": ORACLES + "HarmOracle", "init_args": {"classifier": words}}, **more}


def test_a_filter_is_certified_for_a_class_that_is_a_minority(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than a fifth of the answers are harmful within the radius, although most are not."""
    plan = {"sigma": SIGMA, "sampling": {"threshold": 0.2}}
    config = write_config(
        tmp_path,
        answers={"questions": [harm("sport utility vehicle", target="harmful"), {"oracle": COMMAND}]},
        plan=plan,
    )
    run = command("run", config, tmp_path / "run")
    found = by_claim(run, "harm")["composite"]
    certified = {index: row for index, row in found.items() if not row["abstain"]}
    assert {(row["class_name"], row["split"]) for row in found.values()} == {("harmful", FIXED)}
    assert 0 < len(certified) < NUM_IMAGES
    generator, data = load_generator("emoji-captioner", prompt="act"), emoji("unseen_artist")
    for index, row in found.items():
        noise = gaussian(tuple(data[index][0].shape), 0, index, range(8, 8 + N), SIGMA)
        count = sum("sport utility vehicle" in answer for answer in generator.generate(data[index][0] + noise))
        assert row["count"] == count < N / 2
        lower = float(beta.ppf(ALPHA / 2, count, N - count + 1)) if count else 0.0
        assert (lower > 0.2) is (index in certified)
        if index in certified:
            assert row["radius"] == pytest.approx(SIGMA * float(norm.ppf(lower) - norm.ppf(0.2)), abs=1e-9)
    assert len({row["class_name"] for row in by_claim(run, "command")["composite"].values()}) > 1
    capsys.readouterr()
    main(["verify", str(run)])
    assert f"{2 * NUM_IMAGES} certificates, 0 that do not hold" in capsys.readouterr().out
    other = write_config(
        tmp_path, answers={"questions": [harm("sport utility vehicle"), {"oracle": COMMAND}]}, plan=plan
    )
    with pytest.raises(SystemExit):
        command("run", other, run)
    assert "expected the questions that the rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (harm("fox", target="evil"), "expected target as one of the classes ['harmless', 'harmful', 'unparseable']"),
        ({"oracle": SAME, "target": "other"}, "expected no target with anchors that differ by image, got 'other'"),
    ],
)
def test_targets_that_an_oracle_lacks_are_refused(
    question: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command("run", write_config(tmp_path, answers={"questions": [question]}), tmp_path / "out")
    shown = capsys.readouterr().err.strip()
    assert message in shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"procedure": "adaptive", "goal": 0.05}, "got 'adaptive' and votes=None"),
        ({"procedure": "two bounds"}, "got 'two bounds' and votes=None"),
        ({"votes": 101}, "got 'split' and votes=101"),
    ],
)
def test_what_an_oracles_error_does_not_leave_is_refused(
    options: dict[str, Any], got: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command("run", write_config(tmp_path, plan={"sampling": options, "n": 1000}), tmp_path / "out")
    assert stopped.value.code in (1, 2)
    shown = capsys.readouterr().err.strip()
    assert "by one of the procedures ['split', 'shared', 'pilot'] and without votes" in shown
    assert got in shown
    assert "\n" not in shown
    assert not (tmp_path / "out" / ROWS).exists()
