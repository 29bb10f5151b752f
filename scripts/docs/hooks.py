"""What the documentation site adds to docs/: pages that lie elsewhere in the repository, and links that lead to them.

A page of the site goes by its path in the repository, without `docs/` before it; so README.md is the first one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # of the environment that builds the site; tests of links do without
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "SECURITY.md",
    "benchmarks/results/coherence.md",
    "hrvlm/data/emoji_pack/files/LICENSES.md",
    "trees/README.md",
)
DOCS = "docs/"
_LINK = re.compile(r"(\]\()([^)\s#]+)([^)]*\))")
_SCHEME = re.compile(r"[a-z]+:")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages outside docs/."""
    from mkdocs.structure.files import File

    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page | str, **_: object) -> str:
    """Lets links from and to pages outside docs/ lead to where they are on the site.

    Args:
        markdown: The page's text.
        page: The page, or its path on the site.
    """
    return "\n".join(_lines(markdown, page if isinstance(page, str) else page.file.src_uri))


def _lines(markdown: str, page: str) -> Iterator[str]:
    """Lines with their links replaced, but for those of code."""
    code = False
    for line in markdown.split("\n"):
        code ^= line.lstrip().startswith("```")
        yield line if code else _LINK.sub(lambda found: found[1] + site_link(found[2], page) + found[3], line)


def site_link(target: str, page: str) -> str:
    """A link of a page, as one within the site.

    Args:
        target: Address as it stands in the page; relative to the page's file in the repository, or with a scheme.
        page: Path of the page on the site.
    """
    if _SCHEME.match(target):
        return target
    source = page if page in OUTSIDE else DOCS + page
    found = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return posixpath.relpath(found.removeprefix(DOCS), posixpath.dirname(page) or ".")
