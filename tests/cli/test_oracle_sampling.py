"""How samples are spent on answers: which procedures `certify.py run` takes with oracles, and what they certify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oracle_runs import ALPHA, COMMAND, NUM_IMAGES, ROWS, N, by_claim, command, write_config
from scipy.stats import beta, norm

from hrvlm.certificates.noise import gaussian
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.generative import load_generator


def test_a_pilot_decides_how_many_samples_are_counted_and_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All or none of the counted samples are drawn, by the pilot alone, and both claims follow from the former."""
    sigma, threshold, errors, trials = 0.3, 0.9, 1, 400
    error = {"model": "conditional", "scope": "homogeneous", "errors": errors, "trials": trials}
    config = write_config(
        tmp_path,
        answers={"questions": [{"oracle": COMMAND, "error": error}]},
        plan={"sigma": sigma, "sampling": {"procedure": "pilot", "threshold": threshold}},
    )
    found = by_claim(command("run", config, tmp_path / "run"), "command")
    generator, data = load_generator("emoji-captioner", prompt="act"), emoji("unseen_artist")
    rate = float(beta.ppf(1 - ALPHA / 2, errors + 1, trials - errors))
    assert {row["n"] for row in found["composite"].values()} == {0, N}
    for index, composite in found["composite"].items():
        semantic, image, verb = found["semantic"][index], data[index][0], composite["class_name"]
        noise = gaussian(tuple(image.shape), 0, index, range(8 + N), sigma)
        said = [answer.startswith(f"{verb} ") for answer in generator.generate(image + noise)]
        hopeful = sum(said[:8]) >= threshold * 8
        count = sum(said[8:]) if hopeful else 0
        for row in (composite, semantic):
            assert (row["selection_count"], row["n"], row["count"]) == (sum(said[:8]), N if hopeful else 0, count)
        lower = float(beta.ppf(ALPHA / 2, count, N - count + 1)) if hopeful else 0.0
        left = max(0.0, (lower - rate) / (1 - rate))
        for row, bound in ((composite, lower), (semantic, left)):
            radius = max(0.0, sigma * float(norm.ppf(bound) - norm.ppf(threshold)))
            assert (row["lower"], row["radius"]) == (pytest.approx(bound, abs=1e-9), pytest.approx(radius, abs=1e-9))
    assert len(found["composite"]) == NUM_IMAGES
    assert max(row["radius"] for row in found["semantic"].values()) > 0
    capsys.readouterr()
    main(["verify", str(tmp_path / "run")])
    assert f"{2 * NUM_IMAGES} certificates, 0 that do not hold" in capsys.readouterr().out


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
