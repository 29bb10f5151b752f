"""The explorer's page: what happens when something is chosen, typed or pressed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from threading import Event, Lock
from typing import Any

from hrvlm.explorer import attacks, extents, fragments, votes
from hrvlm.explorer.exploring import Chosen, Exploration, SharedModel, Start
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
        self._newest, self._stopped, self._showing = Newest(), Event(), Lock()
        w = self.widgets
        w.file.param.watch(lambda _: self._changed(w.picture, self._open, "picture"), "value")
        w.packaged.param.watch(lambda _: self._changed(w.picture, self._take, "picture"), "value")
        for widget in (w.trees, w.names):
            widget.param.watch(lambda _: self._changed(w.picture, self._choose, "classes"), "value")
        for widget in (w.source, w.target):
            widget.param.watch(lambda _: self._changed(w.bars, self._show_extents, "change"), "value_input")
        w.scorer.param.watch(lambda _: self._changed(w.bars, self._show_extents, "change"), "value")
        w.go.on_click(lambda _: self._show(w.vote, self._vote))
        w.stop.on_click(lambda _: self._stopped.set())
        w.attack.on_click(lambda _: self._show(w.attacked, self._attack))

    def begin(self) -> None:
        """Shows what there is to begin with."""
        self._changed(self.widgets.picture, self._take, "picture")

    def end(self) -> None:
        """Stops what still runs for a page that was closed."""
        self._stopped.set()

    def _changed(self, pane: Any, work: Callable[[], None], kind: str) -> None:
        """Does work that makes older work of its kind of no use."""
        self._newest(kind, lambda: self._show(pane, work))

    def _show(self, pane: Any, work: Callable[[], None]) -> None:
        """Does work; what a user can mend is told where its result would be."""
        try:
            work()
        except ValueError as error:
            pane.object = fragments.note(str(error), bad=True)

    def _open(self) -> None:
        if content := self.widgets.file.value:
            self._choose(lambda: self._exploration.open(content))

    def _take(self) -> None:
        self._choose(lambda: self._exploration.take(self.widgets.packaged.value))

    def _choose(self, taking: Callable[[], None] = lambda: None) -> None:
        """Looks at something else; what was found of what is no longer looked at, or cannot be, is taken away."""
        w = self.widgets
        self._stopped.set()
        try:
            taking()
            found = self._exploration.choose(w.names.value, w.trees.value)
        except ValueError:
            self._exploration.forget()
            w.bars.object = ""
            raise
        finally:
            with self._showing:
                w.vote.object = w.growth.object = w.profile.object = w.attacked.object = ""
        chosen = self._exploration.chosen
        w.picture.object = fragments.figure(chosen.image, "the picture as the model sees it") + fragments.predictions(
            found
        )
        levels = chosen.levels
        w.level.param.update(options=levels, value=w.level.value if w.level.value in levels else levels[0])
        self._show(w.bars, self._show_extents)

    def _show_extents(self) -> None:
        w = self.widgets
        found = self._exploration.chosen.extents(w.source.value_input, w.target.value_input)
        if list(found) != w.scorer.options:
            w.scorer.param.update(options=list(found), value=next(iter(found)))
        shown = found[w.scorer.value]
        told = extents.guarantee([extent.record for extent in shown])
        w.bars.object = fragments.extent_bars(shown) + fragments.sentences(told)

    def _vote(self) -> None:
        w, so_far, chosen = self.widgets, list[votes.Vote](), self._exploration.chosen
        self._stopped.clear()
        w.voting(True)
        try:
            for vote in chosen.votes(sigma=w.sigma.value, n=w.n.value, alpha=w.alpha.value):
                so_far.append(vote)
                if not self._show_vote(so_far, chosen) or self._stopped.is_set():
                    break
        finally:
            w.voting(False)

    def _show_vote(self, so_far: list[votes.Vote], chosen: Chosen) -> bool:
        """Shows a vote, unless something else is looked at by now."""
        w, vote, names = self.widgets, so_far[-1], chosen.levels
        waits = fragments.note("The certified profile is told when all samples are counted.")
        told = fragments.sentences(votes.profile_guarantee(vote.profiles)) if vote.profiles else ""
        with self._showing:
            if not self._exploration.looks_at(chosen):
                return False
            w.vote.object = fragments.vote_table(vote, names) + fragments.sentences(votes.guarantee(vote))
            w.growth.object = fragments.vote_curves(so_far, names)
            w.profile.object = fragments.profile_bars(vote.profiles) + told if vote.profiles else waits
        return True

    def _attack(self) -> None:
        """Attacks; nothing is shown of it if something else is looked at by its end."""
        w, chosen = self.widgets, self._exploration.chosen
        level, given = w.level.value, {"norm": w.norm.value, "eps": w.eps.value, "steps": w.steps.value}
        w.attack.disabled = True
        try:
            found = chosen.attack(level, **given)
        finally:
            w.attack.disabled = False
        shown = fragments.attack_result(chosen.image, found, level)
        with self._showing:
            if self._exploration.looks_at(chosen):
                w.attacked.object = shown + fragments.sentences([attacks.GUARANTEE])
