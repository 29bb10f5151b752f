"""The widgets of the explorer's page, by the names that its template and its handlers have for them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import hrvlm.reports
from hrvlm.explorer.exploring import Start
from hrvlm.explorer.inputs import packaged_names, tree_names
from hrvlm.explorer.votes import MOST_SAMPLES

_HERE = Path(__file__).parent
_ROW = """
:host {
  display: grid !important; align-items: end;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, LEAST), 1fr)) !important;
}
"""
PICTURES = ".png,.jpg,.jpeg,.webp,.gif,.bmp,.avif,.tif,.tiff"


@cache
def styles() -> str:
    """The style of report pages, and of what they have not."""
    page = Path(hrvlm.reports.__file__).parent / "assets" / "page.css"
    return page.read_text(encoding="utf-8") + (_HERE / "page.css").read_text(encoding="utf-8")


@cache
def template() -> str:
    """The skeleton of the page."""
    return (_HERE / "page.html.jinja").read_text(encoding="utf-8")


class Widgets:
    """What is chosen, typed and pressed, and where results are shown.

    Args:
        start: Values to begin with.
    """

    def __init__(self, start: Start) -> None:
        panel = import_module("panel")
        kinds, self._style = panel.widgets, {"stylesheets": [styles()], "sizing_mode": "stretch_width"}
        self._pane = panel.pane.HTML
        self._of_picture(kinds, start)
        self._of_prompts(kinds, start)
        self._of_noise(kinds, start)
        self._of_attack(kinds, start)
        self.picture, self.bars, self.vote = self.html(), self.html(), self.html()
        self.growth, self.profile, self.attacked = self.html(), self.html(), self.html()

    def html(self) -> Any:
        """Room for results."""
        return self._pane("", **self._style)

    def _row(self, *parts: Any, least: str = "8rem") -> Any:
        """Widgets beside each other, as many as fit at their least width."""
        return import_module("panel").Row(
            *parts, stylesheets=[_ROW.replace("LEAST", least)], sizing_mode="stretch_width"
        )

    def _of_picture(self, kinds: Any, start: Start) -> None:
        trees = [*tree_names(), *(tree for tree in start.trees if tree not in tree_names())]
        self.file = kinds.FileInput(
            accept=PICTURES, name="A picture of yours: choose a file, or drop one here", **self._style
        )
        self.packaged = kinds.Select(
            name="Or one of the packaged pictures", options=list(packaged_names()), value=start.picture, **self._style
        )
        self.trees_label = self._pane("<b>Trees (over the same classes; none for the names below)</b>", **self._style)
        self.trees = kinds.CheckBoxGroup(options=trees, value=start.trees, inline=True, **self._style)
        self.names = kinds.TextAreaInput(
            name="Class names, with commas between them", value=start.classes, rows=2, **self._style
        )

    def _of_prompts(self, kinds: Any, start: Start) -> None:
        self.source, self.target = (
            kinds.TextInput(name=name, value=text, value_input=text, **self._style)  # which else begins empty
            for name, text in (("Source prompt", start.source), ("Target prompt", start.target))
        )
        self.scorer = kinds.Select(name="Scores", options=[], **self._style)

    def _of_noise(self, kinds: Any, start: Start) -> None:
        self.sigma = kinds.FloatInput(
            name="Sigma (noise)", value=start.sigma, start=0.001, end=2.0, step=0.05, **self._style
        )
        self.n = kinds.IntInput(name="Samples (n)", value=start.n, start=1, end=MOST_SAMPLES, step=100, **self._style)
        self.alpha = kinds.FloatInput(
            name="Error probability (alpha)", value=start.alpha, start=1e-6, end=0.19, step=0.001, **self._style
        )
        self.go = kinds.Button(name="Start the vote", button_type="primary", align="end", **self._style)
        self.stop = kinds.Button(name="Stop", disabled=True, align="end", **self._style)

    def _of_attack(self, kinds: Any, start: Start) -> None:
        self.level = kinds.Select(name="Attacked level", options=[], **self._style)
        self.norm = kinds.Select(
            name="Norm",
            options={"linf (255ths)": "linf", "l2 (pixel units)": "l2"},
            value="linf",
            **self._style,
        )
        self.eps = kinds.FloatInput(name="Budget (eps)", value=start.eps, start=0.0, end=255.0, step=1.0, **self._style)
        self.steps = kinds.IntInput(name="Steps", value=start.steps, start=1, end=200, **self._style)
        self.attack = kinds.Button(name="Attack", button_type="primary", align="end", **self._style)

    def voting(self, busy: bool) -> None:
        """Lets a vote be stopped while it runs, and begun while none does."""
        self.go.disabled, self.stop.disabled = busy, not busy

    def page(self, model: str) -> Any:
        """The whole page."""
        panel = import_module("panel")
        page = panel.Template(template())
        page.add_variable("model", model)
        page.add_panel("choices", panel.Column(
            self.file, self.packaged, self.trees_label, self.trees, self.names, **self._style
        ))  # fmt: skip
        page.add_panel("picture", self.picture)
        page.add_panel("prompts", self._row(self.source, self.target, self.scorer, least="16rem"))
        page.add_panel("extents", self.bars)
        page.add_panel("noise", self._row(self.sigma, self.n, self.alpha, self.go, self.stop))
        page.add_panel("vote", self.vote)
        page.add_panel("growth", self.growth)
        page.add_panel("profile", self.profile)
        page.add_panel("budget", self._row(self.level, self.norm, self.eps, self.steps, self.attack))
        page.add_panel("attack", self.attacked)
        return page
