"""`certify.py verify`: derives certificates anew from their rows, without the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.cli.errors import ClearParser
from hrvlm.cli.folder_names import ROWS_OF, read_settings
from hrvlm.cli.paths import path_of
from hrvlm.reports.terminal import say

if TYPE_CHECKING:
    from hrvlm.rows.verifying import Header, Rules, Verifier


def add_parser(commands: Any) -> None:
    """Adds the command `verify` to those of `certify.py`."""
    parser = ClearParser(description="Derives every certificate anew from its row, without the model.")
    parser.add_argument(
        "folder", type=path_of, help=f"folder that holds {', '.join(ROWS_OF.values())}, or a file of rows"
    )
    parser.add_argument("--expect", type=int | None, help="number of images that there must be rows of")
    commands.add_subcommand("verify", parser)


def verify(folder: Path, expect: int | None = None) -> None:
    """Derives every certificate anew and reports rows that claim something else.

    Args:
        folder: Of results, whose settings rows are held against; or a file of rows, held against each other alone.
        expect: Number of images that there must be rows of.

    Raises:
        ValueError: If there are no rows, a file cannot be read as lines of text, or images of `push` shall be counted.
        SystemExit: With code 1 if a row does not hold, or images have no rows.
    """
    from hrvlm.rows.shards import part_files  # needs torch, which a parser does not

    if expect is not None and expect < 1:
        raise ValueError(f"expected --expect of at least 1 image, got {expect}")
    if folder.is_file():
        found, settings = {_command_of(folder): [folder]}, None
    else:
        parts = {command: part_files(folder / name) for command, name in ROWS_OF.items()}
        found, settings = {command: paths for command, paths in parts.items() if paths}, read_settings(folder)
    if not found:
        raise ValueError(f"expected the rows of a run in {folder}, found none; make them with certify.py run")
    if not sum([_verify_files(command, paths, settings or {}, expect) for command, paths in found.items()]):
        return
    raise SystemExit(1)


def _verify_files(command: str, paths: list[Path], settings: dict[str, Any], expect: int | None) -> int:
    """Prints the problems of the rows of a command, and returns how many there are."""
    from hrvlm.rows.images import ImageRows
    from hrvlm.rows.verifying import Verifier

    rows = ImageRows(paths)
    rules, header = _rules(command, settings, expect)
    finished = len(paths) == 1 and not paths[0].name.startswith("rank=") and not rows.torn
    verifier: Verifier[Any] = Verifier(rules, header, complete=finished)
    problems = 0
    for problem in _problems(verifier, rows):
        say(f"{problem.key}: {problem.message}" if problem.key else problem.message)
        problems += 1
    what = "certificates" if command == "run" else "rows of attacks"
    print(f"{rows.count} {what}, {problems} that do not hold")
    return problems


def _problems(verifier: Verifier[Any], rows: Any) -> Iterator[Any]:
    from hrvlm.rows.verifying import Problem

    yield from verifier.odd(rows.odd)
    if rows.num_odd > len(rows.odd):
        yield Problem((), "row", False, f"and {rows.num_odd - len(rows.odd)} lines more that name no image")
    for image in rows:
        yield from verifier.image(image)
    yield from verifier.finish()


def _rules(command: str, settings: dict[str, Any], expect: int | None) -> tuple[Rules[Any], Header]:
    """The rules of a command's rows, and what its settings say of them."""
    if command == "attack":
        from hrvlm.attacks.row_checks import ROBUSTNESS, robustness_header

        return ROBUSTNESS, robustness_header(settings, expect)
    if command == "push":
        from hrvlm.generative.push_checks import PUSHES, push_header

        if expect is not None:
            raise ValueError(
                "expected no --expect with the rows of push, which has none of images whose answer is forbidden already"
            )
        return PUSHES, push_header(settings)
    from hrvlm.certificates.kinds.header import header_of
    from hrvlm.certificates.kinds.verify import CERTIFICATES

    return CERTIFICATES, header_of(settings, num_images=expect)


def _command_of(path: Path) -> str:
    """The command that made a file of rows, by the kind of its first one."""
    from hrvlm.rows.lines import iterate_lines, kind_of

    kinds = {"robustness": "attack", "push": "push"}
    first = next((kind_of(line) for _, line in iterate_lines(path)), None)
    return kinds.get(first or "", "run")
