"""One clear sentence and a non-zero exit code for whatever a user can cause."""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from traceback import walk_tb
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile

from hrvlm import shipped
from hrvlm.cli.configuration import at_home
from hrvlm.cli.constructing import inner_errors, speaking
from hrvlm.cli.old_settings import ForgivingParser, one_line
from hrvlm.cli.parser_words import in_words, nearest
from hrvlm.cli.trust import explained, restrict_parsers
from hrvlm.training.stopping import SIGNALS, stoppable
from hrvlm.trees.bounded_text import is_address, read_text
from hrvlm.trees.words import printable
from hrvlm.whole_files import reason

TRACEBACK = "HRVLM_TRACEBACK"
LONGEST = 3000  # letters of a message
OLD_NAME = "a {} was given by an old name, which will not be understood for ever"
# Lightning's own calls, not the user's, are what jsonargparse would warn of.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
_PATH_TYPE = re.compile(r"<function\s+path_of\s+at\s+0x\w+>")
EXPECTED = (ValueError, OSError, UnpicklingError)


@contextmanager
def clear_errors(program: str, signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Prints errors that a user can cause as one sentence and exits with 1; others keep their traceback.

    Setting the environment variable HRVLM_TRACEBACK keeps every traceback.

    Args:
        program: What the sentence calls the program.
        signals: Which signals end it, see `stoppable`.
    """
    _replace_unprintable()
    try:
        with stoppable(program, signals):
            yield
    except Exception as error:
        if os.environ.get(TRACEBACK) or not _is_expected(error):
            raise
        print(f"{program}: error: {sentence(error)}", file=sys.stderr)
        raise SystemExit(1) from None


def _replace_unprintable() -> None:
    """Lets a terminal whose encoding lacks a letter, such as one of a path, show a question mark for it."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _is_expected(error: Exception) -> bool:
    if isinstance(error, EXPECTED) or _is_said_by_lightning(error):
        return True
    if type(error).__name__ == "SafetensorError":  # which every kind of it is called
        return True
    # Imported here, since commands without a model should not wait for Lightning and attacks.
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from hrvlm.attacks import NonFiniteError
    from hrvlm.training.failure import NonFiniteLossError

    return isinstance(error, NonFiniteError | NonFiniteLossError | MisconfigurationException)


def _is_said_by_lightning(error: Exception) -> bool:
    """Whether Lightning itself raises it about a setting, such as a metric to monitor that nobody logs."""
    if not isinstance(error, RuntimeError | ImportError | TypeError) or error.__traceback__ is None:
        return False
    *_, (frame, _) = walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("lightning", "lightning_utilities")


def sentence(error: Exception) -> str:
    """An error's message in one line; of an error that crossed from a data loader's process, the original message."""
    if isinstance(error, UnpicklingError):  # its own message tells how to load unsafely
        return "expected a readable checkpoint that holds tensors and plain values only, got a damaged or another file"
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    text = str(error).strip()
    if type(error).__name__ == "SafetensorError":
        text = f"expected weights that can be read, or room to write them, got: {text}"
    if "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text
    return _one_line(text)


def _one_line(text: str) -> str:
    """A message on one line; values in it may be as long as the file that they came from."""
    line = " ".join(text.split())
    return printable(line if len(line) <= LONGEST else f"{line[:LONGEST]} …")


def _of_system(error: OSError) -> str:
    """What the operating system refused, and how to mend it."""
    where = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    mend = "make room, or choose another place; what was written whole before is kept"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        mend = "check the path, and what you may do there"
    return (
        f"expected files that can be read and written, got: {reason(error)}{where and f': {printable(where)}'}; {mend}"
    )


class ConfigFile(ActionConfigFile):
    """A configuration by its path or, where nothing lies there, by the name of one that comes with the package."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Adds the keys of the file to the settings."""
        path, before = _config_path(values, parser.for_certify), cfg.clone()
        super().__call__(parser, cfg, path, option_string)
        parser.has_read(path, before, cfg)


def _config_path(given: str, for_certify: bool) -> str:
    """Where a configuration lies; the text itself if it is none of the package, or a configuration written out."""
    if is_address(given):
        raise ValueError(f"expected a configuration on this machine, got the address {given}; copy it here first")
    path = shipped.find(at_home(given))
    if path.is_file():
        return _readable(path)
    if path.stem in shipped.RENAMED:
        return _config_path(_by_new_name(path), for_certify)
    if any(letter in given for letter in ":{\n"):
        return given
    known = [name for name in shipped.names("configs") if name.startswith("certify/") == for_certify]
    found = shipped.named(given, "configs", among=known)
    meant = nearest(given, [*known, *(name.rpartition("/")[2] for name in known)])
    if found is None and path.suffix not in (".yaml", ".yml", ".json"):
        raise ValueError(f"expected a YAML file or a shipped configuration ({', '.join(known)}), got {given!r}{meant}")
    return str(found or path)


def _by_new_name(path: Path) -> str:
    """Today's name of a shipped configuration; that it has another one is told in a line."""
    new = path.with_name(shipped.RENAMED[path.stem] + path.suffix)
    print(f"{OLD_NAME.format('configuration')}: {path} is now {new}", file=sys.stderr)
    return str(new)


def _readable(path: Path) -> str:
    try:
        read_text(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a readable configuration at {path}: {error}") from error
    return str(path)


class ClearParser(ForgivingParser):
    """A parser whose errors are the message alone, without the usage of every option."""

    for_certify = True
    """Whether it reads configurations of `certify.py`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_parsers()
        super().__init__(*args, **kwargs)

    example: str = ""
    """A command line that works, told at the end of help; the program's name goes before it."""

    def has_read(self, path: str, before: Any, after: Any) -> None:
        """Gets the settings before and after a configuration was read; does nothing here."""

    def subparsers(self) -> dict[str, ClearParser]:
        """The parsers of its commands, by name."""
        found: dict[str, Any] = {} if self._subcommands_action is None else self._subcommands_action._name_parser_map
        return dict(found)

    def format_help(self, formatter: argparse.HelpFormatter | None = None) -> str:
        """All options in groups, below a line of those that must be given; and an example."""
        text = _PATH_TYPE.sub("path", super().format_help(formatter))
        if self._subcommands_action is None:
            text = f"usage: {self._usage()}\n" + text[text.index("\n\n") :].removeprefix("\n")
        return f"{text}\nexample:\n  {self.prog.split(' [options]')[0]} {self.example}\n" if self.example else text

    def _usage(self) -> str:
        """What must be given, with the values that it takes."""
        needed = [action for action in self._actions if action.option_strings and action.required]
        needed += [action for action in self._actions if not action.option_strings]
        words = [self._get_formatter()._format_args(action, action.dest.upper()) for action in needed]
        given = [" ".join([*action.option_strings[:1], word]) for action, word in zip(needed, words, strict=True)]
        return " ".join([self.prog.replace(" [options]", ""), "[options]", *given])

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """Adds an argument; configurations are found by name as well."""
        if kwargs.get("action") in ("config", ActionConfigFile):
            kwargs["action"] = ConfigFile
        return super().add_argument(*args, **kwargs)

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parses a command line; `~` at the beginning of a path is the home folder."""
        with one_line(self.prog.split()[0]):
            return at_home(super().parse_args(*args, **kwargs))

    def add_instantiator(self, instantiator: Any, *args: Any, **kwargs: Any) -> None:
        """Adds a way of making some classes, whose errors come out as well."""
        super().add_instantiator(speaking(instantiator), *args, **kwargs)

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Makes the objects of a configuration; what their constructors complain of is raised as it is."""
        with inner_errors():
            return super().instantiate(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints one line and exits with 2."""
        said = in_words(explained(_one_line(message)), self._option_string_actions)
        print(f"{self.prog.split()[0]}: error: {said}", file=sys.stderr)
        self.exit(2)
