"""Every command is given every file of a corpus that it cannot use: it answers in a sentence, and nothing runs."""

from __future__ import annotations

import io
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bad_files import BAD, marker
from bad_places import ANSWERED, ATTACK, AUDIT, PLACES, RECERTIFY, RUN, TARGETED_ATTACK, Place
from command_runs import command_line
from good_files import write_more
from parsed_lines import ParsedLines
from sweeps import sweep
from torch.utils.data import BatchSampler, DataLoader

from hrvlm.cli import certify, main, train

PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "certify.py": certify.main,
    "hrvlm": main.main,
    "train.py": train.main,
}
# Places of several commands and formats that need no results of other commands.
QUICK = (
    "run: weights", "fit: checkpoint", "export: checkpoint", "show", "check: class folders", "import: proposal",
    "build: classes", "plan: pilot", "verify: a file",
)  # fmt: skip


@pytest.fixture(scope="module")
def inputs(
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    small_plan: dict[str, Any],
    make_settings: Callable[[Path], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with what commands are given, by relative paths: models, pictures, trees and configurations."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(tiny_model, folder / "model")
    shutil.copytree(pictures, folder / "pictures")
    shutil.copytree(Path(main.__file__).parents[1] / "generative" / "emoji_captioner", folder / "captioner")
    shutil.copy(tree_file, folder / "kinds.yaml")
    (folder / "classes.txt").write_text("\n".join(path.name for path in sorted(pictures.iterdir())))
    relative: dict[str, Any] = {"pictures": Path("pictures"), "tree": Path("kinds.yaml"), "folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        attacks = {"attacks": ["pgd2"], "num_images": 2, "threat_model": {"eps": 0.01}, "batch_size": 4}
        for name, plan in (("attack", attacks), ("run", small_plan | {"num_images": 2})):
            command_line(name, Path("model"), plan=plan, **relative)
            (folder / "config.yaml").rename(folder / f"{name}.yaml")
        write_more(folder, make_settings(folder))
    return folder


@pytest.fixture(scope="module")
def good(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command finds what it needs: `inputs`, and the results that other commands read."""
    folder = tmp_path_factory.mktemp("good") / "inputs"
    shutil.copytree(inputs, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in ((*RUN, "--features", "features"), ATTACK, RECERTIFY, ANSWERED, AUDIT, TARGETED_ATTACK):
            found = answer("certify.py", command)
            assert found.code == 0, (command, found)
    return folder


def copier(good: Path) -> Callable[[str, str], object]:
    """Copies files, but links those that commands read alone; a bad one takes the place of its link."""

    def copy(source: str, target: str) -> None:
        read_alone = Path(source).relative_to(good).parts[0] in ("model", "pictures", "captioner")
        (os.link if read_alone else shutil.copy2)(source, target)

    return copy


@contextmanager
def untouched_loaders() -> Iterator[None]:
    """Takes back what Lightning changes in classes of loaders, and leaves so where a loader cannot be made."""
    kinds, names = [DataLoader, BatchSampler], ("__init__", "__setattr__", "__delattr__")
    for kind in kinds:
        kinds += [each for each in kind.__subclasses__() if each not in kinds]
    former = {(kind, name): vars(kind).get(name) for kind in kinds for name in names}
    try:
        yield
    finally:
        for (kind, name), method in former.items():
            if method is not None:
                setattr(kind, name, method)
            elif name in vars(kind):
                delattr(kind, name)


@dataclass(frozen=True)
class Answer:
    """What a command did: its exit code, what it printed and complained of, and the traceback it ended with, if so."""

    code: int
    printed: str
    said: str
    failed: str = ""


def answer(program: str, command: tuple[str, ...]) -> Answer:
    printed, said, code = io.StringIO(), io.StringIO(), 0
    try:
        with (
            redirect_stdout(printed),
            redirect_stderr(said),
            pytest.MonkeyPatch.context() as patch,
            untouched_loaders(),
        ):
            patch.setattr(sys, "argv", [program])
            PROGRAMS[program](list(command))
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        return Answer(1, printed.getvalue(), said.getvalue(), traceback.format_exc())
    return Answer(code, printed.getvalue(), said.getvalue())


def fault(place: Place, found: Answer) -> str | None:
    """What is wrong with the answer to a bad file."""
    if found.failed or "Traceback" in found.said:
        return (found.failed or found.said).strip().splitlines()[-1]
    lines = [line for line in found.said.splitlines() if line.strip()]
    told = found.printed if place.command[0] == "verify" else ""  # findings are what it is asked for
    if found.code and not told and not any(line.startswith(f"{place.program}: error: ") for line in lines[-1:]):
        return f"exit code {found.code} with {lines[-1:]}"
    if "\x1b" in found.printed + found.said:
        return "control characters of the file reach the terminal"
    return None


def untouched(folder: Path, apart_from: Path) -> dict[Path, tuple[int, int]]:
    """What tells whether a command has changed anything in a folder, but for a file that is put there anyhow."""
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    found = {path: path.lstat() for path in files if not path.is_relative_to(apart_from)}
    return {path: (state.st_mtime_ns, state.st_size) for path, state in found.items()}


def check_good(place: Place, good: Path, folder: Path, patch: pytest.MonkeyPatch, lines: ParsedLines) -> None:
    """A command that a good file is there for uses it: whatever it says of bad ones, they are the reason."""
    if not (good / place.file).exists():
        return
    shutil.copytree(good, folder, copy_function=copier(good))
    patch.chdir(folder)
    with lines.remembered():
        found = answer(place.program, place.command)
    assert not found.code, found
    patch.chdir(folder.parent)
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sweep(PLACES, quick=QUICK))
def test_bad_files_are_answered_by_a_sentence(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any
) -> None:
    place, faults, refused = PLACES[name], {}, 0
    good = request.getfixturevalue("inputs" if name in QUICK else "good")
    folder = tmp_path / "copy"
    path = folder / place.file
    lines = ParsedLines(path)
    check_good(place, good, folder, monkeypatch, lines)
    for kind, write in BAD.items():
        if not folder.exists():
            shutil.copytree(good, folder, copy_function=copier(good))
            before = untouched(folder, path)
        monkeypatch.chdir(folder)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        write(path)
        with lines.remembered():
            found = answer(place.program, place.command)
        refused += found.code != 0
        if problem := fault(place, found):
            faults[kind] = problem
        if marker(path).exists():
            faults[kind] = "a payload ran"
        monkeypatch.chdir(tmp_path)
        if untouched(folder, path) != before:  # most commands have refused the file and left all as it was
            shutil.rmtree(folder)
    assert faults == {}
    assert refused > 10  # or the command does not look at the file at all
