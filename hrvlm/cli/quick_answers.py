"""What a command line asks that can be answered at once: versions, lists of commands, help, completion of words.

Help of a command is made from its parser, which has to wait for the libraries whose settings it lists. So it is kept as
text, one file a command in `help_texts`, written by `python -m hrvlm.cli.help_texts`, and given out while the versions
that it was made with are those at hand; else the parser itself gives it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TEXTS = Path(__file__).with_name("help_texts")
PROGRAM = "PROGRAM"  # in kept texts, where the program's name goes
HELP = ("--help", "-h")


def answer_at_once(words: list[str], program: str, family: str) -> None:
    """Prints the answer to a command line that asks for the version or a command's help, and ends; else does nothing.

    Args:
        words: The command line without the program.
        program: What it is called in texts.
        family: Whose kept texts answer: "certify", "hrvlm" or "train".

    Raises:
        SystemExit: With code 0 if there was an answer.
    """
    if words == ["--version"]:
        print(f"hrvlm {_version_of('hrvlm')}")
        raise SystemExit(0)
    if len(words) < 2 or words[-1] not in HELP or any(word.startswith("-") for word in words[:-1]):
        return
    text = kept_help(family, words[:-1])
    if text is not None:
        print(text.replace(PROGRAM, program), end="")
        raise SystemExit(0)


def kept_help(family: str, command: list[str]) -> str | None:
    """The kept help of a command; None if there is none, or if it was made with other versions."""
    if not all(word.replace("-", "").isalnum() for word in command):
        return None
    for place in (family, *(["certify"] if family == "hrvlm" else [])):  # whose commands most of hrvlm's are
        path = TEXTS / place / f"{' '.join(command)}.txt"
        if path.is_file():
            return path.read_text(encoding="utf-8") if kept_versions() == versions() else None
    return None


def kept_versions() -> str:
    """What the kept texts were made with."""
    path = TEXTS / "versions.txt"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def versions() -> str:
    """What help depends on besides this package."""
    return ", ".join(f"{name} {_version_of(name)}" for name in ("jsonargparse", "lightning")) + (
        f", Python {sys.version_info.major}.{sys.version_info.minor}"
    )


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def options_of(text: str) -> list[str]:
    """The options that a help text lists, in order."""
    lines = (line.strip() for line in text.splitlines() if line.startswith("  -"))
    words = (word.strip(",") for line in lines for word in line.split("  ")[0].split())
    return list(dict.fromkeys(word for word in words if word.startswith("-")))


def kept_texts() -> Mapping[tuple[str, ...], str]:
    """All kept texts, by family and command."""
    return {
        (path.parent.name, *path.stem.split(" ")): path.read_text(encoding="utf-8")
        for path in sorted(TEXTS.glob("*/*.txt"))
    }
