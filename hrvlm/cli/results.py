"""`certify.py report` and `certify.py export`: what is made from a folder of rows, without the model.

Parsers are added, and rows exported, without importing what only a report needs: data sets, figures and Lightning.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.cli.errors import ClearParser
from hrvlm.cli.folder_names import ROWS_OF, read_settings
from hrvlm.cli.paths import path_of
from hrvlm.cli.trust import trusted_modules
from hrvlm.old_keys import nested, places_of
from hrvlm.reports.terminal import say
from hrvlm.trees import load_forest
from hrvlm.whole_files import write_whole

if TYPE_CHECKING:
    from hrvlm.data.base import ImageDataModule
    from hrvlm.reports.html import AtHand

REPORT = "report.html"
FORMS = ("tsv", "parquet")
MAX_IMAGE_SIZE = 4096  # of pictures in a report
DATA_MODULES = (
    "hrvlm.data.emoji_pack.datamodule.EmojiDataModule",
    "hrvlm.data.folder.FolderDataModule",
    "hrvlm.data.shards.ShardDataModule",
)


def add_report_parser(commands: Any) -> None:
    """Adds `report` to the commands of `certify.py`."""
    reporter = ClearParser(description=f"Writes {REPORT} from rows alone; with pictures if the data set is at hand.")
    reporter.add_argument("folder", type=path_of, help="folder of the results of certify.py run, attack or push")
    reporter.add_argument("--robustness", type=str | None, help="folder of certify.py attack, to be told of as well")
    commands.add_subcommand("report", reporter)


def add_export_parser(commands: Any) -> None:
    """Adds `export` to the commands of `certify.py`."""
    exporter = ClearParser(description="Writes rows in the forms that other tools read, into the same folder.")
    exporter.add_argument("folder", type=path_of, help="folder of the results of certify.py run")
    exporter.add_argument("--to", required=True, choices=FORMS, help="Cohen's tables of smoothing rows, or all rows")
    commands.add_subcommand("export", exporter)


def report(folder: Path, robustness: Path | None = None) -> None:
    """Writes the report, and says where it lies and what it lacks.

    Raises:
        ValueError: If there are no rows.
    """
    path, lacking = write_report(folder, robustness=robustness)
    say(f"{path}" + (f" (without pictures: {lacking})" if lacking else ""))


def export(folder: Path, form: str) -> None:
    """Writes the rows of a folder in another form, and says where.

    Raises:
        ValueError: If there are no rows that can be exported, or pyarrow is missing.
    """
    from hrvlm.reports.exporting import to_tsv, write_parquet

    rows = _rows(folder, "run")
    if not rows:
        raise ValueError(f"expected rows of certify.py run in {folder}, found none")
    if form == "parquet":
        written = write_parquet(rows, folder)
    else:
        written = [folder / name for name in to_tsv(rows)]
        for path, text in zip(written, to_tsv(rows).values(), strict=True):
            write_whole(path, text)
    for path in written:
        say(str(path))


def write_report(
    folder: Path, *, robustness: Path | None = None, radii: Sequence[float] | None = None
) -> tuple[Path, str]:
    """Writes `report.html` into a folder of results.

    Args:
        folder: Holds certificates, robustness rows, or both; or rows of attacks towards a forbidden answer.
        robustness: Another folder with robustness rows.
        radii: L2 radii of the tables; None takes round ones.

    Returns:
        The report, and why it has no pictures ("" if it has).

    Raises:
        ValueError: If there are no rows.
    """
    from hrvlm.certificates.kinds.header import header_of
    from hrvlm.reports.collecting import Certificates
    from hrvlm.reports.html import render_report
    from hrvlm.rows.shards import part_files

    paths, settings = part_files(folder / ROWS_OF["run"]), read_settings(folder) or {}
    attacked = _rows(folder if robustness is None else robustness, "attack")
    if robustness is not None and not attacked:
        raise ValueError(f"expected rows of certify.py attack in {robustness}, found none")
    pushes = _rows(folder, "push")
    if not any(path.stat().st_size for path in paths) and not attacked and not pushes:
        raise ValueError(f"expected rows of certify.py run, attack or push in {folder}, found none")
    rows = Certificates.of_files(paths, header_of(settings) if paths else None)
    at_hand, lacking = look_around(settings)
    title = f"Certificates of {settings['given_checkpoint']}" if "given_checkpoint" in settings else "Certificates"
    given: dict[str, Any] = {"title": title, "radii": radii, "settings": settings, "at_hand": at_hand}
    page = render_report(rows, attacked, pushes=pushes, **given)
    write_whole(folder / REPORT, page)
    return folder / REPORT, lacking


def _rows(folder: Path, command: str) -> list[dict[str, Any]]:
    from hrvlm.certificates import read_rows
    from hrvlm.certificates.kinds.registry import row_key
    from hrvlm.rows.shards import part_files, run_rows

    path = folder / ROWS_OF[command]
    if command != "run":
        return read_rows(path) if path.is_file() else []
    return run_rows(path, row_key) if part_files(path) else []


def look_around(settings: dict[str, Any]) -> tuple[AtHand, str]:
    """Pictures and names of classes by what a run noted of its data and trees; and why there are none, if so."""
    from hrvlm.cli.evaluating import data_identity
    from hrvlm.reports.html import AtHand

    try:
        module = _data_module(settings["given_data"])
        data = module.evaluation_set(settings["split"])
        known = data_identity(data)
        if any(settings[name] != value for name, value in known.items()):
            return AtHand(), "the data set has changed"
        levels = settings["given_num_levels"]
        forest = load_forest(settings["given_trees"], leaves=module.class_ids, num_levels=levels)
    except Exception as error:  # what a folder says may be wrong in any way; its rows are told of all the same
        return AtHand(), f"the data set is not at hand ({' '.join(str(error).split())})"
    names = {(tree.name, level.index): level.names for tree in forest for level in tree.levels}
    return AtHand(lambda index: data[index][0], names), ""


def _data_module(noted: dict[str, Any]) -> ImageDataModule:
    """The data module that a run noted; of a stranger's folder, it is a known one, which writes nothing."""
    path = str(noted["class_path"])
    module, _, name = path.rpartition(".")
    if path not in DATA_MODULES and not any(f"{path}.".startswith(f"{each}.") for each in trusted_modules()):
        raise ValueError(f"expected one of {', '.join(DATA_MODULES)}, got {path[:80]}")
    settings = {name: value for name, value in (noted.get("init_args") or {}).items() if name != "index_folder"}
    if settings.get("image_size", 0) > MAX_IMAGE_SIZE:
        raise ValueError(f"expected image_size of at most {MAX_IMAGE_SIZE}, got {settings['image_size']}")
    from hrvlm.data.base import ImageDataModule
    from hrvlm.data.shards import ShardDataModule

    kind = getattr(import_module(module), name)
    if not issubclass(kind, ImageDataModule):
        raise ValueError(f"expected a data module, got {path[:80]}")
    made: ImageDataModule = kind(**nested(settings, places_of(kind))[0])
    if isinstance(made, ShardDataModule):
        made.keep_index = False  # it would lie beside shards that the folder names
    return made
