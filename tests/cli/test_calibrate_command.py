"""Calibration of semantic certificates by commands: the file, rows that rest on it, a second set, refusals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
import yaml

import hrvlm
from hrvlm import plots
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.registry import read_record
from hrvlm.certificates.kinds.semantic.calibrated_extent import ThresholdScale
from hrvlm.certificates.kinds.semantic.calibration import ThresholdRecord
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.cli.certify import main
from hrvlm.evaluation.calibration_check import contradicts
from hrvlm.evaluation.calibration_settings import ShownChanges
from hrvlm.evaluation.shown_features import ShownImages
from hrvlm.evaluation.subject import Subject, load_subject
from hrvlm.models import inferring

ATTRIBUTE = {"name": "small", "target": "a small picture of a {}"}
TREES = [str(Path(__file__).parents[2] / "trees" / "emoji_unicode.yaml")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the emoji, shown smaller in two steps."""
    options = {"epsilons": [0.2, 0.4], "groups": "emoji_unicode/2", "joint": ["levels"]}
    plan = {
        "population": "small emoji", "attributes": [ATTRIBUTE], "options": options, "num_images": 50,
        "sequences": {"small": {"stop": {"size": 0.4}, "steps": 3}},
    }  # fmt: skip
    path = tmp_path_factory.mktemp("config") / "calibrate.yaml"
    path.write_text(yaml.safe_dump({"data": "emoji:unseen_artist", "trees": TREES, "plan": plan}))
    return path


@pytest.fixture(scope="module")
def calibration(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    main(["calibrate", "--config", str(config), "--checkpoint", "emoji", "--output", str(path)])
    return path


def check_loss_curve(folder: Path, calibration: Path) -> None:
    """The page draws how many claims fail by threshold, from a copy of the calibration in the run's folder."""
    page = (folder / "report.html").read_text()
    section = page.split('id="calibration"')[1].split("</section>")[0]
    statements = json.loads(calibration.read_text())["statements"]
    leaf = next(s for s in statements if (s["over"], s["level"], s["scorer"]) == ("alone", 0, "cosine"))
    drawn = section.split('data-name="violated"')[1]
    first = float(drawn.split('data-y="')[1].split('"')[0].split()[0])
    assert first == pytest.approx(100 * leaf["curve"][0][1] / leaf["images"], rel=1e-4)
    assert f"epsilon {leaf['epsilon']:g}: {leaf['thresholds']['marginal']:.3g}" in section
    axes = plots.calibration_losses(folder).axes[0]
    assert axes.lines[0].get_ydata()[0] == pytest.approx(100 * leaf["curve"][0][1] / leaf["images"])
    assert "calibration_losses" in hrvlm.Results.load(folder).plots()


def run_config(config: Path, path: Path) -> Path:
    """The configuration of a run over the same images and changes."""
    given = yaml.safe_load(config.read_text())
    given["plan"] = {"attributes": given["plan"]["attributes"], "smoothing": False, "num_images": 6}
    path.write_text(yaml.safe_dump(given))
    return path


def test_rows_of_a_run_rest_on_the_calibration(
    config: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = str(run_config(config, tmp_path / "run.yaml"))
    words = ["run", "--config", chosen, "--checkpoint", "emoji", "--output"]
    main([*words, str(tmp_path / "raw")])
    assert "images of the calibration" not in capsys.readouterr().out
    main([*words, str(tmp_path / "out"), "--plan.calibration", str(calibration)])
    assert "certified on images of the calibration itself" in " ".join(capsys.readouterr().out.split())
    main(["verify", str(tmp_path / "out")])
    rows = [json.loads(line) for line in (tmp_path / "out" / "certificates.jsonl").read_text().splitlines()]
    raw = [json.loads(line) for line in (tmp_path / "raw" / "certificates.jsonl").read_text().splitlines()]
    assert len(rows) == 18
    assert {row["population"] for row in rows} == {"small emoji"}
    assert all({claim[0] for claim in row["calibrated"]} >= {"alone", "levels"} for row in rows)
    for folder in ("out", "raw"):  # whatever is written has the types that it is read with
        for line in (tmp_path / folder / "certificates.jsonl").read_bytes().splitlines():
            assert read_record(line).to_line() == line.decode()
    for row, other in zip(rows, raw, strict=True):
        assert "calibrated" not in other
        assert (row["intervals"], row["invariance"]) == (other["intervals"], other["invariance"])
        assert all(extent <= abs(other["stop"] - other["start"]) for extent in row["calibrated_extents"])
    assert "calibration" not in json.loads((tmp_path / "raw" / "settings.json").read_text())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["semantic"]["emoji_unicode"]["0"]["small"]
    shares = summary["cosine"]["text"]["calibrated"]["alone"]
    assert shares["0.2"]["marginal"]["mean_share"] < shares["0.4"]["marginal"]["mean_share"]
    main(["report", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Calibrated, about pictures, for: small emoji." in page
    assert "under another artist, camera or change it is void" in page
    assert "calibrated at 0.2 (marginal)" in page
    check_loss_curve(tmp_path / "out", calibration)
    (tmp_path / "out" / "calibration.json").write_text(calibration.read_text().replace("small emoji", "large emoji"))
    main(["report", str(tmp_path / "out")])
    assert 'id="calibration"' not in (tmp_path / "out" / "report.html").read_text()  # that is another calibration
    main(["export", str(tmp_path / "out"), "--to", "parquet"])
    assert "expected the calibration that the rows in" in refused([*words, str(tmp_path / "out")], capsys)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(words)
    return capsys.readouterr().err


def test_a_calibration_of_another_model_or_other_levels_is_refused(
    config: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, output = str(run_config(config, tmp_path / "run.yaml")), str(tmp_path / "out")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(calibration.read_text()) | {"weights": "0"}))
    words = ["run", "--checkpoint", "emoji", "--output", output, "--config", chosen, "--plan.calibration"]
    assert "got one of other weights: make one with" in refused([*words, str(other)], capsys)
    words.append(str(calibration))
    assert "expected semantic certificates of some attributes with a calibration" in refused(
        [*words, "--plan.semantic", "false"], capsys
    )
    assert "other levels, trees or prompts of classes" in refused([*words, "--num_levels", "2"], capsys)
    assert "other prompts or pictures of change 'bright'" in refused(
        [*words, "--plan.attributes", '[{"name": "bright", "target": "a bright {}"}]'], capsys
    )
    assert not (tmp_path / "out").exists()


def test_a_second_set_tells_whether_rates_hold(
    config: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = yaml.safe_load(config.read_text())
    given["plan"] = {name: given["plan"][name] for name in ("attributes", "sequences", "num_images")}
    chosen = tmp_path / "check.yaml"
    chosen.write_text(yaml.safe_dump(given))
    wrong = json.loads(calibration.read_text())
    for statement in wrong["statements"]:
        statement["epsilon"] = 0.001
        statement["thresholds"] = {"marginal": 0.0}
    false = tmp_path / "false.json"
    false.write_text(json.dumps(wrong))
    found = {}
    for file in (calibration, false):
        words = ["--calibration", str(file), "--output", str(tmp_path / f"{file.stem}.checked.json")]
        main(["check-calibration", "--config", str(chosen), "--checkpoint", "emoji", *words])
        found[file] = json.loads((tmp_path / f"{file.stem}.checked.json").read_text())["checks"]
    assert "are images and pictures of the calibration itself" in capsys.readouterr().out
    assert not any(check["contradicted"] for check in found[calibration])
    alone = [check for check in found[calibration] if check["over"] == "alone" and check["form"] == "marginal"]
    assert len(alone) == 6
    assert all(check["lower"] <= check["violated"] / check["images"] <= check["upper"] for check in alone)
    assert any(check["contradicted"] for check in found[false])
    assert {check["over"] for check in found[false]} == {"alone", "group", "levels"}


def test_rates_that_so_few_images_cannot_tell_claim_nothing_and_say_so(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = yaml.safe_load(config.read_text())
    given["plan"]["options"] = {"epsilons": [0.001], "confidence": None}
    path, calibration = tmp_path / "few.yaml", tmp_path / "few.json"
    path.write_text(yaml.safe_dump(given))
    main(["calibrate", "--config", str(path), "--checkpoint", "emoji", "--output", str(calibration)])
    assert (
        "no threshold is valid for 3 claims at epsilon 0.001 (marginal): 3 of them for want of images, of which it "
        "takes at least 999; they claim nothing"
    ) in " ".join(capsys.readouterr().out.split())
    words, folder = ["--checkpoint", "emoji"], str(tmp_path / "out")
    chosen = str(run_config(config, tmp_path / "run.yaml"))
    main(["run", *words, "--config", chosen, "--plan.calibration", str(calibration), "--output", folder])
    main(["verify", folder])
    rows = [json.loads(line) for line in (tmp_path / "out" / "certificates.jsonl").read_text().splitlines()]
    assert {claim[6] for row in rows for claim in row["calibrated"]} == {None}
    assert {*itertools.chain.from_iterable(row["calibrated_extents"] + row["calibrated_shares"] for row in rows)} == {
        0.0
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Of some claims no threshold was valid at 0.001 (marginal): too few calibration images" in page
    assert "epsilon 0.001: none" in page
    given["plan"] = {name: given["plan"][name] for name in ("attributes", "sequences", "num_images")}
    path.write_text(yaml.safe_dump(given))
    capsys.readouterr()
    files = ["--calibration", str(calibration), "--output", str(tmp_path / "checked.json")]
    main(["check-calibration", "--config", str(path), *words, *files])
    told = " ".join(capsys.readouterr().out.split())
    assert "0 thresholds checked, 0 of them contradicted" in told
    assert "3 more rest on no threshold, for none was valid: they claim nothing" in told


def test_a_rate_may_contradict_one_form_and_not_the_other() -> None:
    """Of 99 images 9 may violate a claim: one marginal threshold in ten has a rate above .14."""
    record = ThresholdRecord(
        over="alone", scorer="cosine", target_kind="text", attribute="small", tree="t", level=0, epsilon=0.1,
        scale=ThresholdScale(), speed=PathSpeed(), images=99, curve=(), thresholds={"marginal": 0.1, "0.95": 0.1},
    )  # fmt: skip
    found = {form: [contradicts(record, form, v, 1000, 0.05) for v in (100, 140, 250)] for form in record.thresholds}
    assert found == {"marginal": [False, False, True], "0.95": [False, True, True]}


def test_changes_without_pictures_are_refused(
    pictures: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "--checkpoint", str(tiny_model), "--data", str(pictures)]
    words += ["--output", str(tmp_path / "c.json"), "--plan.population", "all"]
    words += ["--plan.library", "{size: [small]}"]
    assert "expected pictures of change 'size: small' in order" in refused(words, capsys)
    shown = ["--plan.sequences", "{'size: small': {stop: {size: 0.5}}}"]
    assert "expected data that can be shown in several ways" in refused([*words, *shown], capsys)
    decoded = refused([*words, *shown, "--decoding", "path"], capsys)
    assert "expected labels that every level decodes by itself, as calibrated claims are, got 'path'" in decoded
    wrong = ["--plan.sequences", "{'size: small': {stop: {sizes: 0.5}}}"]
    assert "expected a sequence of appearances of change 'size: small'" in refused([*words, *wrong], capsys)


def test_steps_of_a_manifest_are_shares_of_the_change_and_images_without_pictures_are_left_out(
    pictures: Path, tmp_path: Path
) -> None:
    """Of the folder's 32 pictures three have pictures of the change."""
    files = sorted(pictures.glob("*/*.png"))
    lines = [f"{files[9]},0,0.5", f"{files[8]},0,2", f"{files[7]},3,1", f"{files[6]},31,0", f"{files[5]},31,4"]
    steps = tmp_path / "steps.csv"
    steps.write_text("\n".join(["path,image,step", *lines]) + "\n")
    attribute = Attribute(**ATTRIBUTE, sequence=str(steps))
    classifier, data = load_subject("emoji", Subject(data=str(pictures)))
    shown = ShownImages(classifier, data, ShownChanges(attributes=[attribute], batch_size=2))
    assert (shown.indices, shown.left_out) == ([0, 3, 31], 29)
    with inferring(classifier):
        encoded = shown.encoded(attribute)
        own = classifier.model.encode_image(torch.stack([data[8][0], data[5][0]]))
    assert encoded.shares.tolist() == [[0.25, 1.0], [1.0, float("inf")], [0.0, 1.0]]
    assert torch.allclose(encoded.pictures[[0, 2], 1], own, atol=1e-5)
    steps.write_text(f"path,image,step\n{files[9]},0,-1\n")
    with pytest.raises(ValueError, match="expected steps from 0, the image itself, to a last one above 0"):
        ShownImages(classifier, data, ShownChanges(attributes=[attribute]))
