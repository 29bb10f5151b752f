"""Rows of folders and files, held against what they must satisfy, without the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.evaluation.folder_names import read_settings
from hrvlm.evaluation.folder_rows import files_in

if TYPE_CHECKING:
    from hrvlm.evaluation.training_runs import TrainingRun
    from hrvlm.rows.images import ImageRows
    from hrvlm.rows.verifying import Header, Problem, Rules, Verifier


@dataclass(frozen=True)
class Verification:
    """The rows of one command.

    Attributes:
        command: Which command made them, see `folder_names.ROWS_OF`.
        rows: All of them, whose number is known once their problems have been iterated.
        problems: What does not hold, in the order of the rows, as it is found.
        part: Which part of a training run they are of, such as "epoch=003".
    """

    command: str
    rows: ImageRows
    problems: Generator[Problem, None, None]
    part: str = ""


def verify(
    folder: Path, expect: int | None = None, *, collect: Callable[[Any], None] | None = None
) -> Iterator[Verification]:
    """Derives every certificate anew; iterate the problems of each verification before the next one.

    Args:
        folder: Of results, whose settings rows are held against; of a training run; or a file of rows, held against
            each other alone.
        expect: Number of images that there must be rows of.
        collect: Gets every record that can be read, image by image, as problems are iterated.

    Raises:
        ValueError: If there are no rows, a file cannot be read as lines of text, or images of targeted attacks shall be
            counted.
    """
    from hrvlm.evaluation.training_runs import training_run

    if expect is not None and expect < 1:
        raise ValueError(f"expected --expect of at least 1 image, got {expect}")
    if folder.is_file():
        found, settings = {command_of(folder): [folder]}, None
    else:
        found, settings = files_in(folder), read_settings(folder)
    if not found and folder.is_dir() and (run := training_run(folder)) is not None:
        yield from _of_training(run, expect, collect)
        return
    if not found:
        raise ValueError(f"expected the rows of a run in {folder}, found none; make them with certify.py run")
    for command, paths in found.items():
        rules, header = rules_of(command, settings or {}, expect)
        yield _verification(command, paths, rules, header, collect)


def _of_training(run: TrainingRun, expect: int | None, collect: Callable[[Any], None] | None) -> Iterator[Verification]:
    """Every part of a training run by itself, in the order of time."""
    for command, parts in (("run", run.certificates), ("attack", run.robustness)):
        for part, paths in parts.items():
            asked = expect if command == "run" else None  # attacks may be on other images than certificates
            yield replace(_verification(command, paths, *rules_of(command, {}, asked), collect), part=part)


def verify_files(command: str, paths: list[Path], *, collect: Callable[[Any], None] | None = None) -> Verification:
    """The rows of some files of one command, such as those of a training run's processes, held against each other.

    Args:
        command: Which command makes such rows.
        paths: The files.
        collect: As in `verify`.
    """
    return _verification(command, paths, *rules_of(command, {}), collect)


def _verification(
    command: str, paths: list[Path], rules: Rules[Any], header: Header, collect: Callable[[Any], None] | None
) -> Verification:
    from hrvlm.rows.images import ImageRows
    from hrvlm.rows.verifying import Verifier

    rows = ImageRows(paths)
    finished = len(paths) == 1 and not paths[0].name.startswith("rank=") and not rows.torn
    verifier: Verifier[Any] = Verifier(rules, header, complete=finished)
    return Verification(command, rows, _problems(verifier, rows, collect))


def _problems(
    verifier: Verifier[Any], rows: ImageRows, collect: Callable[[Any], None] | None
) -> Generator[Problem, None, None]:
    from hrvlm.evaluation.progress import followed
    from hrvlm.rows.table import each_record
    from hrvlm.rows.verifying import Problem

    yield from verifier.odd(rows.odd)
    if rows.num_odd > len(rows.odd):
        yield Problem((), "row", False, f"and {rows.num_odd - len(rows.odd)} lines more that name no image")
    images = followed(rows, "verifying images", len(rows.indices))
    yield from verifier.images(images, None if collect is None else each_record(collect))
    yield from verifier.finish()


def rules_of(command: str, settings: dict[str, Any], expect: int | None = None) -> tuple[Rules[Any], Header]:
    """The rules of a command's rows, and what its settings say of them."""
    if command == "attack":
        from hrvlm.attacks.row_checks import ROBUSTNESS, robustness_header

        return ROBUSTNESS, robustness_header(settings, expect)
    if command == "targeted-attack":
        from hrvlm.generative.targeted_attack_checks import TARGETED_ATTACKS, targeted_attack_header

        if expect is not None:
            raise ValueError(
                "expected no --expect with the rows of targeted-attack, which has none of images whose answer is "
                "forbidden already"
            )
        return TARGETED_ATTACKS, targeted_attack_header(settings)
    if command == "zero-shot":
        from hrvlm.evaluation.zero_shot.checks import ZERO_SHOT, zero_shot_header

        return ZERO_SHOT, zero_shot_header(settings, expect)
    from hrvlm.certificates.kinds.header import header_of
    from hrvlm.certificates.kinds.verify import CERTIFICATES

    return CERTIFICATES, header_of(settings, num_images=expect)


def command_of(path: Path) -> str:
    """The command that made a file of rows, by the kind of its first one."""
    from hrvlm.rows.lines import iterate_lines, kind_of

    kinds = {"robustness": "attack", "push": "targeted-attack", "zero_shot": "zero-shot"}
    first = next((kind_of(line) for _, line in iterate_lines(path)), None)
    return kinds.get(first or "", "run")
