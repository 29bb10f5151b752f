"""Lines that say how far a command has come: seldom, short, and on standard error alone."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from hrvlm.certificates import SmoothingRecord
from hrvlm.evaluation import pace
from hrvlm.evaluation.certified_so_far import CertifiedSoFar
from hrvlm.evaluation.pace import Lines, Pace, in_words, still_working
from hrvlm.evaluation.progress import PlainTask, followed, following


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_after_five_seconds_and_then_every_thirty(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    task = PlainTask("certifying", 100, Pace(clock, Lines()))
    said_at = []
    for second in range(100):
        clock.now = 100.0 + second
        task.advance()
        if capsys.readouterr().err:
            said_at.append(second)
    assert said_at == [5, 35, 65, 95]


def test_a_line_says_what_is_done_how_fast_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    task = PlainTask("certifying", 1000, Pace(clock, Lines()))
    task.note = "3 of 4 certified so far"
    clock.now += 10
    task.advance(50)
    said = capsys.readouterr()
    assert said.err == "certifying: 50 of 1000 (5%), 5 a second, 3 min left; 3 of 4 certified so far\n"
    assert not said.out
    clock.now += 100  # by the speed of now, not of the beginning
    task.advance(50)
    assert "100 of 1000 (10%), 0.5 a second, 30 min left" in capsys.readouterr().err


def test_short_tasks_and_other_processes_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with following("certifying", 3) as task:
        task.advance(3)
    monkeypatch.setattr(pace, "FIRST", 0.0)
    monkeypatch.setattr(pace.LINES, "at", 0.0)
    with following("certifying", 3, shown=False) as task:
        task.advance(3)
    assert not capsys.readouterr().err
    with following("certifying", 3) as task:
        task.advance(3)
    assert capsys.readouterr().err.startswith("certifying: 3 of 3 (100%), ")


def test_tasks_after_each_other_share_the_seconds_between_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock, lines, said_at = Clock(), Lines(), []
    for second in range(0, 80, 8):  # tasks of eight seconds each
        clock.now = 100.0 + second
        task = PlainTask("certifying", 8, Pace(clock, lines))
        for more in range(8):
            clock.now = 100.0 + second + more
            task.advance()
            if capsys.readouterr().err:
                said_at.append(second + more)
    assert said_at == [5, 37, 69]


def test_what_comes_one_after_the_other_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST", 0.0)
    monkeypatch.setattr(pace, "EVERY", 0.0)
    assert list(followed(iter("ab"), "verifying images", 2)) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "verifying images: 1 of 2 (50%)", "verifying images: 2 of 2 (100%)",
    ]  # fmt: skip


def test_a_silent_command_says_that_it_is_at_work_and_one_that_tells_something_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "EVERY", 0.15)
    monkeypatch.setattr(pace, "FIRST", 0.05)
    with still_working("certify.py run"):
        time.sleep(0.7)
    said = capsys.readouterr().err.splitlines()
    assert 1 <= len(said) <= 3
    assert set(said) <= {"certify.py run: at work for 0 s", "certify.py run: at work for 1 s"}
    with still_working("certify.py run"):
        for _ in range(40):
            pace.LINES.at = time.monotonic()
            time.sleep(0.01)
    time.sleep(0.3)  # nor after its end
    assert not capsys.readouterr().err


def test_a_command_at_work_leaves_lines_to_a_task_that_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "EVERY", 0.2)
    monkeypatch.setattr(pace, "FIRST", 0.3)
    monkeypatch.setattr(pace.LINES, "at", -math.inf)
    with still_working("train.py"):
        task = PlainTask("epoch 1", 100)
        for _ in range(120):
            time.sleep(0.01)
            task.advance()
    said = capsys.readouterr().err.splitlines()
    assert len(said) > 2
    assert all(line.startswith("epoch 1: ") for line in said)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (12_000, "3 h 20 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_images_are_certified_where_the_leaves_are_and_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "certificates"))
    from example_records import smoothing

    so_far, sure = CertifiedSoFar(), smoothing(0, 0, 100)
    assert isinstance(sure, SmoothingRecord)
    assert sure.radius > 0
    assert so_far.told([]) == ""
    assert so_far.told([sure, smoothing(0, 1, 100)]) == "1 of 1 certified so far"
    assert so_far.told([smoothing(1, 0, 40)]) == "1 of 2 certified so far"
    unlabelled = replace(sure, label=-1, correct=False)  # as records have it where no label is known
    assert so_far.told([unlabelled]) == "2 of 3 certified so far"
    wrong = replace(sure, label=sure.label + 1, correct=False)
    assert so_far.told([wrong]) == "2 of 4 certified so far"
