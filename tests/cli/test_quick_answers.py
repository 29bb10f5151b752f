"""Help, versions and completion are given at once, and are those of the parsers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hrvlm.cli import certify, completion, programs, quick_answers
from hrvlm.cli.command_table import CERTIFY, HRVLM
from hrvlm.cli.main import main
from hrvlm.cli.parser_words import in_words
from hrvlm.evaluation.subject import Subject

ROOT = Path(__file__).parents[2]
REWRITE = "options have changed: python -m hrvlm.cli.help_texts writes the texts again"


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, ...], str]:
    """By a process of its own: parsers name the classes that are imported, and other tests import more."""
    code = "import json; from hrvlm.cli.help_texts import texts; print(json.dumps(list(texts())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {(family, *command.split(" ")): text for family, command, text in json.loads(done.stdout.splitlines()[-1])}


def test_kept_texts_are_what_parsers_say(made: dict[tuple[str, ...], str]) -> None:
    if quick_answers.kept_versions() == quick_answers.versions():
        assert quick_answers.kept_texts() == made, REWRITE
    else:  # then parsers answer
        assert quick_answers.kept_help("certify", ["run"]) is None
    assert {command for family, command, *_ in made if family == "certify"} == set(CERTIFY)


def test_help_has_groups_an_example_and_values(made: dict[tuple[str, ...], str]) -> None:
    text = made["certify", "run"]
    assert text.startswith("usage: PROGRAM run [options] --output OUTPUT --data DATA\n\nCertifies a model;")
    assert "\nWhich certificates of which images:\n" in text
    assert "--strategy {auto,ddp,ddp_spawn,ddp_fork}" in text
    assert text.endswith("example:\n  PROGRAM run --checkpoint emoji --config certify/emoji --output runs/certified\n")
    for (family, command, *_), each in made.items():
        assert family == "train" or "\nexample:\n" in each or command == "tree"
        assert " at 0x" not in each


def test_help_tells_the_device_that_is_used(made: dict[tuple[str, ...], str]) -> None:
    found = [re.search(r"--device DEVICE.*?default: ([^)]*)\)", text, re.DOTALL) for text in made.values()]
    assert {each[1] for each in found if each} == {Subject.device}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["verify", "-h"]])
def test_help_of_certify(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        certify.main(words)
    assert not end.value.code
    said = capsys.readouterr().out
    assert said.startswith("usage: certify.py ")
    assert "PROGRAM" not in said


def test_programs_list_their_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for program, words, names in (
        (main, ["--help"], ["train", "certify", *HRVLM]),
        (certify.main, ["--help"], list(CERTIFY)),
        (programs.train, ["--help"], ["fit", "validate"]),
    ):
        with pytest.raises(SystemExit) as end:
            program(words)
        assert not end.value.code
        lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
        assert set(names) <= set(lines)


@pytest.mark.parametrize("program", [main, certify.main, programs.train])
def test_every_program_tells_its_version(program: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        program(["--version"])  # type: ignore[operator]
    assert not end.value.code
    assert capsys.readouterr().out.startswith("hrvlm 0.")


def test_the_package_is_a_program() -> None:
    ask = [sys.executable, "-m", "hrvlm", "train", "fit", "--help"]
    done = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: hrvlm train fit [options]")


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        (certify.main, ["verfy", "runs"], "perhaps meant: verify\n"),
        (certify.main, ["verify", "runs", "--expct", "3"], "perhaps meant: --expect\n"),
        (certify.main, ["plan", "--los", "0.1", "--sigme=1"], "perhaps meant: --sigma\n"),
        (main, ["tree", "shw", "x"], "perhaps meant: show\n"),
        (main, ["plam"], "perhaps meant: plan\n"),
        (certify.main, ["rnu"], "perhaps meant: run\n"),
        (main, ["completion", "csh"], "expected a shell of bash, zsh, fish, got 'csh'\n"),
    ],
)
def test_what_may_have_been_meant_is_told(
    program: object, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        program(words)  # type: ignore[operator]
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.endswith(said)
    assert error.count("\n") == 1


def test_an_option_is_known_by_its_last_part() -> None:
    options = ["--plan.sigma", "--plan.sampling.precision"]
    assert in_words("unrecognized arguments: --sgma=1", options).endswith("perhaps meant: --plan.sigma")
    assert in_words("unrecognized arguments: --precison x", options).endswith(
        "perhaps meant: --plan.sampling.precision"
    )
    assert "meant" not in in_words("unrecognized arguments: --nothing", options)


def completed(line: str) -> list[str]:
    """What bash offers at the end of a command line."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    place = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}"
    ask = f"{completion.script('bash')}\n{place}; _hrvlm; echo ${{COMPREPLY[*]}}"
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hrvlm ver", ["verify"]),
        ("hrvlm certify ru", ["run"]),
        ("hrvlm certify run --plan.sig", ["--plan.sigma"]),
        ("hrvlm attack --check", ["--checkpoint"]),
        ("hrvlm tree sh", ["show"]),
        ("hrvlm tree show --dep", ["--depth"]),
        ("hrvlm verify runs --exp", ["--expect"]),
        ("hrvlm train fit --trainer.max_e", ["--trainer.max_epochs"]),
        ("hrvlm completion z", ["zsh"]),
    ],
)
def test_bash_completes_commands_and_options(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_other_shells_have_scripts_too() -> None:
    assert "bashcompinit" in completion.script("zsh")
    assert "complete -c hrvlm" in completion.script("fish")
