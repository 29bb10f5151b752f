"""The tables that end a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from hrvlm.callbacks.certification import CertificationCallback
from hrvlm.callbacks.common import fine_tuned, is_trial, results_folder
from hrvlm.callbacks.robustness import AFTER, RobustnessCallback
from hrvlm.evaluation.image_files import write_image_paths
from hrvlm.evaluation.pace import tell
from hrvlm.evaluation.training_runs import training_run
from hrvlm.reports.certificates import certificate_tables
from hrvlm.reports.folder_page import write_report
from hrvlm.reports.html import AtHand
from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables
from hrvlm.reports.terminal import bold, console

SHARED = (
    "Epochs met the same noise: these certificates do not cover the choice of an epoch by them; certify the chosen one "
    "with another seed (final_seed, or `certify.py run`)."
)


class SummaryTable(Callback):
    """Prints accuracies before and after, the last certificates, and where everything lies; writes `report.html`.

    Put it after the callbacks whose results it shows.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints on the first process."""
        folder = results_folder(trainer)  # which the processes agree on together
        if not trainer.is_global_zero:
            return
        out = console()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            for table in _tables(callback):
                out.print(table)
        if is_trial(trainer):
            out.print("A trial by fast_dev_run: no results are kept.")
            return
        page = _page_if_possible(trainer, pl_module, folder)
        out.print(bold(folder, "Results: "), highlight=False)
        if page is not None:
            out.print(bold(page, "Page: "), highlight=False)


def _page_if_possible(trainer: Trainer, module: LightningModule, folder: Path) -> Path | None:
    """The page, see `_page`; a run whose results are stored does not fail by it, whatever the fault."""
    try:
        return _page(trainer, module, folder)
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        tell(f"warning: no page was written ({told}); all else is stored, make it with: certify.py report {folder}")
        return None


def _page(trainer: Trainer, module: LightningModule, folder: Path) -> Path | None:
    """Writes `report.html` of the run; None where it has no rows to tell of."""
    run = training_run(folder)
    if run is None or not (run.end or run.robustness):
        return None
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    certified = [callback for callback in callbacks if isinstance(callback, CertificationCallback)]
    attacked = [callback for callback in callbacks if isinstance(callback, RobustnessCallback)]
    found: list[CertificationCallback | RobustnessCallback] = [*certified, *attacked]
    told = next(iter(found), None)
    if told is None:
        return None
    tuned = fine_tuned(module)
    data = tuned.datamodule().evaluation_set(told.split)
    images = {index for each in certified if each.split == told.split for index in each.plan.indices(len(data))}
    told_of = [rows for each in attacked if each.split == told.split for rows in each.rows.values()]
    images |= {row["index"] for rows in told_of for row in rows}
    write_image_paths(folder, data, sorted(images))
    at_hand = AtHand.of(data, tuned.forest)
    at_hand = replace(at_hand, attacked_split=other_split(attacked, told.split))
    radii = certified[0].plan.radii if certified else None
    return write_report(folder, radii=radii, at_hand=at_hand, warn=tell)[0]


def other_split(attacked: Iterable[RobustnessCallback], split: str | None) -> str | None:
    """The split, in words, that attacks are on, where it is another than a page's; None where it is the same.

    Args:
        attacked: Those that attack.
        split: Of the page's pictures.
    """
    return next((_words(callback.split) for callback in attacked if callback.split != split), None)


def _tables(callback: Any) -> list[Any]:
    if isinstance(callback, RobustnessCallback):
        model = callback.threat_model
        title = f"Accuracy in percent on {_words(callback.split)}, {model.norm} eps={model.eps * 255:.3g}/255"
        rows, after = [row for rows in callback.rows.values() for row in rows], callback.rows.get(AFTER, [])
        return [robustness_table(rows, title=title), *transfer_tables(after), *coherence_tables(after)]
    if isinstance(callback, CertificationCallback):
        last = _certificates(callback.summary, "last epoch", SHARED if callback.noise_shared else None)
        before = _certificates(callback.before_summary, "before training", None)
        return [*before, *last, *_certificates(callback.final_summary, "final, fresh noise", None)]
    return []


def _words(split: str | None) -> str:
    return split or "the validation split"


def _certificates(summary: dict[str, Any], when: str, caption: str | None) -> list[Any]:
    tables = certificate_tables(summary)
    for table in tables:
        table.title = f"{table.title} ({when})"
        table.caption_justify, table.caption = "left", caption
    return tables
