"""`certify.py answers` and `certify.py audit`: answers to be labelled, and certificates of images by labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oracle_runs import ALPHA, COMMAND, NUM_IMAGES, ROWS, SIGMA, N, by_claim, command, rows_of, write_config
from scipy.stats import beta

from hrvlm.certificates.kinds.oracle.annotation import LABELLING_DRAWS
from hrvlm.certificates.kinds.oracle.certify import CLEAN_DRAW
from hrvlm.certificates.noise.gaussian import gaussian
from hrvlm.certificates.sampling.plan import PREDICT_DRAWS
from hrvlm.cli.certify import main
from hrvlm.data import emoji
from hrvlm.evaluation import annotation
from hrvlm.generative import load_generator
from hrvlm.rows.shards import shard_path


class Killed(BaseException):
    """Stands for a kill, which no handler sees."""


ONE_ORACLE = {"questions": [{"oracle": COMMAND}]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Configuration and run of one oracle of which no error is known, to be audited."""
    folder = tmp_path_factory.mktemp("plain")
    config = write_config(folder, answers=ONE_ORACLE)
    return config, command("run", config, folder / "run")


def test_answers_to_label_have_noise_of_their_own(plain: tuple[Path, Path], tmp_path: Path) -> None:
    config, _ = plain
    assert 2 * PREDICT_DRAWS < LABELLING_DRAWS < LABELLING_DRAWS + 2**32 < CLEAN_DRAW
    drawn = command("answers", config, tmp_path / "a.jsonl", "--scope", "image", "--samples_per_image", "20")
    lines = [json.loads(line) for line in drawn.read_text(encoding="utf-8").splitlines()]
    assert {line["label"] for line in lines} == {""}
    generator, data = load_generator("emoji-captioner", prompt="act"), emoji("unseen_artist")
    indices = [position * len(data) // NUM_IMAGES for position in range(NUM_IMAGES)]
    expected = []
    for index in indices:
        image = data[index][0]
        noise = gaussian(tuple(image.shape), 0, index, range(2**62, 2**62 + 20), SIGMA)
        expected += [(index, answer) for answer in generator.generate(image + noise)]
    assert [(line["index"], line["answer"]) for line in lines] == expected
    with pytest.raises(SystemExit):
        command("answers", config, drawn)


@pytest.mark.slow
def test_answers_of_a_population_are_one_each_of_other_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, answers={"decoding": {"temperature": 1.0}})
    asked = ["--uncertified", "true", "--images", "12", "--index_range", "[100, 140]"]
    files = [
        command("answers", config, tmp_path / f"{size}.jsonl", *asked, "--plan.batch_size", str(size)).read_text()
        for size in (5, 64)
    ]
    assert files[0] == files[1]
    indices = [json.loads(line)["index"] for line in files[0].splitlines()]
    assert len(set(indices)) == len(indices) == 12
    assert 100 <= min(indices) <= max(indices) < 140
    assert not set(indices) & {position * len(emoji("unseen_artist")) // NUM_IMAGES for position in range(NUM_IMAGES)}
    capsys.readouterr()
    for more in (["--samples_per_image", "3"], ["--images", "41", "--index_range", "[100, 140]"]):
        with pytest.raises(SystemExit):
            command("answers", config, tmp_path / "bad.jsonl", *more)
        assert "expected" in capsys.readouterr().err


ASKED = ["--scope", "image", "--samples_per_image", "20"]


def test_pictures_to_answer_about_are_read_by_other_processes(
    plain: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = plain
    asked = [*ASKED, "--images", "2", "--num_workers"]
    files = [command("answers", config, tmp_path / f"{count}.jsonl", *asked, count) for count in ("0", "1")]
    assert files[0].read_bytes() == files[1].read_bytes()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        command("answers", config, tmp_path / "none.jsonl", *asked, "-1")
    assert "expected num_workers >= 0, got -1" in capsys.readouterr().err


def test_answers_that_a_kill_cut_short_are_drawn_on(
    plain: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = plain
    whole = command("answers", config, tmp_path / "whole.jsonl", *ASKED).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["whole.jsonl"]
    draw, asked = annotation.noisy_answers, []

    def killed(generator: Any, data: Any, indices: list[int], *more: Any, **others: Any) -> Iterator[Any]:
        asked.append(list(indices))
        for number, found in enumerate(draw(generator, data, indices, *more, **others)):
            if number == 1 and len(asked) == 1:
                part = shard_path(output, 0)
                assert part.read_bytes().count(b"\n") == 2  # settings and an image, flushed before the next one
                with part.open("ab") as file:
                    file.write(b'{"index": 7, "answ')  # torn, as a kill leaves a line
                raise Killed
            yield found

    output = tmp_path / "a.jsonl"
    monkeypatch.setattr(annotation, "noisy_answers", killed)
    with pytest.raises(Killed):
        command("answers", config, output, *ASKED)
    assert not output.exists()
    for more, named in ((["--samples_per_image", "21"], "samples"), (["--plan.seed", "1"], "seed")):
        with pytest.raises(SystemExit) as stopped:
            command("answers", config, output, *ASKED, *more)
        assert stopped.value.code == 1
        assert f"expected the {named} that the answers" in capsys.readouterr().err
    command("answers", config, output, *ASKED, "--plan.batch_size", "16")
    assert output.read_bytes() == whole
    assert [len(indices) for indices in asked] == [NUM_IMAGES, NUM_IMAGES - 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "whole.jsonl"]


def test_answers_killed_after_their_file_was_written_are_finished_by_the_same_command(
    plain: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = plain
    output, asked = tmp_path / "a.jsonl", ["--scope", "image", "--samples_per_image", "2"]

    def killed(_: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(annotation, "_forget", killed)
        with pytest.raises(Killed):
            command("answers", config, output, *asked)
    part = shard_path(output, 0)
    kept, whole = part.read_bytes(), output.read_text()
    output.write_text(whole.replace('"answer": "', '"answer": "another ', 1))
    with pytest.raises(SystemExit):
        command("answers", config, output, *asked)
    assert "which may hold labels" in capsys.readouterr().err
    assert part.read_bytes() == kept
    labels = whole.replace('"label": ""', '"label": "follow"')
    output.write_text(labels)
    command("answers", config, output, *asked)
    assert f"{2 * NUM_IMAGES} answers of {NUM_IMAGES} images" in capsys.readouterr().out
    assert output.read_text() == labels
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    with pytest.raises(SystemExit):  # a file that is finished is not touched again
        command("answers", config, output, *asked)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def labelled(config: Path, folder: Path, *, wrong: dict[int, int], without: int) -> tuple[Path, list[dict[str, Any]]]:
    """Answers with the verb that they begin with as label, but of some images so many with another; one has none."""
    drawn = command("answers", config, folder / "drawn.jsonl", "--scope", "image", "--samples_per_image", "40")
    lines = [json.loads(line) for line in drawn.read_text(encoding="utf-8").splitlines()]
    verbs = ("pick up", "follow", "greet", "go to", "grasp", "watch")
    for line in lines:
        line["label"] = next((verb for verb in verbs if line["answer"].startswith(f"{verb} ")), "no action")
    lines = [line for line in lines if line["index"] != without]
    path = folder / "labels.jsonl"
    for line in lines:
        if wrong.get(line["index"], 0) and line["label"] != "no action":
            wrong[line["index"]] -= 1
            line["label"] = "no action"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path, lines


def audit(config: Path, run: Path, labels: Path, output: Path, *more: str) -> Path:
    main(["audit", str(run), "--config", str(config), "--labels", str(labels), "--output", str(output), *more])
    return output


def test_an_audit_certifies_images_by_their_own_labels(
    plain: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = plain
    before = (run / ROWS).read_bytes()
    composite = by_claim(run, "command")["composite"]
    first, second, last = sorted(composite)
    labels, lines = labelled(config, tmp_path, wrong={first: 2}, without=last)
    found = by_claim(audit(config, run, labels, tmp_path / "audited"), "command")
    assert (run / ROWS).read_bytes() == before
    assert set(found["composite"]) == {first, second, last}
    assert set(found["semantic"]) == {first, second}
    for index, row in found["semantic"].items():
        verb = composite[index]["class_name"]
        called = [line for line in lines if line["index"] == index and line["answer"].startswith(f"{verb} ")]
        wrong = [line for line in called if line["label"] != verb]
        assert (row["errors"], row["trials"]) == (len(wrong), len(called))
        assert (row["error_model"], row["scope"]) == ("audit", "image")
        upper = float(beta.ppf(1 - ALPHA / 2, len(wrong) + 1, len(called) - len(wrong)))
        count = row["count"]
        assert count == composite[index]["count"]
        lower = float(beta.ppf(ALPHA / 2, count, N - count + 1))
        assert row["lower"] == pytest.approx(lower * (1 - upper), abs=1e-9)
    assert found["semantic"][first]["errors"] == 2
    assert found["semantic"][second]["errors"] == 0
    capsys.readouterr()
    main(["verify", str(tmp_path / "audited")])
    assert "5 certificates, 0 that do not hold" in capsys.readouterr().out
    summary = json.loads((tmp_path / "audited" / "summary.json").read_text())["oracle"]["command"]
    assert (summary["composite"]["images"], summary["semantic"]["images"]) == (3, 2)
    assert (tmp_path / "audited" / "report.html").is_file()
    once = (tmp_path / "audited" / ROWS).read_bytes()
    audit(config, run, labels, tmp_path / "audited")
    assert (tmp_path / "audited" / ROWS).read_bytes() == once
    with pytest.raises(SystemExit):
        command("run", config, tmp_path / "audited")
    assert "expected the questions that the rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "more", "message"),
    [
        ({"label": ""}, [], "got an empty one: write the class"),
        ({"label": "jump"}, [], "'jump'"),
        ({"index": 7}, [], "images that the run has rows of, got some of [7]"),
        ({"index": None}, [], "index as a whole number"),
        ({}, ["--oracle", "harm"], "expected oracle as one of"),
        ({}, ["--answers.questions", json.dumps([{"oracle": COMMAND | {"init_args": {"verbs": ["hop"]}}}])], "another"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    line: dict[str, Any],
    more: list[str],
    message: str,
    plain: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, run = plain
    index = rows_of(run)[0]["index"]
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps({"answer": "follow the fox", "label": "follow", "index": index} | line) + "\n")
    with pytest.raises(SystemExit):
        audit(config, run, labels, tmp_path / "audited", *more)
    shown = capsys.readouterr().err.strip()
    assert message in shown
    assert "\n" not in shown
    assert not (tmp_path / "audited" / ROWS).exists()


def test_classes_without_labelled_answers_get_no_semantic_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a class that no labelled answer tells of nothing is known; shares of alpha are those of the other images."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text(
        "".join(json.dumps({"answer": "follow the fox", "label": "follow"}) + "\n" for _ in range(30)), encoding="utf-8"
    )
    calibration = {"file": str(labels), "model": "conditional", "scope": "homogeneous"}
    config = write_config(tmp_path, answers={"questions": [{"oracle": COMMAND, "calibration": calibration}]})
    run = command("run", config, tmp_path / "run")
    found = by_claim(run, "command")
    followed = {index for index, row in found["composite"].items() if row["class_name"] == "follow"}
    assert set(found["semantic"]) == set(found["composite"]) - followed  # all labelled answers were of "follow"
    assert 0 < len(followed) < NUM_IMAGES
    assert {row["alpha_share"] for row in found["composite"].values()} == {ALPHA / 2}
    capsys.readouterr()
    main(["verify", str(run)])
    assert ", 0 that do not hold" in capsys.readouterr().out
