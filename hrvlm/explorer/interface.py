"""The explorer's page: what happens when something is chosen, typed or pressed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from threading import Event
from typing import Any

from hrvlm.explorer import attacks, extents, fragments, votes
from hrvlm.explorer.exploring import Exploration, SharedModel, Start
from hrvlm.explorer.widgets import Widgets, styles
from hrvlm.explorer.working import Newest

THREADS = 4
"""In which the handlers of all pages run, so that a vote does not keep others from typing."""


def page_of(shared: SharedModel, start: Start) -> Callable[[], Any]:
    """Makes pages that explore a model, one for every session.

    Args:
        shared: The model.
        start: What pages show first.
    """
    panel = import_module("panel")
    panel.extension(nthreads=THREADS, raw_css=[styles()], loading_indicator=False)

    own_files = import_module("panel.io.resources").LOCAL_DIST

    def page() -> Any:
        # A session that expired before its slow browser came is made anew, and would then name files of a web site.
        panel.state.curdoc.template_variables["dist_url"] = own_files
        interface = Interface(shared, start)
        panel.state.onload(interface.begin)
        panel.state.on_session_destroyed(lambda _: interface.end())
        return interface.widgets.page(shared.name)

    return page


class Interface:
    """A page and its handlers.

    Args:
        shared: The model.
        start: What it shows first.
    """

    def __init__(self, shared: SharedModel, start: Start) -> None:
        self.widgets = Widgets(start)
        self._exploration = Exploration(shared)
        self._newest, self._stopped = Newest(), Event()
        w = self.widgets
        w.file.param.watch(lambda _: self._changed(w.picture, self._open), "value")
        w.packaged.param.watch(lambda _: self._changed(w.picture, self._take), "value")
        for widget in (w.trees, w.names):
            widget.param.watch(lambda _: self._changed(w.picture, self._choose), "value")
        for widget in (w.source, w.target):
            widget.param.watch(lambda _: self._changed(w.bars, self._show_extents), "value_input")
        w.scorer.param.watch(lambda _: self._changed(w.bars, self._show_extents), "value")
        w.go.on_click(lambda _: self._show(w.vote, self._vote))
        w.stop.on_click(lambda _: self._stopped.set())
        w.attack.on_click(lambda _: self._show(w.attacked, self._attack))

    def begin(self) -> None:
        """Shows what there is to begin with."""
        self._changed(self.widgets.picture, self._take)

    def end(self) -> None:
        """Stops what still runs for a page that was closed."""
        self._stopped.set()

    def _changed(self, pane: Any, work: Callable[[], None]) -> None:
        """Does work that makes older work of no use."""
        self._newest(lambda: self._show(pane, work))

    def _show(self, pane: Any, work: Callable[[], None]) -> None:
        """Does work; what a user can mend is told where its result would be."""
        try:
            work()
        except ValueError as error:
            pane.object = fragments.note(str(error), bad=True)

    def _open(self) -> None:
        if self.widgets.file.value:
            self._exploration.open(self.widgets.file.value)
            self._choose()

    def _take(self) -> None:
        self._exploration.take(self.widgets.packaged.value)
        self._choose()

    def _choose(self) -> None:
        w = self.widgets
        self._stopped.set()
        found = self._exploration.choose(w.names.value, w.trees.value)
        w.picture.object = fragments.figure(
            self._exploration.image, "the picture as the model sees it"
        ) + fragments.predictions(found)
        w.level.options = self._exploration.levels
        w.vote.object = w.growth.object = w.profile.object = w.attacked.object = ""
        self._show(w.bars, self._show_extents)

    def _show_extents(self) -> None:
        w = self.widgets
        found = self._exploration.extents(
            w.source.value_input or w.source.value, w.target.value_input or w.target.value
        )
        if list(found) != w.scorer.options:
            w.scorer.param.update(options=list(found), value=next(iter(found)))
        shown = found[w.scorer.value]
        told = extents.guarantee([extent.record for extent in shown])
        w.bars.object = fragments.extent_bars(shown) + fragments.sentences(told)

    def _vote(self) -> None:
        w, so_far = self.widgets, list[votes.Vote]()
        self._stopped.clear()
        w.voting(True)
        try:
            for vote in self._exploration.votes(sigma=w.sigma.value, n=w.n.value, alpha=w.alpha.value):
                so_far.append(vote)
                self._show_vote(so_far)
                if self._stopped.is_set():
                    break
        finally:
            w.voting(False)

    def _show_vote(self, so_far: list[votes.Vote]) -> None:
        w, vote, names = self.widgets, so_far[-1], self._exploration.levels
        w.vote.object = fragments.vote_table(vote, names) + fragments.sentences(votes.guarantee(vote))
        w.growth.object = fragments.vote_curves(so_far, names)
        waits = fragments.note("The certified profile is told when all samples are counted.")
        told = fragments.sentences(votes.profile_guarantee(vote.profiles)) if vote.profiles else ""
        w.profile.object = fragments.profile_bars(vote.profiles) + told if vote.profiles else waits

    def _attack(self) -> None:
        w = self.widgets
        given = {"norm": w.norm.value, "eps": w.eps.value, "steps": w.steps.value}
        found = self._exploration.attack(w.level.value, **given)
        shown = fragments.attack_result(self._exploration.image, found, w.level.value)
        w.attacked.object = shown + fragments.sentences([attacks.GUARANTEE])
