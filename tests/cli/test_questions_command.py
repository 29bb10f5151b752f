"""`certify.py run` and `answers` where every picture has prompts of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oracle_runs import ORACLES, ROWS, command, rows_of, write_config
from torchvision.transforms.functional import to_pil_image

from hrvlm.certificates.noise.gaussian import gaussian
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.data.questions import open_questions
from hrvlm.generative import load_generator

N0, N, SIGMA = 4, 16, 0.1
NAMES = {"class_path": ORACLES + "CommandOracle"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, the first of which is asked about twice."""
    folder, data = tmp_path_factory.mktemp("questions"), emoji("unseen_artist")
    for index in (0, 200):
        to_pil_image(data[index][0]).save(folder / f"{index}.png")
    act = load_generator("emoji-captioner", prompt="act").generate(data[0][0][None])[0]
    lines = [
        {"path": "0.png", "prompt": "act", "reference": ["no words of a command", act]},
        {"path": "0.png", "prompt": "describe"},
        {"path": "200.png", "prompt": "act"},
    ]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {"prompt": None, "references": None, "questions": [{"oracle": NAMES}]}
    plan = {"num_images": 3, "n0": N0, "n": N, "sigma": SIGMA, "batch_size": 24}
    folder = tmp_path_factory.mktemp("config")
    return write_config(folder, data=str(manifest), split=None, image_size=64, answers=answers, plan=plan)


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return command("run", config, tmp_path_factory.mktemp("run"))


def test_every_line_is_certified_for_its_own_prompt(
    run: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, data = rows_of(run), open_questions(str(manifest), image_size=64)
    assert [(row["index"], row["prompt"], row["prompt_of"]) for row in rows] == [
        (0, "act", "image"), (1, "describe", "image"), (2, "act", "image")
    ]  # fmt: skip
    for row in rows:
        noise = gaussian((3, 64, 64), 0, row["index"], range(N0, N0 + N), SIGMA)
        answers = load_generator("emoji-captioner", prompt=row["prompt"]).generate(data[row["index"]][0] + noise)
        if row["prompt"] == "describe":  # which commands nothing
            assert (row["class_name"], row["unparseable"]) == ("unparseable", N)
            assert not any(answer.startswith(row["answer"].split()[0] + " the") for answer in answers)
        else:
            assert row["count"] == sum(answer.startswith(row["class_name"] + " ") for answer in answers) > 0
    assert rows[0]["label"] is None or rows[0]["label"] >= 0
    assert [row["label"] for row in rows[1:]] == [-1, -1]
    summary = json.loads((run / "summary.json").read_text())["oracle"]["command"]["composite"]
    assert (summary["prompt"], summary["images"]) == (None, 3)
    capsys.readouterr()
    main(["verify", str(run)])
    assert "3 certificates, 0 that do not hold" in capsys.readouterr().out


def test_a_true_answer_gives_the_label(run: Path) -> None:
    first = rows_of(run)[0]
    assert first["label"] == first["prediction"]
    assert first["correct"]


def test_a_run_goes_on_with_these_questions_alone(
    run: Path, config: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads((run / "settings.json").read_text())
    assert settings["generator"]["prompt"] is None
    written = (run / ROWS).read_bytes()
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / ROWS).write_bytes(b"".join(written.splitlines(keepends=True)[:1]))
    command("run", config, tmp_path)
    assert (tmp_path / ROWS).read_bytes() == written
    other = manifest.with_name("other.jsonl")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    other.write_text("\n".join([lines[0], lines[2], lines[1]]), encoding="utf-8")
    with pytest.raises(SystemExit):
        command("run", config, tmp_path, "--data", str(other))
    assert "questions" in capsys.readouterr().err


def test_altered_prompts_of_a_run_are_noticed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(run)
    del rows[0]["prompt_of"]
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["verify", str(tmp_path)])
    assert "prompt_of" in capsys.readouterr().out


def test_answers_to_be_labelled_are_those_to_the_prompt_of_each(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    main(["answers", "--config", str(config), "--checkpoint", "emoji-captioner", "--output", str(path)])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2]
    assert lines[1]["answer"].startswith(("a ", "an "))
    assert not lines[0]["answer"].startswith(("a ", "an "))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"prompt": "act"}, "expected no prompt in answers"),
        ({"references": "emoji"}, "expected no references in answers"),
    ],
)
def test_what_the_manifest_says_is_not_said_again(
    answers: dict[str, Any], message: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"prompt": None, "references": None, "questions": [{"oracle": NAMES}]} | answers
    config = write_config(tmp_path, data=str(manifest), split=None, image_size=64, answers=given)
    with pytest.raises(SystemExit):
        command("run", config, tmp_path / "run")
    assert message in " ".join(capsys.readouterr().err.split())
