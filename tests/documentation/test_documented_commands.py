"""Every command of the documentation is read by the parser of what it names, and run unless a mark says why not."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from documented import PYTHON, ROOT, SHELL, Block, all_blocks, blocks_of
from PIL import Image
from torch.distributed.run import get_args_parser

from hrvlm.cli.certify import main as certify
from hrvlm.cli.command import parser_of
from hrvlm.cli.command_table import CERTIFY, HRVLM
from hrvlm.cli.main import main
from hrvlm.cli.train import main as train
from hrvlm.cli.train import parsers
from hrvlm.shipped import named

BLOCKS = all_blocks()
RUN = sorted({block.page for block in BLOCKS if block.language in (*SHELL, PYTHON) and not block.mark})
OWN_TESTS = ("docs/python.md",)  # whose examples need rows of every kind: test_python_examples.py
FEW = ["--plan.num_images", "2", "--plan.n", "40", "--plan.n0", "8", "--plan.alpha", "0.05"]
SMALL = {
    "run": FEW,
    "attack": ["--plan.num_images", "2", "--plan.settings.apgd_steps", "2"],
    "zero-shot": ["--num_images", "2", "--settings.apgd_steps", "2"],
    "targeted-attack": ["--num_images", "1", "--steps", "1", "--eps", "[0.1]"],
    "answers": FEW,
}
"""What makes commands short."""
# Files that readers bring, and the shipped ones that they are like.
BROUGHT = {
    "certify.yaml": "certify/own_folder", "my_run.yaml": "certify/emoji", "my_answers.yaml": "certify/oracle_action",
    "other_pictures.yaml": "calibrate_emoji",
}  # fmt: skip
OF_CALIBRATION = ("population", "options")  # which the plan of its check has none of
LONG = 2  # lines of training, whose many options take a second each
COMMANDS = [
    pytest.param(block, id=str(block), marks=[pytest.mark.slow] if block.text.count("train.py fit") > LONG else [])
    for block in BLOCKS
    if block.language in SHELL
]
ZOO = ["cat", "dog", "fox", "otter", "pike"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what readers are supposed to have."""
    for name, like in BROUGHT.items():
        given = yaml.safe_load(Path(str(named(like, "configs"))).read_text(encoding="utf-8"))
        for part in OF_CALIBRATION if name == "other_pictures.yaml" else ():
            del given["plan"][part]
        (tmp_path / name).write_text(yaml.safe_dump(given), encoding="utf-8")
    (tmp_path / "classes.txt").write_text("\n".join(ZOO))
    proposal = next(block for block in BLOCKS if block.page == "docs/trees.md" and block.language == "json")
    (tmp_path / "proposal.json").write_text(proposal.text)
    (tmp_path / "my_tree.yaml").symlink_to(ROOT / "trees" / "emoji_form.yaml")
    for folder, classes in {"photos": ["red apple", "fox"], "zoo": ZOO, "unlabelled": [""]}.items():
        for name in classes:
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / folder / name / "1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])  # Lightning warns of arguments from two sides
    return tmp_path


def split(words: list[str]) -> tuple[str, list[str]]:
    """The program of a command, whoever starts it, and the words after it."""
    if words[0] == "srun":
        words = [*dropwhile(lambda word: word.startswith("--"), words[1:])]
    if words[0] == "torchrun":
        launched = get_args_parser().parse_args(words[1:])
        words = [launched.training_script, *launched.training_script_args]
    if words[0] == "python":
        words = ["hrvlm", *words[3:]] if words[1:3] == ["-m", "hrvlm"] else words[1:]
    return words[0], words[1:]


def as_hrvlm(words: list[str]) -> list[str] | None:
    """A command as words of `hrvlm`; None of other programs."""
    program, rest = split(words)
    if program in ("train.py", "certify.py"):
        return [program.removesuffix(".py"), *rest]
    return rest if program == "hrvlm" else None


def read(words: list[str]) -> None:
    """Reads the options of a command of this project as it would itself, without running it."""
    first, *rest = words
    if first == "train":
        command, *rest = rest if not rest[0].startswith("-") else ["fit", *rest]
        parsers("train.py")[command].parse_args(rest)
    elif first == "certify":
        rest = ["run", *rest] if rest[0].startswith("-") else rest
        parser_of(rest[0], CERTIFY, "certify.py", "").parse_args(rest)
    elif words != ["--version"]:
        parser_of(first, HRVLM, "hrvlm", "").parse_args(words)


def make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [word for word in words if "=" not in word and word not in targets] == []


def pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert words[0] in ("install", "wheel")
    wanted = {name for word in words[1:] for of in re.findall(r"^hrvlm\[(.+)\]$", word) for name in of.split(",")}
    assert wanted <= set(extras)


def script(path: str, words: list[str]) -> None:
    """Holds that a script is there, and names the options that it is given."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert [word for word in words if word.startswith("--") and word not in text] == []


OTHERS: dict[str, Callable[[list[str]], None]] = {"make": make, "pip": pip}


@pytest.mark.parametrize("block", COMMANDS)
def test_options_are_those_of_the_command(block: Block, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert block.commands()
    for words in block.commands():
        told = f"{block}: {' '.join(words)}"
        try:
            if (own := as_hrvlm(words)) is not None:
                read(own)
            elif words[0] in OTHERS:
                OTHERS[words[0]](words[1:])
            else:
                script(*split(words))
        except (SystemExit, AssertionError, OSError) as error:
            pytest.fail(f"{told}\n{error or capsys.readouterr().err}")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if page not in OWN_TESTS])
def test_examples_run_one_after_the_other(
    page: str, home: Path, finished: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = home / "runs" / "quickstart" / "version_0"
    shutil.copytree(finished.folder, trained)
    shutil.copy(finished.checkpoint(1), trained / "checkpoints" / "last.ckpt")
    names: dict[str, Any] = {}
    for block in blocks_of(ROOT / page):
        if block.mark:
            continue
        if block.language == PYTHON:
            exec(compile(block.text, str(block), "exec"), names)
        for words in block.commands() if block.language in SHELL else ():
            run(words)
            capsys.readouterr()


@contextmanager
def suppress_success() -> Iterator[None]:
    """Lets a program end well, and no other way."""
    try:
        yield
    except SystemExit as stopped:
        if stopped.code:
            raise AssertionError(f"expected the command to end well, got exit code {stopped.code}") from stopped


def run(words: list[str]) -> None:
    """Runs a command in small."""
    own = as_hrvlm(words)
    assert own is not None, words
    program, rest = (own[0], own[1:]) if own[0] in ("train", "certify") else ("", own)
    small = SMALL.get(rest[0], []) if rest else []
    if rest[0] == "verify" and "--expect" in rest:
        small = ["--expect", "2"]
    started: Callable[[list[str]], None] = {"train": train, "certify": certify, "": main}[program]
    with suppress_success():
        started([*rest, *small])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == PYTHON], ids=str)
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("yaml", "json")], ids=str)
def test_data_is_read(block: Block) -> None:
    assert {"yaml": yaml.safe_load, "json": json.loads}[block.language](block.text)


def test_a_wrong_option_is_seen(home: Path) -> None:
    with pytest.raises(SystemExit):
        read(["certify", "run", "--checkpoint", "emoji", "--data", "photos", "--output", "o", "--plan.sigmas", "1"])
    with pytest.raises(SystemExit):
        read(["train", "--config", "quickstart", "--trainer.length", "1"])
    with pytest.raises(AssertionError):
        make(["no-such-target"])
    with pytest.raises(AssertionError):
        pip(["install", "hrvlm[nothing]"])
    with pytest.raises(AssertionError):
        script("benchmarks/smoothing.py", ["--no-such-option"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nmake\n```", "expected a language"),
        ("```bash\nmake", "to be closed"),
        ("<!-- parsed: so -->\n\n```bash\nmake\n```", "right after"),
        ("<!-- parsed: so -->\n```python\n1\n```", "expected bash or sh after"),
    ],
)
def test_a_block_without_language_or_a_lost_mark_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        blocks_of(ROOT / "README.md", text)


def test_commands_are_read_as_a_shell_reads_them() -> None:
    text = "```bash\n# one\nmake a{b,c}d '{x, y}' \\\n  e   # two {f,g}\n```"
    assert blocks_of(ROOT / "README.md", text)[0].commands() == [["make", "abd", "acd", "{x, y}", "e"]]
