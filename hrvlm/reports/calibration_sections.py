"""What the page of a run tells of the calibration that its semantic rows rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hrvlm.charts.lines import Chart
from hrvlm.evaluation.folder_names import CALIBRATION
from hrvlm.reports.page import page_section


def calibration_sections(folder: Path, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Loss curves of the calibration, where the folder keeps the very one that its settings name.

    Args:
        folder: of results.
        settings: what it notes.
    """
    for population, charts in calibration_charts(folder, settings):
        text = (
            f"For {population}: share of the calibration images whose claim some picture of the change "
            "contradicts, by threshold, for leaves; at 0 the raw claims. Each epsilon takes the smallest threshold "
            "where (violated + 1) / (images + 1) is at most epsilon, the marginal form; calibration.json has other "
            "levels and forms."
        )
        yield page_section("calibration", "Calibration", text, [chart.svg() for chart in charts], [])


def calibration_charts(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, list[Chart]]]:
    """The calibration that a folder's rows rest on: what it is about, and its charts; none where there is none.

    Args:
        folder: of results.
        settings: what it notes.
    """
    noted, path = settings.get("calibration"), folder / CALIBRATION
    if not isinstance(noted, dict) or not path.is_file():
        return
    from hrvlm.certificates.kinds.semantic.calibration import read_calibration  # with torch, for calibrations alone
    from hrvlm.certificates.kinds.semantic.calibration_charts import loss_charts

    try:
        calibration = read_calibration(path)
    except ValueError:
        return
    if calibration.digest != noted.get("digest"):
        return
    names = {threshold["attribute"] for threshold in noted["thresholds"]}
    yield calibration.population, loss_charts(calibration.statements, names)
