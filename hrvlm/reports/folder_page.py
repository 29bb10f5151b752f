"""`report.html` of a folder of results, of a command or of a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.evaluation.folder_names import SUMMARY, read_settings
from hrvlm.evaluation.folder_rows import files_in, rows_in
from hrvlm.trees.bounded_text import read_json
from hrvlm.whole_files import write_whole

if TYPE_CHECKING:
    from hrvlm.evaluation.training_runs import TrainingRun
    from hrvlm.reports.html import AtHand

REPORT = "report.html"


def write_report(
    folder: Path,
    *,
    robustness: Path | None = None,
    radii: Sequence[float] | None = None,
    at_hand: AtHand | None = None,
    warn: Callable[[str], None] = lambda sentence: None,
) -> tuple[Path, str]:
    """Writes `report.html` into a folder of results.

    Args:
        folder: Holds certificates, robustness rows, or both; or rows of attacks towards a forbidden answer; or is that
            of a training run.
        robustness: Another folder with robustness rows.
        radii: L2 radii of the tables; None takes those of the folder's summary or of a training run's metrics, or else
            round ones.
        at_hand: Pictures and names of classes; None looks for them.
        warn: Gets what the page warns of, sentence by sentence.

    Returns:
        The report, and why it has no pictures ("" if it has).

    Raises:
        ValueError: If there are no rows.
    """
    from hrvlm.evaluation.image_files import read_image_paths, read_paths_of_several
    from hrvlm.evaluation.training_runs import training_run  # as below, of what a parser does not wait for
    from hrvlm.reports.html import AtHand, render_report

    settings = read_settings(folder) or {}
    trained = training_run(folder)
    if radii is None:
        radii = _noted_radii(folder) if trained is None else logged_radii(trained)
    given = _of_folder(folder, settings) if trained is None else _of_training(trained, radii)
    if robustness is not None:
        given["robustness"] = rows_in(robustness, "attack")
        if not given["robustness"]:
            raise ValueError(f"expected rows of certify.py attack in {robustness}, found none")
    if not any(given.get(name) for name in ("robustness", "targeted_attacks", "zero_shot")) and given["rows"] is None:
        raise ValueError(
            f"expected rows of certify.py run, attack, zero-shot or targeted-attack in {folder}, or a training run, "
            "found none"
        )
    lacking = ""
    if at_hand is None and given.get("zero_shot"):  # whose page shows no pictures
        at_hand = AtHand(files=read_paths_of_several(folder))
    elif at_hand is None:
        at_hand, lacking = _found(folder, settings)
    if at_hand is not None and (paths := read_image_paths(folder)):
        at_hand = replace(at_hand, path=paths.get)
    title = _title(settings, given) if trained is None else f"Training run {'/'.join(folder.resolve().parts[-2:])}"
    rows = given.pop("rows")
    page = render_report(
        () if rows is None else rows, title=title, radii=radii, settings=settings,
        at_hand=at_hand, warn=warn, **given,
    )  # fmt: skip
    write_whole(folder / REPORT, page)
    return folder / REPORT, lacking


def _of_folder(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of a command's folder, as `render_report` takes them."""
    from hrvlm.certificates.kinds.header import header_of
    from hrvlm.reports.calibration_sections import calibration_sections
    from hrvlm.reports.collecting import Certificates

    paths = files_in(folder).get("run", [])
    some = any(path.stat().st_size for path in paths)
    return {
        "rows": Certificates.of_files(paths, header_of(dict(settings))) if some else None,
        "robustness": rows_in(folder, "attack"),
        "targeted_attacks": rows_in(folder, "targeted-attack"),
        "zero_shot": rows_in(folder, "zero-shot"),
        "more": list(calibration_sections(folder, settings)),
    }


def _of_training(run: TrainingRun, radii: Sequence[float] | None) -> dict[str, Any]:
    """Rows of the end of a training run and of its attacks, and sections about its epochs."""
    from hrvlm.reports.collecting import Certificates
    from hrvlm.reports.training_sections import training_sections
    from hrvlm.rows.jsonl import read_rows

    return {
        "rows": Certificates.of_files(run.end) if run.end else None,
        "robustness": [row for paths in run.robustness.values() for path in paths for row in read_rows(path)],
        "more": list(training_sections(run, radii or (0.0,))),
    }


def _title(settings: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What the folder holds, most telling first: a folder without certificates is not headed by them."""
    titles = {
        "Zero-shot accuracy of": given["zero_shot"],
        "Certificates of": given["rows"] is not None,
        "Attacks on": given["robustness"],
    }
    what = next((words for words, found in titles.items() if found), "Attacks towards an answer on")
    if "given_checkpoint" not in settings:
        return what.rpartition(" ")[0]
    return f"{what} {settings['given_checkpoint']}"


def _noted_radii(folder: Path) -> list[float] | None:
    """The radii that a folder's summary tells of, so that its page has the same columns; None where it has none."""
    try:
        found = _radii_in(read_json(folder / SUMMARY))
        return None if found is None else sorted(float(radius) for radius in found)
    except (OSError, ValueError):
        return None


def logged_radii(run: TrainingRun) -> list[float] | None:
    """The radii at which the certificates that a page shows were logged; None where there are none.

    Args:
        run: whose metrics tell.
    """
    from hrvlm.certificates.kinds.scalars import CERTIFIED_AT
    from hrvlm.evaluation.training_runs import epoch_metrics

    shown = [name for name in epoch_metrics(run.folder) if name.startswith("certificates/")]  # no other callback's
    return sorted({float(name.rpartition(CERTIFIED_AT)[2]) for name in shown if f"/{CERTIFIED_AT}" in name}) or None


def _radii_in(summary: Any) -> list[str] | None:
    """The keys of the first certified accuracies in a summary."""
    if not isinstance(summary, dict):
        return None
    told = summary.get("certified_accuracy")
    if isinstance(told, dict):
        return list(told)
    return next((found for part in summary.values() if (found := _radii_in(part)) is not None), None)


def _found(folder: Path, settings: dict[str, Any]) -> tuple[AtHand, str]:
    """What is at hand of the data; where it cannot be found, what the folder's last page shows of it."""
    from hrvlm.reports.html import AtHand
    from hrvlm.reports.pictures import held_of

    at_hand, lacking = look_around(settings) if settings else (AtHand(), "no settings are noted")
    if at_hand.picture is not None or "has changed" in lacking:
        return at_hand, lacking
    held = held_of(folder / REPORT)
    return replace(at_hand, held=held, path=held.paths.get), "" if held.pictures else lacking


def look_around(settings: dict[str, Any]) -> tuple[AtHand, str]:
    """Pictures and names of classes by what a run noted of its data and trees; and why there are none, if so."""
    from hrvlm.evaluation.noted import ChangedDataError, noted_data
    from hrvlm.reports.html import AtHand

    try:
        data, forest = noted_data(settings)
    except ChangedDataError as error:
        return AtHand(), str(error)
    except Exception as error:  # what a folder says may be wrong in any way; its rows are told of all the same
        return AtHand(), f"the data set is not at hand ({' '.join(str(error).split())})"
    return AtHand.of(data, forest), ""
