"""Draws the figures of docs/ anew: those of benchmarks from benchmarks/results, report page and explorer in a browser.

    python scripts/docs/figures.py

The page is that of two small runs of the packaged model, the ones of docs/tour.md; minutes on two cores, and Chromium
is needed. Pictures of the explorer alone: `python scripts/docs/explorer.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import explorer
from browser import browser, saved

ROOT = Path(__file__).parents[2]
DOCS, RUNS = ROOT / "docs" / "images", ROOT / "runs" / "tour"
COMMANDS = (
    "certify run --checkpoint emoji --config certify/emoji --plan.num_images 24",
    "attack --checkpoint emoji --config certify/attack_emoji --attacks pgd20 --plan.num_images 24",
)
FOLDERS = (RUNS / "certified", RUNS / "attacked")
PICTURES = {
    "report.png": (1280, 1400, False),
    "report_dark.png": (1280, 1400, True),
    "report_phone.png": (390, 1400, False),
}
"""Width, height and whether it is dark, by name of the file."""


def benchmarks() -> None:
    """Figures of result files."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import semantic_figures

    semantic_figures.write(json.loads((ROOT / "benchmarks" / "results" / "semantic.json").read_text(encoding="utf-8")))


def page() -> Path:
    """The page of the tour's runs, which go on where they were stopped."""
    from hrvlm.cli.main import main

    for command, folder in zip(COMMANDS, FOLDERS, strict=True):
        main([*command.split(), "--output", str(folder)])
    certified, attacked = map(str, FOLDERS)
    main(["report", certified, "--robustness", attacked])
    return FOLDERS[0] / "report.html"


def pictures(report: Path, folder: Path = DOCS) -> None:
    """Writes what a browser shows of a page, at several widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as tab:
        for name, (width, height, dark) in PICTURES.items():
            tab.open(report.resolve().as_uri(), width, height, dark=dark)
            saved(tab.picture(), folder / name)


if __name__ == "__main__":
    benchmarks()
    pictures(page())
    explorer.pictures()
