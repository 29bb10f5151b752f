"""Finding, laying out and refusing WordNet files; needs no WordNet."""

from __future__ import annotations

import gc
from pathlib import Path

import nltk
import pytest

from hrvlm.trees import TreeError
from hrvlm.trees.wordnet import build_wordnet_tree
from hrvlm.trees.wordnet_data import ENVIRONMENT_VARIABLE, LEXICOGRAPHER_FILES, open_wordnet, prepare_wordnet

FILES = ["cntlist.rev", "index.sense", "adj.exc", "adv.exc", "noun.exc", "verb.exc"]
FILES += [f"{kind}.{pos}" for kind in ("data", "index") for pos in ("adj", "adv", "noun", "verb")]


def database(folder: Path, version: str = "3.0") -> Path:
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(f"  1 WordNet {version} Copyright 2006 by Princeton University.\n")
    return folder


@pytest.fixture(autouse=True)
def no_wordnet_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(nltk.data, "path", [])


def test_the_layout_is_the_one_nltk_reads(tmp_path: Path) -> None:
    folder = prepare_wordnet(database(tmp_path / "db"), tmp_path / "data")
    laid_out = folder / "corpora" / "wordnet"
    assert sorted(path.name for path in laid_out.iterdir()) == sorted([*FILES, "lexnames"])
    lines = [line.split("\t") for line in (laid_out / "lexnames").read_text().splitlines()]
    assert [int(number) for number, _, _ in lines] == list(range(45)) == list(range(len(LEXICOGRAPHER_FILES)))
    # checked against the table of lexnames(5WN)
    assert {number: (name, pos) for number, name, pos in lines}.items() >= {
        "00": ("adj.all", "3"), "02": ("adv.all", "4"), "03": ("noun.Tops", "1"), "05": ("noun.animal", "1"),
        "13": ("noun.food", "1"), "28": ("noun.time", "1"), "29": ("verb.body", "2"), "43": ("verb.weather", "2"),
        "44": ("adj.ppl", "3"),
    }.items()  # fmt: skip


def test_an_incomplete_database_is_refused_with_its_remedy(tmp_path: Path) -> None:
    folder = database(tmp_path / "db")
    (folder / "index.sense").unlink()
    with pytest.raises(TreeError, match=r"no WordNet file index.sense there.*apt-get install wordnet-base"):
        prepare_wordnet(folder, tmp_path / "data")


@pytest.mark.parametrize("how", ["argument", "environment", "nltk path"])
def test_absent_data_is_an_error_with_its_remedy(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "environment":
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    if how == "nltk path":
        monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(TreeError, match=f"no unzipped corpora/wordnet in {tmp_path}.*apt-get install wordnet-base"):
        open_wordnet(tmp_path if how == "argument" else None)


@pytest.mark.parametrize("version", ["3.1", "2.1"])
def test_another_version_is_refused(tmp_path: Path, version: str) -> None:
    folder = prepare_wordnet(database(tmp_path / "db", version), tmp_path / "data")
    with pytest.raises(TreeError, match=f"expected WordNet 3.0, got {version}; synset offsets differ"):
        open_wordnet(folder)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    folder = prepare_wordnet(database(tmp_path / "db"), tmp_path / "data")
    (folder / "corpora" / "wordnet" / "data.noun").write_text("nothing")
    with pytest.raises(TreeError, match="got an unknown version"):
        open_wordnet(folder)
    (folder / "corpora" / "wordnet" / "data.noun").unlink()
    with pytest.raises(TreeError, match="not a complete WordNet"):
        open_wordnet(folder)


@pytest.mark.parametrize("content", [b"word\n", b"caf\xe9: 1\n"])
def test_a_damaged_index_is_refused(tmp_path: Path, content: bytes) -> None:
    files = database(tmp_path / "db")
    (files / "index.noun").write_bytes(content)
    with pytest.raises(TreeError, match=r"not a complete WordNet for nltk .(StopIteration|UnicodeDecodeError)"):
        open_wordnet(prepare_wordnet(files, tmp_path / "data"))


def chain(folder: Path, listed: tuple[str, ...]) -> str:
    """Writes nouns of which each is a kind of the one before; returns the id of the last.

    Args:
        folder: of `database`.
        listed: which of them the index names.
    """
    data, index, above = (folder / "data.noun").read_text(), (folder / "index.noun").read_text(), ""
    for name in ("thing", "plant", "tree"):
        offset, data = f"{len(data):08d}", data + f"{len(data):08d} 03 n 01 {name} 0 {above or '000'} | nothing else\n"
        index += f"{name} n 1 0 1 0 {offset}\n" if name in listed else ""
        above = f"001 @ {offset} n 0000"
    (folder / "data.noun").write_text(data)
    (folder / "index.noun").write_text(index)
    (folder / "index.sense").write_text("")
    return f"n{offset}"


@pytest.mark.parametrize(
    ("listed", "asked"),
    [((), "class 'elm', n"), (("tree",), "hypernyms of n"), (("tree", "plant"), "what lies above n")],
)
def test_synsets_that_an_index_lacks_are_told_of(tmp_path: Path, listed: tuple[str, ...], asked: str) -> None:
    whole, damaged = database(tmp_path / "whole"), database(tmp_path / "damaged")
    elm = chain(whole, ("thing", "plant", "tree"))
    assert chain(damaged, listed) == elm
    wordnet = open_wordnet(prepare_wordnet(whole, tmp_path / "whole_data"))
    assert build_wordnet_tree(wordnet, {"elm": elm, "fir": elm}).leaves == ("elm", "fir")
    wordnet = open_wordnet(prepare_wordnet(damaged, tmp_path / "damaged_data"))
    with pytest.raises(TreeError, match=rf"{asked}\d+: not a complete WordNet for nltk \(KeyError: 'n'\)"):
        build_wordnet_tree(wordnet, {"elm": elm})


def test_files_are_closed_when_the_reader_goes(tmp_path: Path) -> None:
    """Not when the collector finds them: then it depends on the order of its work whether Python warns of them."""
    files = database(tmp_path / "db")
    elm = chain(files, ("thing", "plant", "tree"))
    wordnet = open_wordnet(prepare_wordnet(files, tmp_path / "data"))
    build_wordnet_tree(wordnet, {"elm": elm})
    streams = list(wordnet._data_file_map.values())
    assert [stream.closed for stream in streams] == [False, False]  # adjectives are read at once
    del wordnet
    gc.collect()
    assert [stream.closed for stream in streams] == [True, True]
