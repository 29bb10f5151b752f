"""What holds for the whole repository: direction of imports, length of files, readable YAML, no machine's paths."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hrvlm.trees import load_tree

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hrvlm"
MAX_LINES = 250
# Each row may import the rows above it; packages of one row stay apart.
LAYERS = (
    ("geometry", "trees", "rows"),
    ("data", "models", "charts"),
    ("attacks",),
    ("certificates",),
    ("generative",),
    ("objectives",),
    ("training",),
    ("evaluation",),
    ("reports",),
    ("callbacks", "explorer"),
    ("cli",),
)
EVERYWHERE = {
    "figures",
    "old_keys",
    "sending",
    "shipped",
    "trust",
    "whole_files",
}  # of no package; they import words of trees at most
NARROWER = {"certificates": {"geometry", "trees", "rows", "models", "charts"}}
WITH_LIGHTNING = {"data", "training", "evaluation", "callbacks", "cli"}


def allowed(package: str) -> set[str]:
    """Packages of hrvlm that a package may import, itself included."""
    rank = next(rank for rank, layer in enumerate(LAYERS) if package in layer)
    above = {name for layer in LAYERS[:rank] for name in layer}
    return NARROWER.get(package, above) | {package} | EVERYWHERE


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Full names of all modules imported anywhere in a file of a package, conditional and local imports included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield f"relative import in hrvlm.{package}"
        elif isinstance(node, ast.ImportFrom) and node.module == "hrvlm":
            yield from (f"hrvlm.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def violations(source: str, package: str) -> list[str]:
    """Imports of a file that its package must not make."""
    found = []
    for module in imported_modules(source, package):
        top, _, rest = module.partition(".")
        if top == "hrvlm" and rest.partition(".")[0] not in allowed(package):
            found.append(f"{package} imports {module}")
        if module.startswith("relative import"):
            found.append(module)
        if top in ("lightning", "pytorch_lightning") and package not in WITH_LIGHTNING:
            found.append(f"{package} imports {module}")
    return found


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_package_has_its_place() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == {name for layer in LAYERS for name in layer}


def test_imports_go_one_way() -> None:
    files = [path for path in python_files() if path.parent != PACKAGE]
    assert len(files) > 40
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := violations(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).parts[0]))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from hrvlm.objectives import base", "attacks"),
        ("import hrvlm.data", "models"),
        ("from hrvlm import training", "objectives"),
        ("from hrvlm.attacks import perturb", "certificates"),
        ("import hrvlm.callbacks.summary as t", "reports"),
        ("def f():\n    from hrvlm.cli import train", "data"),
        ("import hrvlm", "trees"),
        ("from ..models import load", "geometry"),
        ("from lightning.pytorch import Callback", "attacks"),
        ("if True:\n    import lightning.pytorch as pl", "certificates"),
    ],
)
def test_the_check_of_imports_finds_each_kind(source: str, package: str) -> None:
    assert violations(source, package)


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from hrvlm.geometry import poincare\nimport torch", "models"),
        ("from hrvlm.models import load\nfrom hrvlm.certificates.run import plan", "certificates"),
        ("import lightning\nfrom hrvlm import attacks, objectives", "training"),
        ("import lightning\nfrom hrvlm.reports import tables", "cli"),
    ],
)
def test_the_check_of_imports_lets_right_ones_pass(source: str, package: str) -> None:
    assert violations(source, package) == []


def test_files_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def repeated_keys(node: yaml.Node | None, where: str = "") -> list[str]:
    """Keys that occur twice in one mapping; PyYAML would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        return [key for position, entry in enumerate(node.value) for key in repeated_keys(entry, f"{where}/{position}")]
    if not isinstance(node, yaml.MappingNode):
        return []
    names = [key.value for key, _ in node.value]
    found = [f"{where}/{name}" for name in sorted({name for name in names if names.count(name) > 1})]
    return found + [key for name, entry in node.value for key in repeated_keys(entry, f"{where}/{name.value}")]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.y*ml")), ids=lambda path: path.stem)
def test_configurations_are_valid_yaml(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    assert repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader)) == []


def test_repeated_keys_are_found() -> None:
    text = "a: 1\nb:\n  - {c: 1}\n  - {d: {e: 1, e: 2}}\na: 3"
    assert repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader)) == ["/a", "/b/1/d/e"]


@pytest.mark.parametrize("path", sorted((ROOT / "trees").glob("*.yaml")), ids=lambda path: path.stem)
def test_trees_load(path: Path) -> None:
    tree = load_tree(path)
    assert len(tree.levels) >= 2
    assert tree.name == path.stem


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git clone, to know which files belong to the repository")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [path for name in listing.decode().split("\0") if name and (path := ROOT / name).is_file()]


def lines_with(path: Path, words: tuple[str, ...]) -> list[str]:
    """Lines of a text file that hold one of the words; none for a binary file."""
    content = path.read_bytes()
    if b"\0" in content:
        return []
    lines = content.decode("utf-8", errors="replace").splitlines()
    return [f"{path.name}:{number}" for number, line in enumerate(lines, 1) if any(word in line for word in words)]


def test_no_file_names_a_path_of_one_machine() -> None:
    folders = tuple(f"/{name}/" for name in ("work", "root"))  # not written out, or this file would be found
    files = tracked_files()
    assert len(files) > 100
    assert [line for path in files for line in lines_with(path, folders)] == []


def test_words_are_found_in_text_and_not_in_binary_files(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one\nrun it in /home/x\n")
    (tmp_path / "a.bin").write_bytes(b"\0/home/x")
    assert lines_with(tmp_path / "a.md", ("/home/",)) == ["a.md:2"]
    assert lines_with(tmp_path / "a.bin", ("/home/",)) == []
