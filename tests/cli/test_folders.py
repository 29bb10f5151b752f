"""Folders of results: a run that is refused changes nothing, and whatever lies there is told in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hrvlm.evaluation.answer_options import reference_digest
from hrvlm.evaluation.folders import LOCK, opened_folder
from hrvlm.reports.folder_page import write_report
from hrvlm.rows.locking import held
from hrvlm.rows.shards import shard_path

OURS = {"sigma": 0.1, "seed": 0, "trees": []}
OTHER = OURS | {"sigma": 0.25}
COMMANDS = {"run": "certificates.jsonl", "attack": "robustness.jsonl", "targeted-attack": "pushes.jsonl"}


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def empty_part(folder: Path, rows: str) -> None:
    shard_path(folder / rows, 0).parent.mkdir()
    shard_path(folder / rows, 0).touch()


def empty_file(folder: Path, rows: str) -> None:
    (folder / rows).touch()


def some_rows(folder: Path, rows: str) -> None:
    (folder / rows).write_text("{}\n")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("begin", [empty_part, empty_file, some_rows])
def test_other_settings_are_refused_and_change_nothing(
    command: str, begin: Callable[[Path, str], None], tmp_path: Path
) -> None:
    with opened_folder(tmp_path, command, OURS):
        begin(tmp_path, COMMANDS[command])
    before = content(tmp_path)
    with pytest.raises(ValueError, match="expected the sigma that the rows"), opened_folder(tmp_path, command, OTHER):
        pass
    assert content(tmp_path) == before
    with opened_folder(tmp_path, command, OURS):
        pass
    assert content(tmp_path) == before
    assert sorted(before) == sorted({"settings.json", *before})


def test_a_size_that_pictures_tell_need_not_be_noted(tmp_path: Path) -> None:
    """Data modules note none; the same pictures opened by a text do."""
    same, sized = OURS | {"pictures": "abc"}, {"image_size": 64}
    with opened_folder(tmp_path, "run", same):
        some_rows(tmp_path, COMMANDS["run"])
    with opened_folder(tmp_path, "run", same | sized):
        pass
    for other, named in ((same | {"image_size": 32}, "image_size"), (same | sized | {"pictures": "b"}, "pictures")):
        with (
            pytest.raises(ValueError, match=f"expected the {named} that the rows"),
            opened_folder(tmp_path, "run", other),
        ):
            pass


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("settings", [OURS, OTHER])
def test_two_runs_at_the_same_moment_are_refused(command: str, settings: dict[str, float], tmp_path: Path) -> None:
    with opened_folder(tmp_path, command, OURS):
        before = content(tmp_path)
        with (
            pytest.raises(ValueError, match="expected no other process to write"),
            opened_folder(tmp_path, command, settings),
        ):
            pass
        assert content(tmp_path) == before
    assert LOCK not in content(tmp_path)


def test_a_part_that_a_process_left_over_still_writes_to_is_refused_before_settings_change(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(OURS))
    part = shard_path(tmp_path / "certificates.jsonl", 1)
    part.parent.mkdir()
    part.touch()
    with held(part):
        with pytest.raises(ValueError, match="expected no other process"), opened_folder(tmp_path, "run", OTHER):
            pass
        assert json.loads((tmp_path / "settings.json").read_text()) == OURS


@pytest.mark.parametrize(
    "noted", [b"", b'{"sigma": 0.1, "se', b"[]", b"null", b"7", b'"text"', b"\xff\xfe{", b"[" * 100_000, b"1" * 6_000]
)
@pytest.mark.parametrize("with_rows", [True, False])
def test_settings_that_are_no_settings_are_told_and_kept(noted: bytes, with_rows: bool, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(noted)
    if with_rows:
        some_rows(tmp_path, "certificates.jsonl")
    before = content(tmp_path)
    message = "expected the settings of a run as a JSON object at"
    with pytest.raises(ValueError, match=message), opened_folder(tmp_path, "run", OURS):
        pass
    if with_rows:
        with pytest.raises(ValueError, match=message):
            write_report(tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("noted", [None, {"editor.fontSize": 12}])
def test_settings_of_other_programs_and_rows_without_settings_are_left_alone(
    noted: dict[str, int] | None, tmp_path: Path
) -> None:
    if noted is None:
        some_rows(tmp_path, "certificates.jsonl")
    else:
        (tmp_path / "settings.json").write_text(json.dumps(noted))
    before = content(tmp_path)
    with pytest.raises(ValueError, match=r"choose another output"), opened_folder(tmp_path, "run", OURS):
        pass
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["calibration", "decoding", "denoiser"])
def test_rows_made_with_something_unusual_are_not_gone_on_with_without_it(name: str, tmp_path: Path) -> None:
    with opened_folder(tmp_path, "run", OURS | {name: "special"}):
        some_rows(tmp_path, "certificates.jsonl")
    before = content(tmp_path)
    with pytest.raises(ValueError, match=f"expected the {name} that the rows in"), opened_folder(tmp_path, "run", OURS):
        pass
    assert content(tmp_path) == before


@pytest.mark.parametrize("place", ["file", "file/deeper/still"])
def test_an_output_that_cannot_be_a_folder_is_told(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(ValueError, match="expected a folder that can be written to"),
        opened_folder(tmp_path / place, "run", OURS),
    ):
        pass
    assert content(tmp_path) == {"file": b"mine"}


def test_no_room_is_told_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (2048, 2048))  # as after `ulimit -f 2`
    with pytest.raises(ValueError, match="expected room for a file of"), opened_folder(tmp_path / "new", "run", OURS):
        pass
    assert content(tmp_path) == {}


def test_settings_are_noted_before_the_work_and_kept_if_it_fails(tmp_path: Path) -> None:
    def killed() -> None:
        with opened_folder(tmp_path, "run", OURS, {"given_checkpoint": "emoji"}):
            assert json.loads((tmp_path / "settings.json").read_text()) == OURS | {"given_checkpoint": "emoji"}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(content(tmp_path)) == ["settings.json"]
    with opened_folder(tmp_path, "run", OTHER):  # nothing was made with the first ones
        assert json.loads((tmp_path / "settings.json").read_text()) == OTHER


def test_true_answers_are_known_by_what_their_file_says(tmp_path: Path) -> None:
    assert [reference_digest(source) for source in (None, "emoji")] == [None, "emoji"]
    first, same, other = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    for path, text in ((first, "ant: an ant"), (same, "ant: an ant"), (other, "ant: an emmet")):
        path.write_text(text)
    assert reference_digest(str(first)) == reference_digest(str(same)) != reference_digest(str(other))
