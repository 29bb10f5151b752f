"""Every kind of file that a stranger may send, with a payload in it: nothing runs, nothing ends in a traceback."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hostile import Touch, pickled
from PIL import Image

from hrvlm.cli.certify import main as certify
from hrvlm.cli.main import main as hrvlm
from hrvlm.data.decoding import read_image
from hrvlm.data.tar_index import _FORMAT, read_index, shard_paths
from hrvlm.data.zero_shot import load
from hrvlm.generative.oracles.classifiers import TransformersClassifier
from hrvlm.generative.oracles.embedders import SentenceEmbedder

ROOT = Path(__file__).parents[2]
TREE = str(ROOT / "trees" / "emoji_unicode.yaml")
CONFIG = ("certify", "run", "--checkpoint", "emoji", "--output", "{out}", "--config")


class Case:
    """A file and the command that opens it.

    Args:
        write: Makes the file or folder in a folder, with a payload that makes the marker.
        command: A program and its arguments; "{}" is what was written, "{out}" a folder for results.
    """

    def __init__(self, write: Callable[[Path, Path], Path], *command: str) -> None:
        self.write, self.command = write, command


def text(name: str, content: str) -> Callable[[Path, Path], Path]:
    """A text file; MARKER stands for the marker's path."""

    def write(folder: Path, marker: Path) -> Path:
        (folder / name).write_text(content.replace("MARKER", str(marker)), encoding="utf-8")
        return folder / name

    return write


def pickle_named(name: str) -> Callable[[Path, Path], Path]:
    """A bare pickle under another name."""

    def write(folder: Path, marker: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickled(marker))
        return folder / name

    return write


def folder_with(name: str) -> Callable[[Path, Path], Path]:
    """A folder in which one file is a bare pickle."""

    def write(folder: Path, marker: Path) -> Path:
        return pickle_named(f"folder/{name}")(folder, marker).parent

    return write


def model_folder(*, config: str = "", weights: str = "open_clip_model.safetensors", **more: Any) -> Any:
    """An exported folder, with a pickle for weights."""

    def write(folder: Path, marker: Path) -> Path:
        target = folder / "model"
        target.mkdir()
        packaged = json.loads((ROOT / "hrvlm/models/emoji/open_clip_config.json").read_text())
        packaged["model_cfg"]["text_cfg"] |= more
        (target / "open_clip_config.json").write_text(config.replace("MARKER", str(marker)) or json.dumps(packaged))
        with (target / weights).open("wb") as file:
            file.write(pickled(marker))
            file.truncate(2**25)  # as many bytes as a model needs
        return target

    return write


def results(**settings: Any) -> Callable[[Path, Path], Path]:
    """A folder of results whose settings name a module that makes the marker when it is imported."""

    def write(folder: Path, marker: Path) -> Path:
        (folder / "hostile_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
        target = folder / "results"
        target.mkdir()
        sys.path.append(str(ROOT / "tests" / "reports"))
        from report_rows import smoothing_row

        (target / "certificates.jsonl").write_text(json.dumps(smoothing_row()) + "\n")
        (target / "settings.json").write_text(json.dumps({"split": None} | settings))
        return target

    return write


def array_of_objects(path: Path, marker: Path) -> None:
    """A NumPy archive of pickles."""
    values = np.array([Touch(marker)], dtype=object)
    np.savez(path, keys=values, shards=values, offsets=values, sizes=values, labels=values)


def postscript(marker: Path) -> bytes:
    """A picture that is a program: Pillow would hand it to Ghostscript."""
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({marker}) (w) file closefile\nshowpage\n".encode()


def png_with_text(marker: Path) -> bytes:
    """A picture with a bare pickle behind its end."""
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "PNG")
    return file.getvalue() + pickled(marker)


TAGS = "{name: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [MARKER]]}"
NAMED = "{class_path: subprocess.Popen, init_args: {args: [touch, MARKER]}}"
CASES = {
    "configuration: tags": Case(text("some.yaml", f"data: {TAGS}"), *CONFIG, "{}"),
    "configuration: a class of another kind": Case(text("some.yaml", f"data: {NAMED}"), *CONFIG, "{}"),
    "configuration: a class where any value goes": Case(
        text("some.yaml", f"data: {{class_path: hrvlm.data.emoji_pack.datamodule.EmojiDataModule}}\nsplit: {NAMED}"),
        *CONFIG, "{}",
    ),
    "configuration: a function": Case(text("some.yaml", "data: os.system"), *CONFIG, "{}"),
    "configuration: pickle": Case(pickle_named("some.yaml"), *CONFIG, "{}"),
    "configuration: jsonnet": Case(text("some.jsonnet", 'importstr "MARKER"'), *CONFIG, "{}"),
    "tree: tags": Case(text("some.yaml", TAGS), "hrvlm", "tree", "show", "{}"),
    "tree: pickle": Case(pickle_named("some.yaml"), "hrvlm", "tree", "show", "{}"),
    "classes: pickle": Case(pickle_named("some.json"), "hrvlm", "tree", "check", TREE, "--leaves", "{}"),
    "checkpoint": Case(pickle_named("some.ckpt"), "hrvlm", "export", "--checkpoint", "{}", "--output", "{out}"),
    "run configuration of an export": Case(
        text("some.yaml", TAGS),
        "hrvlm", "export", "--checkpoint", "emoji", "--output", "{out}", "--run-config", "{}",
    ),
    "model folder: pickle as safetensors": Case(
        model_folder(), "hrvlm", "export", "--checkpoint", "{}", "--output", "{out}"
    ),
    "model folder: pickle as weights of PyTorch": Case(
        model_folder(weights="open_clip_pytorch_model.bin"),
        "hrvlm", "export", "--checkpoint", "{}", "--output", "{out}",
    ),
    "model folder: pickle as description": Case(
        model_folder(config="cposix\nsystem\n(S'touch MARKER'\ntR."),
        "hrvlm", "export", "--checkpoint", "{}", "--output", "{out}",
    ),
    "model folder: a tokenizer with a program": Case(
        model_folder(hf_tokenizer_name="no/where", tokenizer_kwargs={"trust_remote_code": True}),
        "hrvlm", "export", "--checkpoint", "{}", "--output", "{out}",
    ),
    "captioner": Case(
        folder_with("captioner.json"),
        "certify", "targeted-attack", "--config", "targeted_attack_emoji", "--output", "{out}", "--checkpoint", "{}",
    ),
    "model of transformers": Case(
        lambda folder, marker: transformers_folder(folder, marker),
        "certify", "targeted-attack", "--config", "targeted_attack_emoji", "--output", "{out}", "--checkpoint", "{}",
    ),
    "rows": Case(folder_with("certificates.jsonl"), "certify", "verify", "{}"),
    "rows for a report": Case(folder_with("certificates.jsonl"), "certify", "report", "{}"),
    "settings: pickle": Case(
        lambda folder, marker: pickle_named("results/settings.json")(results()(folder, marker).parent, marker).parent,
        "certify", "report", "{}",
    ),
    "features": Case(
        folder_with("store.json"),
        "certify", "recertify", "--features", "{}", "--checkpoint", "emoji", "--output", "{out}",
        "--config", str(ROOT / "configs/certify/emoji.yaml"),
    ),
}  # fmt: skip


def transformers_folder(folder: Path, marker: Path) -> Path:
    """A model with a program of its own, and pickles for weights."""
    target = folder / "model"
    target.mkdir()
    (target / "program.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    classes = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")
    own = {"auto_map": dict.fromkeys(classes, "program.Own"), "model_type": "own", "processor_class": "Own"}
    for name in ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        (target / name).write_text(json.dumps(own))
    (target / "pytorch_model.bin").write_bytes(pickled(marker))
    return target


@pytest.mark.parametrize("case", CASES)
def test_nothing_in_a_file_runs_and_the_answer_is_one_sentence(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    monkeypatch.chdir(tmp_path)  # where a stranger's folder was unpacked
    path = CASES[case].write(tmp_path, marker)
    program, *arguments = [word.format(path, out=tmp_path / "out") for word in CASES[case].command]
    with pytest.raises(SystemExit) as stopped:
        {"certify": certify, "hrvlm": hrvlm}[program](arguments)
    assert stopped.value.code not in (0, None)
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if "error:" in line or "Traceback" in line]
    findings = [line for line in said.out.splitlines() if arguments[0] == "verify"]
    assert len(errors or findings[:1]) == 1, errors
    assert "Traceback" not in said.err
    assert len(said.err) < 3000
    assert not marker.exists()
    assert not (tmp_path.parent / "outside.jpg").exists()


@pytest.mark.parametrize(
    "noted",
    [
        {"class_path": "hostile_module.Data"},
        {"class_path": "hrvlm.cli.train.main"},
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "MARKER"]}},
        {"class_path": "hrvlm.data.folder.FolderDataModule", "init_args": {"image_size": 10**9}},
        {"class_path": ["hostile_module"]},
        "hostile_module.Data",
        None,
    ],
    ids=str,
)
def test_a_report_imports_no_module_that_a_folder_names(
    noted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    given = json.loads(json.dumps(noted).replace("MARKER", str(marker)))
    folder = results(given_data=given, given_trees=[TREE], given_num_levels=None)(tmp_path, marker)
    monkeypatch.syspath_prepend(str(tmp_path))
    certify(["report", str(folder)])
    assert "the data set is not at hand" in capsys.readouterr().out
    assert not marker.exists()
    assert "hostile_module" not in sys.modules


def test_a_report_holds_no_script_of_a_folder(tmp_path: Path) -> None:
    script = "</pre></svg><script>alert(1)</script><img src=x onerror='alert(2)'>"
    folder = results(given_checkpoint=script, note=script)(tmp_path, tmp_path / "marker")
    path = folder / "certificates.jsonl"
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | {"tree": script, "level_name": script}) + "\n")
    certify(["report", str(folder)])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2  # the page's own, which alone its policy lets run, and its data
    assert page.count("</script") == 2
    assert "alert(1)" not in re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)[0]
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_shards_run_no_pickle_and_read_nothing_outside(tmp_path: Path) -> None:
    marker, path, outside = tmp_path / "marker", tmp_path / "inside" / "some.tar", tmp_path / "outside.cls"
    path.parent.mkdir()
    outside.write_text("7")
    with tarfile.open(path, "w") as tar:
        for name in ("a.jpg", "a.pyd", "a.pkl", "a.pickle", "../../outside.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(pickled(marker))
            tar.addfile(member, io.BytesIO(pickled(marker)))
        for name, kind in (("a.cls", tarfile.SYMTYPE), ("../outside.cls", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(outside)
            tar.addfile(member)
    stat = path.stat()
    state = json.dumps([_FORMAT, [(str(path), stat.st_size, stat.st_mtime_ns)]])
    array_of_objects(path.parent / f".hrvlm-index-{hashlib.sha256(state.encode()).hexdigest()[:16]}.npz", marker)
    with pytest.raises(ValueError, match=r"expected a label .* of sample 'a'"):  # a link is no label
        read_index([str(path)])
    assert not marker.exists()
    assert not (tmp_path / "outside.jpg").exists()


@pytest.mark.parametrize("shards", ["{0..999999999999}.tar", "{0..9999}{0..9999}.tar", "{0..{0..9999999}}.tar"])
def test_names_of_endless_shards_are_not_written_out(shards: str) -> None:
    with pytest.raises(ValueError, match="at most 1000000 shards"):
        shard_paths(shards)


def test_pictures_run_nothing(tmp_path: Path) -> None:
    for name, content in (("some.png", pickled), ("some.eps", postscript), ("some.jpg", postscript)):
        (tmp_path / name).write_bytes(content(tmp_path / "marker"))
        with pytest.raises(ValueError, match="expected a readable image"):
            read_image(str(tmp_path / name))
    (tmp_path / "some.png").write_bytes(png_with_text(tmp_path / "marker"))
    assert read_image(str(tmp_path / "some.png")).size == (9, 9)
    assert not (tmp_path / "marker").exists()


def test_sets_for_zero_shot_run_no_pickle(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for number in range(1, 6):
        pickle_named(f"cifar-10-batches-py/data_batch_{number}")(tmp_path, marker)
    for name in ("cifar-10-batches-py/test_batch", "cifar-10-batches-py/batches.meta"):
        pickle_named(name)(tmp_path, marker)
    for name in ("train", "test", "meta"):
        pickle_named(f"cifar-100-python/{name}")(tmp_path, marker)
    (tmp_path / "pcam").mkdir()
    for kind in "xy":
        with h5py.File(tmp_path / f"pcam/camelyonpatch_level_2_split_test_{kind}.h5", "w") as file:
            file[kind] = np.void(pickled(marker))
            file["link"] = h5py.ExternalLink("/etc/passwd", "/")
    for name in ("flowers-102/imagelabels.mat", "flowers-102/setid.mat"):
        pickle_named(name)(tmp_path, marker)
    (tmp_path / "flowers-102" / "jpg").mkdir()
    for name in ("cifar10", "cifar100", "pcam", "flowers102"):
        with pytest.raises(ValueError, match="expected"):  # noqa: PT012  (a set is read when made, or picture by picture)
            data = load(name, tmp_path)
            data[0]
    assert not marker.exists()


def test_models_of_texts_run_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    folder = transformers_folder(tmp_path, marker)
    (tmp_path / "hostile_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("builtins.input", lambda *words: "y")  # to the library's question whether to run it
    with pytest.raises(ValueError, match="expected a text classifier"):
        TransformersClassifier(str(folder), harmful_labels=["bad"])
    parts = [{"idx": 0, "name": "0", "path": "", "type": "hostile_module.Own"}]
    (folder / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(ValueError, match="modules of sentence_transformers"):
        SentenceEmbedder(str(folder))
    assert not marker.exists()


def test_the_payloads_would_make_the_marker(tmp_path: Path) -> None:
    for number, content in enumerate((pickled(tmp_path / "marker0"), pickled(tmp_path / "marker1"))):
        pickle.loads(content)
        assert (tmp_path / f"marker{number}").exists()
    array_of_objects(tmp_path / "some.npz", tmp_path / "marker2")
    _ = np.load(tmp_path / "some.npz", allow_pickle=True)["keys"]
    assert (tmp_path / "marker2").exists()


def test_a_message_is_as_long_as_people_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(f"name: a\nsource: s\nlicence: l\nnodes: [{', '.join(['long'] * 50_000)}]\n")
    with pytest.raises(SystemExit):
        hrvlm(["tree", "show", str(path)])
    assert 100 < len(capsys.readouterr().err) < 4000
