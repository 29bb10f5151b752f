"""Configurations and trees that come with the package, found by name or by their path in the repository.

They lie at the top of the repository; a wheel carries them inside the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["configs", "trees"]
KINDS: tuple[Kind, ...] = ("configs", "trees")
_PACKAGE = Path(__file__).parent
RENAMED = {"push_emoji": "targeted_attack_emoji"}
"""Shipped files by the names that they had, without suffix."""


def root(kind: Kind) -> Path:
    """The folder of shipped configurations or trees, of the package if it was built into a wheel, else of the clone."""
    inside = _PACKAGE / "shipped_files" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def find(path: str | Path) -> Path:
    """The path itself if there is something; else the shipped file that lies there in the repository, if there is one.

    Args:
        path: For example "trees/emoji_unicode.yaml", which is found wherever the working directory is.
    """
    given = Path(path)
    if given.parts[:1] in [(kind,) for kind in KINDS] and ".." not in given.parts and not given.exists():
        shipped = root(given.parts[0]).joinpath(*given.parts[1:])  # type: ignore[arg-type]  # one of KINDS, see above
        return shipped if shipped.is_file() else given
    return given


def names(kind: Kind) -> list[str]:
    """Names of the shipped files of a kind: their paths without suffix, such as "emoji/quickstart"."""
    folder = root(kind)
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def named(name: str | Path, kind: Kind, *, among: list[str] | None = None) -> Path | None:
    """The shipped file of a name such as "emoji/quickstart", or of its last parts, such as "quickstart".

    Args:
        name: With forward slashes and without suffix.
        kind: "configs" or "trees".
        among: Names that come into question; None takes all of them.

    Returns:
        Its path, or None if nothing is called so.

    Raises:
        ValueError: If several are called so.
    """
    text = Path(name).as_posix()
    known = names(kind) if among is None else among
    found = [text] if text in known else [each for each in known if f"/{each}".endswith(f"/{text}")]
    if len(found) > 1:
        raise ValueError(f"expected the name of one file, got {text!r}, which may be {' or '.join(found)}")
    return root(kind) / f"{found[0]}.yaml" if found else None
