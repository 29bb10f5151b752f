"""Certificates of the right label of images, from labels of answers on these very images."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from hrvlm.certificates.kinds.oracle.errors import ErrorModel, OracleError
from hrvlm.certificates.kinds.oracle.from_counts import corrected_records
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.registry import record_at, record_from_row, record_key
from hrvlm.evaluation.answers import composite_alone, labelling_at
from hrvlm.evaluation.certification import finish
from hrvlm.evaluation.folder_names import ROWS_OF, read_settings
from hrvlm.evaluation.folders import Output, opened_folder
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.generative.oracles import Oracle
from hrvlm.generative.oracles.calibration import CalibrationPair, calibration_counts, read_calibration
from hrvlm.rows.record import Record
from hrvlm.rows.shards import run_rows, shard_files
from hrvlm.trees.bounded_text import file_digest
from hrvlm.whole_files import write_whole

ROWS = ROWS_OF["run"]
Counted: TypeAlias = tuple[OracleRecord, OracleError | None]


@dataclass(frozen=True, kw_only=True)
class AuditSettings(CertificationSettings):
    """What an audit is told besides the folder: the configuration of its run, and labels.

    Attributes:
        labels: Labelled answers of `certify.py answers --scope image`, of any of the run's images.
        oracle: Name of the oracle; may be left out where there is one.
        model: What the labels estimate of each image: "audit", "overall", "false positive" or "conditional".
        calibration_share: Part of alpha that is spent on it.
    """

    labels: str
    oracle: str | None = None
    model: ErrorModel = "audit"
    calibration_share: float = 0.5

    def chosen(self) -> Oracle:
        """The oracle that is audited.

        Raises:
            ValueError: If it is not clear which.
        """
        known = {} if self.answers is None else {q.oracle.name: q.oracle for q in self.answers.questions}
        name = next(iter(known)) if self.oracle is None and len(known) == 1 else self.oracle
        if name is None or name not in known:
            raise ValueError(f"expected oracle as one of the configuration's {list(known)}, got {name}")
        return known[name]


@dataclass(frozen=True)
class Audited:
    """How much of a run was audited.

    Attributes:
        images: Images with rows of the oracle.
        used: Those of them with labelled answers.
        trials: Labelled answers.
        errors: Those of them that the oracle has wrong.
    """

    images: int
    used: int
    trials: int
    errors: int

    @classmethod
    def of(cls, found: Sequence[OracleError | None]) -> Audited:
        """By what labels say of each image, None where they say nothing."""
        used = [error for error in found if error is not None]
        trials, errors = (sum(getattr(error, name) or 0 for error in used) for name in ("trials", "errors"))
        return cls(images=len(found), used=len(used), trials=trials, errors=errors)


def audit(folder: Path, settings: AuditSettings, output: Output) -> Audited:
    """Replaces the rows of an oracle by those that labels give, in a new folder with summary, table and report.

    Args:
        folder: Of `certify.py run`; it stays as it is.
        settings: The configuration of that run, and labels.
        output: A new folder, or one of the same audit.

    Returns:
        How much was audited.

    Raises:
        ValueError: If folder, configuration and labels do not fit each other.
    """
    if not shard_files(folder / ROWS):
        raise ValueError(f"expected the rows of a run in {folder}, found none; make them with certify.py run")
    if os.path.realpath(output.folder) == os.path.realpath(folder):  # pathlib raises where links go round
        raise ValueError(f"expected another output than the audited {folder}: its rows are kept")
    oracle = settings.chosen()
    noted = _noted(folder, oracle)
    records = [record_from_row(row) for row in run_rows(folder / ROWS, record_key, record_at)]
    counts = list(_counts(records, oracle, settings))
    rows = _rows(records, counts, settings)
    text = "".join(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows)
    with opened_folder(output.folder, "run", _depends_on(noted, oracle, settings)) as path:
        write_whole(path, text)
        finish(path, output, settings.plan)
    return Audited.of([error for _, error in counts])


def _depends_on(noted: dict[str, Any], oracle: Oracle, settings: AuditSettings) -> dict[str, Any]:
    """What the rows depend on: another audit, or a run, does not fit their folder."""
    told = {"oracle": oracle.name, "model": settings.model, "calibration_share": settings.calibration_share}
    told["labels"] = file_digest(settings.labels)
    return noted | {"audit": told, "questions": [*noted["questions"], told]}


def _rows(records: Sequence[Record], counts: Sequence[Counted], settings: AuditSettings) -> list[dict[str, Any]]:
    """The rows of the run, those of the oracle by what labels say of their images."""
    rows = [record for record in records if not _is_of(record, settings.chosen().name)]
    for record, error in counts:
        share = settings.calibration_share
        rows += composite_alone(record, share) if error is None else corrected_records(record, error)
    return [row.to_row() for row in sorted(rows, key=lambda r: r.key)]


def _noted(folder: Path, oracle: Oracle) -> dict[str, Any]:
    """Settings of a run whose oracle is this one."""
    noted = read_settings(folder)
    if noted is None or "questions" not in noted:
        found = "found none" if noted is None else "got others"
        raise ValueError(f"expected settings.json of a run of answers beside the rows in {folder}, {found}")
    described = json.loads(json.dumps(oracle.describe()))
    asked = noted["questions"] if isinstance(noted["questions"], list) else []
    if described not in [question.get("oracle") for question in asked if isinstance(question, dict)]:
        raise ValueError(f"expected the configuration of the run in {folder}, got one with another {oracle.name!r}")
    return noted


def _is_of(record: Record, oracle: str) -> bool:
    return isinstance(record, OracleRecord) and record.oracle == oracle


def _counts(records: Sequence[Record], oracle: Oracle, settings: AuditSettings) -> Iterator[Counted]:
    """The composite rows of an oracle, each with what labels say of its image, None if nothing."""
    labelled = _by_image(settings.labels)
    composite = [r for r in records if isinstance(r, OracleRecord) and r.oracle == oracle.name and r.error is None]
    strange = sorted(set(labelled) - {record.index for record in composite})
    if strange:
        raise ValueError(f"expected labels of images that the run has rows of, got some of {strange[:5]}")
    for record in composite:
        errors, trials = _of_image(record, oracle, labelled.get(record.index, []), settings)
        given: dict[str, Any] = {"errors": errors, "trials": trials, "calibration_share": settings.calibration_share}
        yield record, OracleError(model=settings.model, **given) if trials else None


def _by_image(path: str) -> Mapping[int, list[CalibrationPair]]:
    found: dict[int, list[CalibrationPair]] = defaultdict(list)
    for pair in read_calibration(path):
        if pair.index is None:
            raise ValueError(f"expected an index with every answer in {path}, got none for {pair.answer[:80]!r}")
        found[pair.index].append(pair)
    return found


def _of_image(
    record: OracleRecord, oracle: Oracle, pairs: Sequence[CalibrationPair], settings: AuditSettings
) -> tuple[int, int]:
    """(wrong, labelled) for the class of a row."""
    if not pairs or record.prediction < 0:
        return 0, 0
    here = cast(Oracle, labelling_at(oracle, record.anchor))
    try:
        counts = calibration_counts(here, pairs, settings.model)
        return counts.of(str(record.class_name))
    except ValueError as error:
        raise ValueError(f"{settings.labels}, image {record.index}: {error}") from error
