"""What the page of a run tells of the calibration that its semantic rows rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hrvlm.evaluation.folder_names import CALIBRATION
from hrvlm.reports.page import page_section


def calibration_sections(folder: Path, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Loss curves of the calibration, where the folder keeps the very one that its settings name.

    Args:
        folder: of results.
        settings: what it notes.
    """
    noted, path = settings.get("calibration"), folder / CALIBRATION
    if not isinstance(noted, dict) or not path.is_file():
        return
    from hrvlm.certificates.kinds.semantic.calibration import read_calibration  # with torch, for calibrations alone
    from hrvlm.certificates.kinds.semantic.calibration_charts import loss_curves

    try:
        calibration = read_calibration(path)
    except ValueError:
        return
    if calibration.digest != noted.get("digest"):
        return
    names = {threshold["attribute"] for threshold in noted["thresholds"]}
    text = (
        f"For {calibration.population}: share of the calibration images whose claim some picture of the change "
        "contradicts, by threshold, for leaves; at 0 the raw claims. Each epsilon takes the smallest threshold where "
        "(violated + 1) / (images + 1) is at most epsilon, the marginal form; calibration.json has other levels and "
        "forms."
    )
    yield page_section("calibration", "Calibration", text, loss_curves(calibration.statements, names), [])
