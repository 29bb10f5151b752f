"""The explorer's handlers: what is shown is of what is looked at, whatever else is pressed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from hrvlm.explorer.exploring import SharedModel, Start
from hrvlm.explorer.interface import Interface
from hrvlm.models import load

pytest.importorskip("panel")
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # newer names than panel 1.7 has


@pytest.fixture(scope="module")
def shared(tiny_model: Path) -> SharedModel:
    return SharedModel(load(tiny_model))


@pytest.fixture
def interface(shared: SharedModel, tree_file: Path) -> Interface:
    found = Interface(shared, Start(trees=[str(tree_file)], sigma=0.05, n=300, alpha=0.05, steps=2))
    found.begin()
    assert len(found.widgets.level.options) == 2
    return found


def until(fulfilled: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not fulfilled():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_nothing_is_shown_of_what_is_no_longer_looked_at(interface: Interface, shared: SharedModel) -> None:
    """Other classes are chosen; before they are there, a vote and an attack on the former ones begin."""
    w = interface.widgets
    interface._stopped.clear()
    workers = [
        Thread(target=setattr, args=(w.trees, "value", [])),
        Thread(target=interface._show, args=(w.vote, interface._vote)),
        Thread(target=interface._show, args=(w.attacked, interface._attack)),
    ]
    with shared.lock:
        workers[0].start()
        until(interface._stopped.is_set)
        workers[1].start()
        until(lambda: not w.stop.disabled)
        workers[2].start()
        until(lambda: w.attack.disabled)
    for worker in workers:
        worker.join(60)
    assert w.level.options == ["class"]
    assert (w.vote.object, w.growth.object, w.profile.object, w.attacked.object) == ("", "", "", "")
    assert w.stop.disabled
    assert not w.attack.disabled
    interface._show(w.vote, interface._vote)
    assert " of 300" in w.vote.object


def test_what_is_not_to_be_had_leaves_nothing_of_what_was_there(interface: Interface) -> None:
    w = interface.widgets
    interface._show(w.attacked, interface._attack)
    assert "distance" in w.attacked.object
    w.file.value = b"no picture"
    assert "expected a readable image to explore" in w.picture.object
    assert (w.bars.object, w.attacked.object) == ("", "")
    interface._show(w.attacked, interface._attack)
    assert "expected a picture and classes" in w.attacked.object
    w.packaged.value = "house"
    assert "the picture as the model sees it" in w.picture.object
    assert "bar" in w.bars.object


def test_an_empty_prompt_is_not_the_former_one(interface: Interface) -> None:
    w = interface.widgets
    assert "bar" in w.bars.object
    w.target.value_input = ""
    assert 'class="bad"' in w.bars.object
    assert 'class="bar"' not in w.bars.object
