"""The results of a folder in Python: rows as records, frame, tables and figures, and whether they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.table import Table

from hrvlm.evaluation.folder_names import SETTINGS, read_settings, rows_of_training
from hrvlm.evaluation.folder_rows import files_in
from hrvlm.evaluation.level_geometry import GEOMETRY
from hrvlm.evaluation.training_runs import METRICS
from hrvlm.evaluation.verification import command_of, rules_of, verify, verify_files
from hrvlm.reports.calibration_sections import calibration_charts
from hrvlm.reports.frames import Library, to_frame
from hrvlm.reports.plain_forms import markdown
from hrvlm.reports.terminal import WIDTH, PlainConsole
from hrvlm.rows.images import ImageRows
from hrvlm.rows.jsonl import read_rows
from hrvlm.rows.verifying import Problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Tables:
    """Tables that `print` shows as the terminal does, and a notebook as Markdown."""

    tables: tuple[Table, ...]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __str__(self) -> str:
        out = PlainConsole(width=WIDTH, file=StringIO(), force_terminal=False)
        with out.capture() as captured:
            out.print(*self.tables)
        return captured.get().rstrip()

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return "\n".join(map(markdown, self.tables))


@dataclass(frozen=True, repr=False)
class Results:
    """What a command or a training run wrote into a folder; see `load`.

    Attributes:
        folder: where it lies, or the file.
        files: files of rows by the command of `certify.py` that makes such rows.
        records: their records, by command.
    """

    folder: Path
    files: Mapping[str, Sequence[Path]]
    records: Mapping[str, Sequence[Any]]

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads rows, finished or not; every row must be readable, whether it holds is what `verify` tells.

        Args:
            folder: of `certify.py run`, `attack`, `targeted-attack` or `zero-shot`; of a training run (`version_N`: its
                robustness before and after, its certificates of the end, on fresh noise if there are such, else of the
                last epoch); one epoch's (`version_N/certificates/epoch=003`); or a file of rows.

        Raises:
            ValueError: if there are no rows, or one is none of its kind.
        """
        folder = Path(folder)
        files = _files(folder)
        settings = (read_settings(folder) or {}) if folder.is_dir() else {}
        records: dict[str, list[Any]] = {}
        for command, paths in files.items():
            read = rules_of(command, settings)[0].read
            rows = ImageRows(paths)
            records[command] = [read(line) for _, line in rows.odd] + [read(row) for part in rows for _, row in part]
        return cls(folder, files, records)

    def __repr__(self) -> str:
        told = ", ".join(f"{len(records)} rows of {command}" for command, records in self.records.items())
        return f"{type(self).__name__}({str(self.folder)!r}: {told})"

    def __iter__(self) -> Iterator[Any]:
        """All records."""
        return (record for records in self.records.values() for record in records)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def certificates(self) -> Sequence[Any]:
        """Records of certificates of all kinds; none of a folder without."""
        return self.records.get("run", ())

    @property
    def settings(self) -> dict[str, Any]:
        """What rows depend on, as `settings.json` of the folder notes it; empty where there is no such file."""
        return (read_settings(self.folder) or {}) if self.folder.is_dir() else {}

    def rows(self) -> list[dict[str, Any]]:
        """All rows, as mappings of JSON values."""
        return [record.to_row() for record in self]

    def frame(self, library: Library | None = None) -> Any:
        """All rows as a frame of pandas or polars, see `hrvlm.reports.frames.to_frame`."""
        return to_frame(self, library)

    def table(self, radii: Sequence[float] | None = None) -> Tables:
        """What the commands print of such rows, recomputed from them.

        Args:
            radii: L2 radii of certified accuracy, in pixel units; None takes round ones.
        """
        from hrvlm.reports.result_tables import tables_of

        return Tables(tuple(tables_of(self.records, radii)))

    def verify(self) -> list[Problem]:
        """Derives every claim anew from its row, without the model; empty if all of them hold."""
        if self.folder.is_file() or (self.folder / SETTINGS).exists():
            return [problem for part in verify(self.folder) for problem in part.problems]
        parts = [verify_files(command, list(paths)) for command, paths in self.files.items()]
        return [problem for part in parts for problem in part.problems]

    def plot(self, figure: str | None = None) -> Figure:
        """A figure of these rows.

        Args:
            figure: its name in `hrvlm.plots`; None takes the first that there are rows for, see `plots`.

        Raises:
            ValueError: if there are no rows for it.
        """
        able = self._drawable()
        chosen = next(iter(able), None) if figure is None else figure
        if chosen not in able:
            raise ValueError(
                f"expected one of the figures {', '.join(able) or '(none)'} of {self.folder}, got {figure!r}"
            )
        return able[chosen]()

    def plots(self) -> dict[str, Figure]:
        """All figures that there are rows for, by name."""
        return {name: draw() for name, draw in self._drawable().items()}

    def _drawable(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure that there are rows for."""
        from hrvlm.reports import plots

        drawn: dict[str, tuple[bool, Callable[[], Figure]]] = {
            name: (True, partial(plots.certificate_figure, name, self.certificates))
            for name in plots.certificate_figures(self.certificates)
        }
        drawn |= {
            "transfer_matrix": (self._attacked() != [], lambda: plots.transfer_matrix(self._attacked())),
            "attack_curves": (
                bool(self.records.get("targeted-attack")),
                lambda: plots.attack_curves(self.records["targeted-attack"]),
            ),
            "level_geometry": (self._geometry() != [], lambda: plots.level_geometry(_rows_in(self._geometry()))),
            "training_curves": (
                (self.folder / METRICS).is_file(),
                lambda: plots.training_curves(plots.read_metrics(self.folder / METRICS)),
            ),
            "certified_by_epoch": (self._epochs() > 1, lambda: plots.certified_by_epoch(self.folder)),
            "calibration_losses": (self._calibrated(), lambda: plots.calibration_losses(self.folder)),
        }
        return {name: draw for name, (there, draw) in drawn.items() if there}

    def _attacked(self) -> list[Any]:
        """Records of attacks of the last stage and the smallest budget; none where all images are clean."""
        records = self.records.get("attack", ())
        places = sorted({(record.stage != "after", record.eps) for record in records if record.attacked_tree})
        return [record for record in records if (record.stage != "after", record.eps) in places[:1]]

    def _epochs(self) -> int:
        """How many epochs of a training run have certificates."""
        return len(list(self.folder.glob("certificates/epoch=*")))

    def _calibrated(self) -> bool:
        """Whether the folder keeps the calibration that its rows rest on."""
        return self.folder.is_dir() and any(calibration_charts(self.folder, self.settings))

    def _geometry(self) -> list[Path]:
        return sorted((self.folder / GEOMETRY).glob("epoch=*.jsonl"))


class Certificates(Results):
    """The results of a folder that holds certificates.

    Example:
        >>> certificates = hrvlm.Certificates.load("runs/certified")
        >>> print(certificates.table(radii=[0.0, 0.1]))
        >>> certificates.plot().savefig("certified.png")
        >>> assert certificates.verify() == []
    """

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """As `Results.load`.

        Raises:
            ValueError: if there are no certificates, or a row is none of its kind.
        """
        found = super().load(folder)
        if not found.certificates:
            others = ", ".join(found.files)
            raise ValueError(
                f"expected certificates in {folder}, got rows of {others} alone: load them by hrvlm.Results"
            )
        return found


def _files(folder: Path) -> dict[str, list[Path]]:
    """Files of rows by command."""
    if folder.is_file():
        return {command_of(folder): [folder]}
    found = files_in(folder)
    if trained := rows_of_training(folder):
        before = sorted(folder.glob("robustness/before.rank=*.jsonl"))
        found |= trained | ({"attack": [*before, *trained["attack"]]} if "attack" in trained else {})
    if parts := sorted(folder.glob("rank=*.jsonl")):
        found[command_of(parts[0])] = parts
    if not found:
        raise ValueError(f"expected the rows of a command or of a training run in {folder}, found none")
    return found


def _rows_in(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [row for path in paths for row in read_rows(path)]
