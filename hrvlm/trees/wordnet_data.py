"""WordNet 3.0 for nltk: where it is looked for, how its files are laid out, and synsets by id.

Synsets are named by part of speech and offset (``n02084071``), never by lemma: lemmas are ambiguous ("crane"), and
offsets hold for one version of WordNet only, so the version is checked on opening. Nothing is ever downloaded here.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.trees.nodes import TreeError

if TYPE_CHECKING:  # nltk takes seconds to import, and only building a tree needs it
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

VERSION = "3.0"
ENVIRONMENT_VARIABLE = "HRVLM_WORDNET_DIR"

_LEXNAMES = """
adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object
noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape
noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition
verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social
verb.stative verb.weather adj.ppl
"""
#: The 45 lexicographer files of WordNet (lexnames(5WN)); the position is the file number that data files refer to.
LEXICOGRAPHER_FILES = tuple(_LEXNAMES.split())
_PART_OF_SPEECH = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
_SYNSET_ID = re.compile(r"[nvar]\d{8}")

_HOW_TO_GET_IT = (
    f"WordNet {VERSION} is needed only to build trees. Take a folder with its database files (Debian: apt-get install "
    "wordnet-base wordnet-sense-index puts one at /usr/share/wordnet) and pass it to hrvlm tree build --wordnet; or "
    "call hrvlm.trees.wordnet_data.prepare_wordnet(database, nltk_data) once, and pass that nltk_data folder, name it "
    f"in the environment variable {ENVIRONMENT_VARIABLE}, or put it on nltk's data path"
)


def prepare_wordnet(database: str | Path, nltk_data: str | Path) -> Path:
    """Lays out WordNet database files the way nltk wants them: ``nltk_data/corpora/wordnet`` with a ``lexnames`` file.

    Args:
        database: folder with ``data.noun``, ``index.noun``, ``index.sense`` and the other database files.
        nltk_data: folder to fill; made if absent.

    Returns:
        ``nltk_data``, ready for `open_wordnet`.

    Raises:
        TreeError: if a database file is absent.
    """
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    files = [name for name in WordNetCorpusReader._FILES if name != "lexnames"]
    database, target = Path(database), Path(nltk_data) / "corpora" / "wordnet"
    missing = [name for name in files if not (database / name).is_file()]
    if missing:
        raise TreeError(f"{database}: no WordNet file {', '.join(missing)} there. {_HOW_TO_GET_IT}.")
    target.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copyfile(database / name, target / name)
    lines = [
        f"{number:02d}\t{name}\t{_PART_OF_SPEECH[name.split('.')[0]]}\n"
        for number, name in enumerate(LEXICOGRAPHER_FILES)
    ]
    (target / "lexnames").write_text("".join(lines), encoding="utf-8", newline="\n")
    return Path(nltk_data)


def open_wordnet(nltk_data: str | Path | None = None) -> WordNetCorpusReader:
    """Opens WordNet 3.0.

    Args:
        nltk_data: folder with ``corpora/wordnet`` in it, see `prepare_wordnet`. None looks at the environment variable
            ``HRVLM_WORDNET_DIR``, then at nltk's own data path. The folder joins ``nltk.data.path``, outside of
            which nltk refuses to read.

    Raises:
        TreeError: if there is no unzipped WordNet, a file of it is absent, or it is not version 3.0.
    """
    import nltk

    chosen = nltk_data if nltk_data is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    places = [os.path.realpath(chosen)] if chosen is not None else list(nltk.data.path)
    try:
        root = nltk.data.find("corpora/wordnet", paths=places)
    except LookupError:
        raise TreeError(f"no unzipped corpora/wordnet in {', '.join(places)}. {_HOW_TO_GET_IT}.") from None
    _check_version(Path(str(root)))
    if chosen is not None and places[0] not in nltk.data.path:
        nltk.data.path.append(places[0])
    with reading_wordnet(str(root)), warnings.catch_warnings():
        # the multilingual part, which nltk warns about, is not used here
        warnings.filterwarnings("ignore", message="The multilingual functions are not available")
        return _reader_class()(root, None)


@cache
def _reader_class() -> type[WordNetCorpusReader]:
    """The reader of nltk, with its files closed when it goes: nltk keeps data files open, and never closes them."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class ClosingReader(WordNetCorpusReader):
        def __init__(self, root: Any, multilingual: None) -> None:
            self._opened: list[Any] = []
            weakref.finalize(self, _close, self._opened)
            super().__init__(root, multilingual)

        def open(self, file: str) -> Any:
            self._opened.append(super().open(file))
            return self._opened[-1]

    return ClosingReader


def _close(files: list[Any]) -> None:
    for file in files:
        file.close()


@contextmanager
def reading_wordnet(where: str) -> Iterator[None]:
    """Around calls of nltk that read files of WordNet; it looks at most of them only when a synset is asked for.

    Args:
        where: what was asked for, for the error.

    Raises:
        TreeError: for whatever nltk raises.
    """
    try:
        yield
    except Exception as error:  # nltk raises many kinds for damaged files; all mean the same to the user
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise TreeError(f"{where}: not a complete WordNet for nltk ({problem}). {_HOW_TO_GET_IT}.") from error


def _check_version(root: Path) -> None:
    """Raises TreeError unless the licence text that opens ``data.noun`` names version 3.0."""
    try:
        head = (root / "data.noun").read_bytes()[:4096].decode("ascii", errors="replace")
    except OSError as error:
        raise TreeError(f"{root}: not a complete WordNet ({error}). {_HOW_TO_GET_IT}.") from error
    match = re.search(r"WordNet (\S+) Copyright", head)
    if match is None or match.group(1) != VERSION:
        found = "an unknown version" if match is None else match.group(1)
        raise TreeError(
            f"{root}: expected WordNet {VERSION}, got {found}; synset offsets differ by version. {_HOW_TO_GET_IT}."
        )


def synset_id(synset: Any) -> str:
    """Returns part of speech and eight-digit offset of a synset, such as ``n02084071``."""
    pos = "a" if synset.pos() == "s" else synset.pos()  # satellite adjectives live in the adjective file
    return f"{pos}{synset.offset():08d}"


def synset_by_id(wordnet: WordNetCorpusReader, name: str, where: str) -> Any:
    """Returns the synset with an id such as ``n02084071``.

    Args:
        wordnet: from `open_wordnet`.
        name: part of speech and offset.
        where: what refers to the synset, for the error.

    Raises:
        TreeError: if the id is malformed or WordNet has no synset there.
    """
    if not _SYNSET_ID.fullmatch(name):
        raise TreeError(f"{where}: expected a WordNet synset id such as 'n02084071', got {name!r}")
    with reading_wordnet(f"{where}, {name}"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No WordNet synset found")  # raised below instead
        synset = wordnet.synset_from_pos_and_offset(name[0], int(name[1:]))
    if synset is None or synset_id(synset) != name:
        raise TreeError(f"{where}: WordNet {VERSION} has no synset {name!r}")
    return synset


def hypernyms(synset: Any) -> list[Any]:
    """Returns the hypernyms and instance hypernyms by rising offset.

    nltk keeps them in a set, so their order there changes from process to process.
    """
    with reading_wordnet(f"hypernyms of {synset_id(synset)}"):
        return sorted([*synset.hypernyms(), *synset.instance_hypernyms()], key=synset_id)


def closure(synset: Any) -> set[str]:
    """Returns the ids of a synset and of everything above it, along every path."""
    seen: dict[str, Any] = {}
    waiting = [synset]
    while waiting:
        current = waiting.pop()
        if synset_id(current) not in seen:
            seen[synset_id(current)] = current
            waiting.extend(hypernyms(current))
    return set(seen)
