"""`hrvlm init` and shipped configurations for pictures of one's own: what is found, and that what is written runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from hrvlm.cli.certify import main as certify
from hrvlm.cli.main import main
from hrvlm.data import chosen_classes, open_images
from hrvlm.evaluation.beginning.looking import EXAMPLES, look
from hrvlm.trees import load_tree

CLASSES = ["ant", "bee", "cat", "dog", "elm", "fir", "gem", "hat"]
QUICK = ["--plan.num_images", "2", "--plan.n", "20", "--plan.n0", "8", "--plan.alpha", "0.1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def parts(pictures: Path, make_pictures: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A train and a val folder of class folders."""
    root = tmp_path_factory.mktemp("parts")
    shutil.copytree(pictures, root / "train")
    shutil.copytree(make_pictures(seed=1), root / "val")
    return root


@pytest.fixture(scope="module")
def bare(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures without labels."""
    root = tmp_path_factory.mktemp("bare")
    for name in CLASSES[:3]:
        shutil.copy(pictures / name / "0.png", root / f"{name}.png")
    return root


def written(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str, str]:
    """Settings of the file that `init` writes, what it says of the pictures, and the command that it tells."""
    main(["init", *arguments])
    said, command = capsys.readouterr().out.splitlines()
    path = Path(command.split("--config ")[1].split()[0])
    text = path.read_text(encoding="utf-8")
    assert command in text
    assert "«" not in text
    return yaml.safe_load(text), said, command


def test_class_folders_are_certified(
    here: Path, pictures: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, said, command = written(capsys, "--data", str(pictures), "--model", str(tiny_model))
    assert said == f"Found {pictures} (class folders): 32 pictures of 8 classes. Wrote certify.yaml; next:"
    assert given["data"] == str(pictures)
    assert not {"split", "classes"} & set(given)
    certify([*command.split()[2:], *QUICK])
    rows = [json.loads(line) for line in (here / "runs/certified/certificates.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {"smoothing", "semantic"}
    assert {row["index"] for row in rows} == {0, 16}


def test_a_val_folder_is_evaluated_and_attacked(
    here: Path, parts: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, said, command = written(capsys, "--data", str(parts), "--model", str(tiny_model), "--task", "zero-shot")
    assert (given["data"], given["split"], given["eps"]) == ([str(parts)], "val", ["1/255", "4/255"])
    assert said.endswith("(splits, split val): 32 pictures of 8 classes. Wrote zero_shot.yaml; next:")
    certify([*command.split()[2:], "--num_images", "4", "--settings.apgd_steps", "2", "--settings.max_targets", "2"])
    (entry,) = json.loads((here / "runs/zero_shot/summary.json").read_text())["data"]
    assert [(result["attack"], round(result["eps"] * 255)) for result in entry["results"]] == [
        ("clean", 0), ("apgd", 1), ("pgd20", 1), ("apgd", 4), ("pgd20", 4), ("worst case", 1), ("worst case", 4),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:The number of training batches.*")
def test_class_folders_are_trained_on(
    here: Path, parts: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, _, command = written(capsys, "--data", str(parts), "--model", str(tiny_model), "--task", "train")
    chosen = given["data"]["init_args"]
    assert (chosen["train_folder"], chosen["evaluation_folders"]) == (f"{parts}/train", {"validation": f"{parts}/val"})
    assert given["model"]["init_args"]["trees"] == ["train_tree.yaml"]
    assert load_tree(here / "train_tree.yaml").leaves == tuple(CLASSES)
    monkeypatch.setattr("sys.argv", ["train.py"])
    small = ["--data.init_args.image_size", "32", "--data.init_args.num_workers", "0", "--trainer.max_epochs", "1"]
    main([*command.split()[1:], *small, "--trainer.accelerator", "cpu"])
    assert list(here.glob("runs/first/version_0/checkpoints/*.ckpt"))
    assert list(here.glob("runs/first/version_0/certificates/*/*.jsonl"))


def test_pictures_that_training_sees_are_said_to_be_seen(
    here: Path, pictures: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (folder, same) in enumerate(((pictures, True), (parts, False))):
        written(capsys, "--data", str(folder), "--task", "train", "--output", f"{number}.yaml")
        assert ("THE SAME PICTURES" in (here / f"{number}.yaml").read_text()) is same
    given = yaml.safe_load((here / "1.yaml").read_text())["model"]["init_args"]
    assert (given["model"], given["pretrained"]) == ("ViT-B-32", "openai")


def test_answers_about_pictures_are_certified(here: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, _, command = written(capsys, "--data", str(pictures), "--task", "oracle", "--model", "emoji-captioner")
    assert given["answers"]["questions"][0]["oracle"]["init_args"]["names"] == CLASSES
    certify([*command.split()[2:], *QUICK, "--image_size", "32"])
    assert (here / "runs/answers/certificates.jsonl").read_text().count('"composite"') == 2


def test_pictures_without_labels_get_example_classes(
    here: Path, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, said, _ = written(capsys, "--data", str(bare))
    assert said.startswith(f"Found {bare} (pictures): 3 pictures without labels.")
    assert given["classes"] == list(EXAMPLES)
    assert "EXAMPLES" in (here / "certify.yaml").read_text()
    given, _, _ = written(capsys, "--data", str(bare), "--classes", "red fox, blue gem", "--output", "own.yaml")
    assert given["classes"] == ["red fox", "blue gem"]


def test_classes_that_a_file_names_by_ids_are_named_by_the_file(
    here: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "names.json").write_text(json.dumps({name: f"{name} of a kind" for name in CLASSES}))
    given, _, _ = written(capsys, "--data", str(pictures), "--classes", "names.json")
    data = open_images(given["data"])
    assert data.sorted_into(chosen_classes(given["classes"], data)).labels() == data.labels()


def test_a_model_of_the_hub_is_trained_by_its_whole_name(
    here: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, _, _ = written(capsys, "--data", str(pictures), "--task", "train", "--model", "hf-hub:them/their-clip")
    chosen = given["model"]["init_args"]
    assert (chosen["model"], chosen["pretrained"]) == ("hf-hub:them/their-clip", None)


def test_manifests_and_odd_names_are_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" «words»'
    folder.mkdir()
    for name in ("x", "y"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    (folder / "list.csv").write_text("path,label\nx.png,one\ny.png,two\n")
    found = look(str(folder / "list.csv"))
    assert (found.kind, found.size, found.labelled, found.classes.ids) == ("manifest", 2, True, ("one", "two"))
    main(["init", "--data", str(folder / "list.csv"), "--output", str(tmp_path / "it.yaml")])
    assert yaml.safe_load((tmp_path / "it.yaml").read_text())["data"] == str(folder / "list.csv")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "pictures", "--output", "there.yaml"], "expected no file at there.yaml"),
        (["--data", "bare", "--task", "train"], "expected class folders"),
        (["--data", "bare", "--task", "zero-shot"], "expected a label for every picture"),
        (["--data", "nothing"], "expected data as a folder"),
        (["--data", "cifar10"], "which needs no setup"),
        (["--data", "pictures", "--task", "fly"], "certify"),
        (["--data", "pictures", "--classes", "ant,"], "at least 2 classes"),
    ],
)
def test_what_does_not_go_is_refused_in_one_sentence(
    arguments: list[str], sentence: str, here: Path, pictures: Path, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "there.yaml").write_text("kept\n")
    places = {"pictures": str(pictures), "bare": str(bare)}
    with pytest.raises(SystemExit) as stopped:
        main(["init", *(places.get(word, word) for word in arguments)])
    assert stopped.value.code not in (0, None)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("hrvlm: error: ")
    assert sentence in said
    assert [path.name for path in here.iterdir()] == ["there.yaml"]
    assert (here / "there.yaml").read_text() == "kept\n"


def test_the_shipped_configuration_for_a_folder_runs(here: Path, pictures: Path, tiny_model: Path) -> None:
    certify([
        "run", "--checkpoint", str(tiny_model), "--config", "certify/own_folder", "--data", str(pictures),
        "--output", "out", *QUICK,
    ])  # fmt: skip
    assert (here / "out" / "report.html").is_file()


@pytest.mark.slow
def test_the_shipped_configuration_for_imagenet_runs(here: Path, tiny_model: Path) -> None:
    for synset in ("n01440764", "n02119022", "n03100240"):  # tench, red fox, convertible
        folder = here / "data" / "imagenet" / "val" / synset
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), (200, 90, 30)).save(folder / "1.JPEG")
    certify([
        "run", "--checkpoint", str(tiny_model), "--config", "certify/imagenet", "--device", "cpu", "--output", "out",
        *QUICK, "--plan.batch_size", "32",
    ])  # fmt: skip
    rows = [json.loads(line) for line in (here / "out" / "certificates.jsonl").read_text().splitlines()]
    assert {row["level"] for row in rows} == set(range(len(load_tree("imagenet_wordnet").levels)))


def test_the_shipped_configuration_for_a_local_model_runs(
    here: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "generative"))
    import tiny_transformers

    folder = tiny_transformers.save("llava", here / "model")
    certify([
        "run", "--checkpoint", str(folder), "--config", "certify/local_vlm", "--data", str(pictures),
        "--output", "out", *QUICK, "--image_size", "16",
    ])  # fmt: skip
    rows = [json.loads(line) for line in (here / "out" / "certificates.jsonl").read_text().splitlines()]
    assert {row["claim"] for row in rows} == {"composite"}
