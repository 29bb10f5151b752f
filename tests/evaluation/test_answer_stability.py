"""How far answers keep their class along a change: shares by hand, rates over splits, the packaged captioner."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hrvlm.certificates import Attribute
from hrvlm.certificates.kinds.oracle.errors import OracleError
from hrvlm.cli.certify import main
from hrvlm.data import Appearance, emoji
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.evaluation.answer_options import AnswerOptions, QuestionOptions
from hrvlm.evaluation.answer_stability import (
    SHARES,
    AnswerPath,
    StableStretch,
    calibrate_answers,
    first_changes,
    stable_share,
)
from hrvlm.evaluation.answer_stability_check import _checked
from hrvlm.evaluation.calibration_settings import CalibrationPlan, CalibrationSettings
from hrvlm.generative import load_generator
from hrvlm.generative.oracles import CommandOracle
from hrvlm.training.pictured_changes import AppearanceSequence

PLAN = {
    "population": "small emoji", "attributes": [{"name": "small", "target": "a small picture of a {}"}],
    "sequences": {"small": {"stop": {"size": 0.3}, "steps": 4}}, "num_images": 12,
    "options": {"epsilons": [0.2, 0.4], "confidence": None},
}  # fmt: skip


def test_a_share_is_that_of_the_first_answer_of_another_class() -> None:
    classes = [[2, 2, 2], [2, 2, 1], [0, 1, 0], [1, 0, 0]]
    shares = [[0.5, 1.0], [0.5, 1.0], [0.25, 1.0], [math.inf, 1.0]]
    assert first_changes(classes, shares).tolist() == [math.inf, 1.0, 0.25, 1.0]
    first = [math.inf] * 17 + [1.0, 0.75, 0.5]
    assert stable_share(first, epsilon=0.2) == SHARES[0] == 1.0  # (3 + 1) / 21
    assert stable_share(first, epsilon=0.15) == pytest.approx(0.999)  # the last picture is beyond it
    assert stable_share(first, epsilon=0.1) == pytest.approx(0.749)
    assert stable_share(first, epsilon=0.05) == pytest.approx(0.499)
    assert stable_share(first, epsilon=0.04) is None
    assert stable_share(first, epsilon=0.2, confidence=0.9) == pytest.approx(
        0.749
    )  # of 20, 1 is 0.181 at most, 2 0.245


def test_rates_of_further_images_are_at_most_epsilon() -> None:
    rng, n, trials = np.random.default_rng(0), 30, 2000
    steps = np.r_[np.arange(1, 9) / 8, [math.inf] * 4]
    for epsilon in (0.1, 0.3):
        stretches = [stable_share(rng.choice(steps, n), epsilon=epsilon) for _ in range(trials)]
        rates = [0.0 if share is None else float((steps <= share).mean()) for share in stretches]
        assert np.mean(rates) <= epsilon + 2 * np.std(rates) / trials**0.5


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    oracle = {"class_path": "hrvlm.generative.oracles.CommandOracle"}
    answers = {"prompt": "act", "questions": [{"oracle": oracle}], "decoding": {"max_new_tokens": 12}}
    path = tmp_path_factory.mktemp("config") / "answers.yaml"
    data = {"class_path": "hrvlm.data.emoji_pack.datamodule.EmojiDataModule"}
    path.write_text(yaml.safe_dump({"data": data, "split": "unseen_artist", "answers": answers, "plan": PLAN}))
    return path


def test_the_captioner_is_asked_along_a_change(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.json"
    words = ["calibrate", "--checkpoint", "emoji-captioner", "--config", str(config), "--output", str(output)]
    main(words)
    assert "small, command: " in " ".join(capsys.readouterr().out.split())
    found = json.loads(output.read_text())
    assert len(found["paths"]) == 12
    one = found["paths"][5]
    assert one["shares"] == [1 / 3, 2 / 3, 1.0]
    generator, data = load_generator("emoji-captioner", prompt="act"), emoji("unseen_artist")
    sizes = [1.0, 1 - 0.7 / 3, 1 - 1.4 / 3, 0.3]
    answers = generator.generate(data.shown(one["index"], [Appearance(size=size) for size in sizes]))
    assert one["classes"] == CommandOracle().labels(answers)
    first = [float(first_changes([path["classes"]], [path["shares"]])[0]) for path in found["paths"]]
    assert 0 < np.isfinite(first).sum() < 12
    for stretch in found["stretches"]:
        assert stretch["shares"]["marginal"] == stable_share(first, epsilon=stretch["epsilon"])
        assert stretch["unstable"] == np.isfinite(first).mean()
    checked(config, output, capsys)
    with pytest.raises(SystemExit):
        main([*words, "--plan.options.joint", '["levels"]'])
    assert "expected no joint thresholds and no groups with answers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--answers.decoding", '{"temperature": 1.0}'])
    assert "expected greedy decoding where the stability of answers is asked" in capsys.readouterr().err


def checked(config: Path, calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command's file is checked on other images, and on its own; with other oracles it is refused."""
    given = yaml.safe_load(config.read_text())
    sequences = {"small": {"stop": {"size": 0.3}, "steps": 3}}
    given["plan"] = {"attributes": PLAN["attributes"], "sequences": sequences, "num_images": 5}
    second, output = config.with_name("second.yaml"), calibration.with_name("checked.json")
    second.write_text(yaml.safe_dump(given))
    words = ["check-calibration", "--checkpoint", "emoji-captioner", "--config", str(second)]
    words += ["--calibration", str(calibration), "--output", str(output)]
    main(words)
    assert "itself" not in capsys.readouterr().out
    checks = json.loads(output.read_text())["checks"]
    assert [check["epsilon"] for check in checks] == [0.2, 0.4]
    assert all(check["images"] == 5 and not check["contradicted"] for check in checks)
    given["plan"] |= {"sequences": PLAN["sequences"], "num_images": 12}
    second.write_text(yaml.safe_dump(given))
    main(words)
    assert "images and pictures of the calibration itself" in " ".join(capsys.readouterr().out.split())
    paths = json.loads(calibration.read_text())["paths"]
    first = [float(first_changes([path["classes"]], [path["shares"]])[0]) for path in paths]
    for check in json.loads(output.read_text())["checks"]:
        assert check["violated"] == sum(value <= check["share"] for value in first)
        assert check["lower"] <= check["violated"] / 12 <= check["upper"]
    with pytest.raises(SystemExit):
        main([*words, "--answers.prompt", "describe"])
    assert "got one of another generator: make one with certify.py calibrate" in capsys.readouterr().err
    nothing = json.loads(calibration.read_text())
    for stretch in nothing["stretches"]:
        stretch["shares"] = {"marginal": None}
    calibration.with_name("nothing.json").write_text(json.dumps(nothing))
    main([*words, "--calibration", str(calibration.with_name("nothing.json")), "--plan.num_images", "1"])
    assert "no stretch was claimed: nothing to check" in capsys.readouterr().out
    assert json.loads(output.read_text())["checks"] == []


def test_many_violations_contradict_a_share() -> None:
    stretch = StableStretch(
        change="small", oracle="command", epsilon=0.1, images=200, unstable=0.2, mean_stable=0.9,
        shares={"marginal": 0.5, "0.95": 0.4, "0.99": None},
    )  # fmt: skip
    for bad, verdict in ((10, False), (60, True)):
        paths = [
            AnswerPath(
                index=i, change="small", oracle="command", shares=(0.4, 1.0), stable=1.0,
                classes=(1, 2 if i < bad else 1, 1),
            )
            for i in range(200)
        ]  # fmt: skip
        found = _checked([stretch], paths)
        assert [(check.form, check.violated, check.contradicted) for check in found] == [
            ("marginal", bad, verdict), ("0.95", bad, verdict),
        ]  # fmt: skip
    assert _checked([stretch], []) == []


@pytest.mark.parametrize("given", [{"target": "act"}, {"error": OracleError(model="overall", rate=0.1)}])
def test_what_only_certificates_take_of_an_oracle_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    oracle = CommandOracle()
    given = given | ({"target": oracle.classes[0]} if "target" in given else {})
    settings = CalibrationSettings(
        data=EmojiDataModule(),
        plan=CalibrationPlan(
            population="small emoji", attributes=[Attribute(name="small", target="a small picture of a {}")],
            sequences={"small": AppearanceSequence(stop={"size": 0.3})},
        ),
        answers=AnswerOptions(questions=[QuestionOptions(oracle=oracle, **given)]),
    )  # fmt: skip
    (name,) = given
    with pytest.raises(ValueError, match=f"expected an oracle alone .* got {name} of oracle 'command': leave it out"):
        calibrate_answers("emoji-captioner", settings, tmp_path / "answers.json")
