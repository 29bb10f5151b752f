"""`certify.py run` and `attack` on any pictures, classes and trees, whatever the checkpoint was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command_runs import command_line

from hrvlm.cli.certify import main
from hrvlm.data import chosen_templates
from hrvlm.evaluation.source_options import SourceOptions
from hrvlm.evaluation.subject import Subject, load_subject
from hrvlm.models import PoincareHead, export_model, load
from hrvlm.models.zero_shot import ZeroShotClassifier

PLAN: dict[str, Any] = {"num_images": 3, "n0": 8, "n": 20, "alpha": 0.05, "sigma": 0.02, "batch_size": 64}
DARK = '[{"name": "dark", "target": "a dark picture of a {}"}]'
SMALL = [word for name, value in PLAN.items() for word in (f"--plan.{name}", str(value))]
ATTACK = ["--plan.num_images", "4", "--plan.attacks", "[pgd1]", "--plan.threat_model.eps", "4/255"]


@pytest.fixture(scope="module")
def hyperbolic(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a hyperbolic head that was trained on three levels of other classes."""
    head = PoincareHead(image_scale=0.6, text_scales=[0.7, 0.6, 0.5])
    folder = tmp_path_factory.mktemp("hyperbolic") / "model"
    return export_model(load(str(tiny_model)).model, folder, head=head.eval(), classes=["sun", "moon", "star"])


def certify(output: Path, *words: str) -> Path:
    main(["run", "--output", str(output), *SMALL, *words])
    return output


def rows(folder: Path, name: str = "certificates.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def noted(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    return found


def test_a_folder_needs_no_configuration(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = certify(tmp_path / "run", "--checkpoint", str(tiny_model), "--data", str(pictures))
    assert [(row["index"], row["tree"], row["level_name"], row["label"]) for row in rows(folder)] == [
        (0, "flat", "class", 0),
        (10, "flat", "class", 2),
        (21, "flat", "class", 5),
    ]
    assert noted(folder)["image_size"] == 32
    assert noted(folder)["given_data"] == str(pictures)
    assert not [name for name in noted(folder) if name in ("given_classes", "given_head", "given_root")]
    main(["verify", str(folder)])
    capsys.readouterr()
    main(["report", str(folder)])
    assert "without pictures" not in capsys.readouterr().out
    main(["run", "--output", str(folder), *SMALL, "--checkpoint", str(tiny_model), "--data", str(pictures)])


def test_a_text_and_a_data_module_give_the_same_rows(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"pictures": pictures, "tree": tree_file, "folder": tmp_path}
    plan = PLAN | {"attributes": json.loads(DARK)}
    main(command_line("run", tiny_model, plan=plan, **given)(tmp_path / "module"))
    words = ["--data", str(pictures), "--trees", f"[{tree_file}]", "--plan.attributes", DARK]
    folder = certify(tmp_path / "text", "--checkpoint", str(tiny_model), *words)
    assert (folder / "certificates.jsonl").read_bytes() == (tmp_path / "module" / "certificates.jsonl").read_bytes()
    assert noted(folder) | {"given_data": 0} == noted(tmp_path / "module") | {"given_data": 0, "image_size": 32}


def test_chosen_classes_and_trees(
    hyperbolic: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", str(hyperbolic), "--data", str(pictures), "--classes", "cat, ant, elm"]
    with pytest.raises(SystemExit):
        certify(tmp_path / "refused", *words)
    said = capsys.readouterr().err
    assert "expected every class of all by its id or name in classes, which lacks 'bee', 'dog'" in said
    words += ["--leave_out", "true", "--trees", f"[{tree_file}]", "--plan.attributes", DARK]
    folder = certify(tmp_path / "some", *words)
    found = rows(folder)
    assert noted(folder)["data_size"] == 12
    assert [level for level in noted(folder)["trees"][0]["levels"]] == ["leaf", "level 1"]
    leaves = {row["index"]: row["label"] for row in found if row["level"] == 0}
    assert leaves == {0: 1, 4: 0, 8: 2}  # pictures of ant, cat and elm, in the order of the folders
    assert {row["scorer"] for row in found if row["kind"] == "semantic"} == {"poincare", "cosine"}
    plain = certify(tmp_path / "plain", *words, "--head", "cosine")
    assert {row["scorer"] for row in rows(plain) if row["kind"] == "semantic"} == {"cosine"}
    assert noted(plain)["weights"] != noted(folder)["weights"]
    assert noted(plain)["given_head"] == "cosine"
    for each in (folder, plain):
        main(["verify", str(each)])


def test_classes_that_are_no_leaves_are_refused(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", str(tiny_model), "--data", str(pictures), "--trees", f"[{tree_file}]"]
    with pytest.raises(SystemExit):
        certify(tmp_path / "run", *words, "--classes", "ant, sphinx")
    assert (
        "expected a leaf of the trees for every class of classes, found none for ['sphinx']" in capsys.readouterr().err
    )


def test_more_levels_than_the_head_has_are_refused(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(str(tiny_model)).model
    head = PoincareHead(image_scale=0.6, text_scales=[0.7])
    shallow = export_model(model, tmp_path / "shallow", head=head.eval(), classes=["sun", "moon"])
    words = ["--checkpoint", str(shallow), "--data", str(pictures), "--trees", f"[{tree_file}]"]
    with pytest.raises(SystemExit):
        certify(tmp_path / "run", *words)
    assert "cut the trees with num_levels, or ask for plain cosines" in capsys.readouterr().err
    certify(tmp_path / "run", *words, "--num_levels", "1")


@pytest.mark.parametrize("head", ["cosine", "trained"])
def test_several_templates_are_averaged_as_zero_shot_classifiers_do(
    hyperbolic: Path, pictures: Path, head: Any
) -> None:
    texts = ["a {}", "the {} at night", "This is a photo of a {}."]
    options = SourceOptions(classes="ant, bee, cat, dog, elm, fir, gem, hat", templates=texts, head=head)
    classifier, data = load_subject(str(hyperbolic), Subject(data=str(pictures), source=options))
    other = ZeroShotClassifier(classifier.model, classifier.head, data.class_names, texts)
    assert torch.equal(classifier.text_points(classifier.keys[0]), other.text_points)
    one = SourceOptions(classes=options.classes, templates="tecoa", head=head)
    single, _ = load_subject(str(hyperbolic), Subject(data=str(pictures), source=one))
    expected = ZeroShotClassifier(single.model, single.head, data.class_names, chosen_templates("tecoa") or ())
    assert torch.allclose(single.text_points(single.keys[0]), expected.text_points, atol=1e-6)


def test_templates_belong_to_what_rows_depend_on(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", str(tiny_model), "--data", str(pictures), "--templates"]
    folder = certify(tmp_path / "run", *words, '["a {}", "the {}"]')
    assert noted(folder)["given_templates"] == ["a {}", "the {}"]
    with pytest.raises(SystemExit):
        certify(folder, *words, '["a {}", "one {}"]')
    assert "expected the trees that the rows in" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        certify(tmp_path / "none", *words, "no place for it")
    assert 'expected templates as "tecoa", "openai", a template with {}' in capsys.readouterr().err


def test_attacks_on_classes_of_ones_own(hyperbolic: Path, pictures: Path, tmp_path: Path) -> None:
    words = [
        "--checkpoint",
        str(hyperbolic),
        "--data",
        str(pictures),
        "--classes",
        "[hat, gem, fir, elm, dog, cat, bee, ant]",
    ]
    main(["attack", "--output", str(tmp_path / "run"), *words, *ATTACK])
    found = rows(tmp_path / "run", "robustness.jsonl")
    assert {(row["index"], row["label"]) for row in found} == {(0, 7), (8, 5), (16, 3), (24, 1)}
    main(["verify", str(tmp_path / "run")])


def test_a_split_of_a_folder_and_its_pictures_in_a_report(
    tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pictures, tmp_path / "data" / "val")
    words = ["--checkpoint", str(tiny_model), "--data", str(tmp_path / "data"), "--split", "val", "--image_size", "16"]
    folder = certify(tmp_path / "run", *words)
    assert noted(folder)["image_size"] == 16
    capsys.readouterr()
    main(["report", str(folder)])
    assert "without pictures" not in capsys.readouterr().out
    shutil.rmtree(tmp_path / "data")
    main(["report", str(folder)])
    assert "without pictures" not in capsys.readouterr().out  # those of the page before are kept
    (folder / "report.html").unlink()
    main(["report", str(folder)])
    assert "without pictures: the data set is not at hand (expected data as a folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "nowhere"], "expected data as a folder of pictures"),
        (["--data", "PICTURES", "--classes", "ant, ant"], "expected every class id once"),
        (["--data", "PICTURES", "--classes", "ant,"], "expected at least 2 classes"),
        (["--data", "cifar10"], "expected root, the folder that holds the zero-shot set cifar10"),
        (["--data", "PICTURES", "--head", "round"], "head"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    words: list[str], said: str, tiny_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(pictures) if word == "PICTURES" else word for word in words]
    with pytest.raises(SystemExit):
        certify(tmp_path / "run", "--checkpoint", str(tiny_model), *given)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
