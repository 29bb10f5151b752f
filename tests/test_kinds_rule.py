"""No kind of certificate is named outside its package: what all kinds share finds them by the registry."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hrvlm.certificates.kinds.registry import REGISTRY, kinds

PACKAGE = Path(__file__).parents[1] / "hrvlm"
SHARED = ("certificates", "reports", "callbacks", "cli", "evaluation")
RECORDS = {kind.record.__name__ for kind in kinds()}
# What is named all the same, with the reason. An exception that nothing needs any more is an error as well.
EXCEPTIONS: dict[str, tuple[set[str], str]] = {
    "certificates/kinds/registry.py": (set(REGISTRY), "the registry itself"),
    "certificates/run/plan.py": ({"smoothing", "semantic", "joint"}, "fields of a plan, which configurations give"),
    "reports/targeted_attack_figures.py": ({"smoothing"}, "a word for a defence"),
    "reports/targeted_attack_table.py": ({"smoothing"}, "a word for a defence"),
    "evaluation/answers.py": (
        {"smoothing", "semantic", "joint", "profile", "oracle", "compares OracleRecord"},
        "fields of a plan that answers in words do not use, a key of settings, and keys of the rows that it makes",
    ),
    "evaluation/audit.py": ({"oracle", "isinstance OracleRecord"}, "audits are of rows of oracles alone; and a key"),
    "evaluation/beginning/texts.py": ({"oracle"}, "a task of `hrvlm init`, a word that users give"),
    "evaluation/targeted_attack.py": ({"oracle"}, "a key of settings"),
    "evaluation/targeted_attacker.py": ({"smoothing"}, "a word for a defence"),
}


def named(source: str) -> Iterator[str]:
    """Names of kinds that a file has as words, and records of kinds that it tells apart; docstrings do not count."""
    tree = ast.parse(source)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in texts and node.value in REGISTRY:
            yield str(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            yield from (f"isinstance {name}" for name in records_in(node.args[-1]))
        elif isinstance(node, ast.MatchClass):
            yield from (f"match {name}" for name in records_in(node.cls))
        elif isinstance(node, ast.Compare):
            yield from (f"compares {name}" for part in (node.left, *node.comparators) for name in records_in(part))
        elif isinstance(node, ast.Dict):
            yield from (f"key {name}" for key in node.keys if key is not None for name in records_in(key))


def records_in(node: ast.AST) -> Iterator[str]:
    """Records of kinds that an expression names; of a tuple's parts as well, not of what a call gets."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.BinOp):
        yield from (name for part in ast.iter_child_nodes(node) for name in records_in(part))
    elif isinstance(node, ast.Attribute) and node.attr == "kind":
        yield from records_in(node.value)
    elif isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        yield from (name for _ in range(name in RECORDS))


def shared_files() -> dict[str, Path]:
    """Files of the packages that know no kind, by their path."""
    files = {p.relative_to(PACKAGE).as_posix(): p for part in SHARED for p in sorted((PACKAGE / part).rglob("*.py"))}
    own = tuple(f"certificates/kinds/{name}/" for name in REGISTRY)
    return {name: path for name, path in files.items() if not name.startswith(own)}


def test_no_kind_is_named_outside_its_package() -> None:
    files = shared_files()
    assert len(files) > 60
    found = {name: set(named(path.read_text(encoding="utf-8"))) for name, path in files.items()}
    assert {name: words for name, words in found.items() if words} == {
        name: words for name, (words, _) in EXCEPTIONS.items()
    }


@pytest.mark.parametrize(
    "source",
    [
        'if record.kind == "joint": pass',
        'wanted = kind in ("a", "profile")',
        'TABLES = {"smoothing": 1}',
        'match kind:\n    case "oracle": pass',
        'summary["semantic"]',
        'summary.get("joint")',
        "isinstance(record, SmoothingRecord)",
        "isinstance(record, (records.JointRecord, int))",
        "isinstance(record, JointRecord | ProfileRecord)",
        "match record:\n    case OracleRecord(claim=1): pass",
        "type(record) is SemanticRecord",
        "record.kind == SmoothingRecord.kind",
        "told = {SmoothingRecord: 1}",
    ],
)
def test_every_way_to_tell_kinds_apart_is_found(source: str) -> None:
    assert list(named(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""smoothing"""',
        "plan.smoothing",
        "def f(record: OracleRecord) -> list[SmoothingRecord]: ...",
        "call(smoothing=True)",
        'text = "smoothing rows"',
        "SmoothingRecord.from_row(row)",
    ],
)
def test_words_that_tell_nothing_apart_are_let_pass(source: str) -> None:
    assert list(named(source)) == []
