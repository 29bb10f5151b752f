"""Links of the documentation lead to files and headings that are there, and the site has a place for every page."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from documented import PAGES, ROOT

PLACES = (*PAGES, ROOT / "CHANGELOG.md")
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
IMAGES = ROOT / "docs" / "images"


def prose(text: str) -> str:
    """A page without its fenced blocks and code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def headings(path: Path) -> set[str]:
    """Anchors of a page, as the site and GitHub make them of headings."""
    lines = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE).splitlines()
    titles = [line.lstrip("#").strip() for line in lines if re.match(r"#+ ", line)]
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("page", PLACES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.is_file(), target
        assert not anchor or anchor in headings(found), target


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    return import_module("hooks")


def listed(entry: Any) -> list[str]:
    """Pages of the site's contents."""
    if isinstance(entry, str):
        return [entry]
    return [page for value in (entry.values() if isinstance(entry, dict) else entry) for page in listed(value)]


def test_every_page_has_its_place_on_the_site(hooks: ModuleType) -> None:
    contents = listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    own = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    outside = [path for path in hooks.OUTSIDE if path.endswith(".md")]
    assert sorted(contents) == sorted([*own, *outside])


@pytest.mark.parametrize(
    ("page", "target", "expected"),
    [
        ("README.md", "docs/tour.md", "tour.md"),
        ("README.md", "docs/reference/index.md", "reference/index.md"),
        ("trees/README.md", "../docs/trees.md", "../trees.md"),
        ("trees.md", "../trees/README.md", "trees/README.md"),
        ("semantic.md", "certificates.md", "certificates.md"),
        ("reference/trees.md", "../trees.md", "../trees.md"),
        ("commands.md", "../SECURITY.md", "SECURITY.md"),
        ("commands.md", "https://arxiv.org/abs/1902.02918", "https://arxiv.org/abs/1902.02918"),
    ],
)
def test_links_are_rewritten_for_the_site(hooks: ModuleType, page: str, target: str, expected: str) -> None:
    assert hooks.site_link(target, page) == expected
    text = hooks.on_page_markdown(f"see [it]({target}#there)\n```\n[it]({target})\n```", page)
    assert text == f"see [it]({expected}#there)\n```\n[it]({target})\n```"


@pytest.mark.parametrize("name", ["figures", "explorer"])
def test_pictures_are_those_that_scripts_draw_and_small(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    script = import_module(name)
    drawn = {path.name: path.stat().st_size for path in IMAGES.glob(f"*{Path(next(iter(script.PICTURES))).suffix}")}
    assert drawn.keys() == script.PICTURES.keys()
    assert [name for name, size in drawn.items() if size > 200_000] == []
