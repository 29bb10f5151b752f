"""Packages that are put off are whole for whoever asks for them later, in whatever order and from several threads."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Barrier
from types import ModuleType, SimpleNamespace

import pytest

from hrvlm.cli import put_off as module_of
from hrvlm.cli.put_off import PutOff, Unfilled, fill, is_put_off, put_off

INIT = """\
import time
from tally import noted
noted.append(__name__)
time.sleep(0.2 if 'slow' in __name__ else 0)
from .names import deep
time.sleep(0.05)
late = [deep]
broken = 1 / len(noted[1:]) if 'fails' in __name__ else 0  # the first time
"""
NAMES = "from tally import noted\nnoted.append(__name__)\ndeep = object()\n"
OTHER = "import PACKAGE\nwhole = 'late' in vars(PACKAGE)\nfrom PACKAGE.names import deep as found\n"
numbers = count()
Made = Callable[..., ModuleType]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tally = SimpleNamespace(noted=[])
    monkeypatch.setitem(sys.modules, "tally", tally)
    return tally.noted


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: list[str]) -> Iterator[Made]:
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def make(stem: str = "package", **settings: object) -> ModuleType:
        name = f"{stem}{next(numbers)}"
        names.append(name)
        (tmp_path / name).mkdir()
        for file, text in {"__init__": INIT, "names": NAMES, "other": OTHER.replace("PACKAGE", name)}.items():
            (tmp_path / name / f"{file}.py").write_text(text)
        settings = {key: value(name) if callable(value) else value for key, value in settings.items()}
        put_off({name: PutOff(**settings)})  # type: ignore[arg-type]
        return import_module(name)

    yield make
    for name in [*sys.modules]:
        if name.split(".")[0] in names:
            del sys.modules[name]
    for name in names:
        module_of._waiting.pop(name, None)


def test_its_init_waits_for_a_name_and_runs_once(made: Made, noted: list[str]) -> None:
    package = made()
    assert type(package) is Unfilled
    assert not noted
    assert is_put_off(package.__name__)
    assert len(package.late) == 1
    assert noted == [package.__name__, f"{package.__name__}.names"]
    assert type(package) is ModuleType
    assert sys.modules[package.__name__] is package
    assert not is_put_off(package.__name__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing


def test_modules_below_it_do_not_need_it(made: Made, noted: list[str]) -> None:
    package = made()
    found = import_module(f"{package.__name__}.other").found
    assert noted == [f"{package.__name__}.names"]
    assert package.late == [found]  # the same module, not another copy of it
    assert noted == [f"{package.__name__}.names", package.__name__]


@pytest.mark.parametrize("asked", ["names", "other"])
def test_what_must_come_before_modules_below_comes_first_and_none_is_loaded_twice(
    asked: str, made: Made, noted: list[str]
) -> None:
    package = made(below=lambda name: lambda: fill(sys.modules[name]))
    found = import_module(f"{package.__name__}.{asked}")
    assert sorted(noted) == [package.__name__, f"{package.__name__}.names"]
    assert getattr(package, asked) is found is sys.modules[found.__name__]
    assert found.__spec__ is not None
    assert found.__spec__.origin == found.__file__
    assert type(package) is ModuleType


def test_light_names_come_alone_and_where_they_are_missing_with_the_rest(made: Made, noted: list[str]) -> None:
    light = {"deep": "names", "late": "nowhere"}
    package = made(light=lambda name: {key: f"{name}.{value}" for key, value in light.items()}, given={"known": 3})
    assert package.known == 3
    assert package.deep is sys.modules[f"{package.__name__}.names"].deep
    assert type(package) is Unfilled
    assert package.late == [package.deep]
    assert type(package) is ModuleType


def test_tools_do_not_fill_it_but_those_that_list_it_do(made: Made) -> None:
    package = made()
    assert not hasattr(package, "__wrapped__")
    assert "time.sleep" in inspect.getsource(package)
    assert type(package) is Unfilled
    assert "late" in dir(package)
    assert type(package) is ModuleType


def test_one_that_fails_stays_unfilled_and_can_be_asked_again(made: Made, noted: list[str]) -> None:
    package = made("fails")
    import_module(f"{package.__name__}.names")
    noted.clear()
    with pytest.raises(ZeroDivisionError):
        _ = package.late
    assert type(package) is Unfilled
    assert sys.modules[package.__name__] is package
    assert package.broken == 1
    assert type(package) is ModuleType


def test_it_calls_back_when_it_is_filled(made: Made) -> None:
    found: list[ModuleType] = []
    package = made(filled=lambda name: found.append)
    assert not found
    assert package.late
    assert found == [package]


@pytest.mark.parametrize("below", [None, lambda name: lambda: fill(sys.modules[name])], ids=["apart", "whole"])
def test_threads_that_ask_at_once_all_get_what_they_asked_for(
    below: Callable[[str], Callable[[], object]] | None, made: Made, noted: list[str]
) -> None:
    package = made(below=below)
    start = Barrier(8)

    def ask(number: int) -> object:
        start.wait()
        if number % 2:
            return import_module(f"{package.__name__}.names").deep
        return package.late[0]

    with ThreadPoolExecutor(8) as threads:
        (found,) = set(threads.map(ask, range(8)))
    assert found is package.deep
    assert {*noted} == {package.__name__, f"{package.__name__}.names"}  # again where threads needed each other's


def test_a_module_below_comes_after_what_another_thread_has_begun(made: Made, noted: list[str]) -> None:
    package = made(below=lambda name: lambda: fill(sys.modules[name]))
    with ThreadPoolExecutor(1) as threads:
        filled = threads.submit(lambda: package.late)
        while not noted:
            time.sleep(0.001)
        assert import_module(f"{package.__name__}.other").whole
        assert filled.result() == [package.deep]


@pytest.mark.parametrize("asked", ["late", "other"])
def test_a_module_below_is_no_deadlock_where_what_fills_it_imports_it_later(
    asked: str, made: Made, noted: list[str]
) -> None:
    package = made("slow", below=lambda name: lambda: fill(sys.modules[name]))

    def ask() -> object:
        return package.late[0] if asked == "late" else import_module(f"{package.__name__}.other").found

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(ask)
        while not noted:
            time.sleep(0.001)
        found = import_module(f"{package.__name__}.names").deep
        assert first.result(60) is found
    assert type(package) is ModuleType
    assert noted.count(f"{package.__name__}.names") == 1


def test_looking_for_a_module_below_imports_nothing(made: Made, noted: list[str]) -> None:
    package = made(below=lambda name: lambda: fill(sys.modules[name]))
    assert find_spec(f"{package.__name__}.names") is not None
    assert not noted
    assert import_module(f"{package.__name__}.names").deep is package.deep


def test_what_is_not_found_as_usual_is_not_put_off(made: Made) -> None:
    put_off({"nowhere_to_be_found": PutOff()})
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nowhere_to_be_found'$"):
        import_module("nowhere_to_be_found")
    assert not is_put_off("nowhere_to_be_found")


def test_one_that_is_imported_anew_is_put_off_again(made: Made, noted: list[str]) -> None:
    package = made()
    assert package.late
    for name in (package.__name__, f"{package.__name__}.names"):
        del sys.modules[name]
    put_off({package.__name__: PutOff()})
    again = import_module(package.__name__)
    assert type(again) is Unfilled
    assert again.late != package.late


def test_nothing_happens_to_what_has_been_imported() -> None:
    put_off({"json": PutOff()})
    assert not is_put_off("json")
    assert type(sys.modules["json"]) is ModuleType
